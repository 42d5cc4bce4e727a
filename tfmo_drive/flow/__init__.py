"""Runs an experiment: its stages, the files made of them, and the report (floor 6)."""
