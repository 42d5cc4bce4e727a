"""Judging answers, intervals, pictures of answers (floor 3)."""
