"""Training a network from scratch: the loop, what it is told, and what stands beside it."""
