"""Driftline's client."""
