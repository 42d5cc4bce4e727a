"""Detects objects, with what that alone needs (floor 4)."""
