"""Rows of sensor values, and what they alone need (floor 4)."""
