"""Draws the figures of a report (floor 4)."""
