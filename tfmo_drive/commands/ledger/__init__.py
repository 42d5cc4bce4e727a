"""Holds what the verb ledger alone needs, its page too (floor 8)."""
