"""From Keras to files (floor 3)."""
