"""The training loop and what it learns from (floor 3)."""
