"""Where a model will run: facts, conversion, interpreter; one file each (floor 4)."""
