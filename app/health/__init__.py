"""Whether the service works, and who works for it."""
