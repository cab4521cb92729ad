"""The board as CSV, Markdown, one HTML page, and plain text for a terminal."""
