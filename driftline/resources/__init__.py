"""What the service answers, as typed, read-only records."""
