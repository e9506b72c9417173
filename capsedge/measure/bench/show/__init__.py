"""What a report looks like: as text on a terminal, Markdown, CSV, and a page for the browser."""
