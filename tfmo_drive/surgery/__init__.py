"""Changes a network's weights or shape (floor 3)."""
