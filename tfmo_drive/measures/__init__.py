"""Measures an artifact, one file for each question (floor 4)."""
