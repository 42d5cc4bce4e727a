"""Evaluates answers, gives their intervals, and renders pictures of them (floor 3)."""
