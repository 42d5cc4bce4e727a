"""Trains: the loop and what it learns from (floor 3)."""
