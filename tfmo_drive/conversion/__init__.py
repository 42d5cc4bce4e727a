"""Converts Keras models to files (floor 3)."""
