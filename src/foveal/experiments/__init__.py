"""Experiments: networks side by side on the same data and seeds, and three small ones that show why."""
