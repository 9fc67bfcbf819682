"""Webhooks: clients are told what happens to jobs, as https://www.standardwebhooks.com has it."""
