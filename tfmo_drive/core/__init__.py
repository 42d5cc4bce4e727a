"""Mechanics that plug-ins share (floor 1)."""
