"""Writes a model in other layers that give the same: those that steps know, and those that compute in integers."""
