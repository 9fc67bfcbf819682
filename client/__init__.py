"""A thin Python client of the Driftline API."""

from client.api import ApiError, Driftline

__all__ = ["ApiError", "Driftline"]
