"""The figures of a report (floor 4)."""
