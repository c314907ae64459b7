"""Reports of evaluation: their main figures, as a page, as text, and side by side."""
