"""The built-in driving scenes (floor 2)."""
