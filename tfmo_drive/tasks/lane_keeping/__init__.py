"""Lane keeping, and what it alone needs (floor 4)."""
