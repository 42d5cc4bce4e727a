"""Generates the built-in driving scenes (floor 2)."""
