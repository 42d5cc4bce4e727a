"""Turns report.json into Markdown, HTML and figures (floor 4)."""
