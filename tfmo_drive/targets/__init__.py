"""Describes where a model will run: facts, conversion, interpreter; one file for each target (floor 4)."""
