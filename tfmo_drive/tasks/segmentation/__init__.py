"""Segments images by class, with what that alone needs (floor 4)."""
