"""Holds what the verb sensitivity alone needs, its page too (floor 8)."""
