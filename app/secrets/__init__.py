"""Secrets that the service keeps encrypted: `python -m app.secrets` seals them with the newest key."""
