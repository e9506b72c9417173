"""Format a report: text for the terminal, Markdown, CSV, and an HTML page."""
