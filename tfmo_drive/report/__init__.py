"""report.json to Markdown, HTML and figures (floor 4)."""
