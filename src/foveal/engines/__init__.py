"""Fast inference of a graph with weights."""
