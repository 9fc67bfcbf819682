"""Webhooks: messages about what happens to jobs, as https://www.standardwebhooks.com describes them."""
