"""Holds what the verb lint alone needs (floor 8)."""
