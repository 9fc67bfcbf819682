"""Removes what is kept no longer, and files that nothing names: `python -m app.gc`."""
