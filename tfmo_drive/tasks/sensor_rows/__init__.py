"""Classifies rows of sensor values, or predicts a number from them, with what that needs (floor 4)."""
