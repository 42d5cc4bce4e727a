"""Object detection, and what it alone needs (floor 4)."""
