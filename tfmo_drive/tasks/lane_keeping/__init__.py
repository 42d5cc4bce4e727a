"""Keeps a lane, with what that alone needs (floor 4)."""
