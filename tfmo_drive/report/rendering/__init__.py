"""Renders a report's document as Markdown, HTML and terminal text (floor 4)."""
