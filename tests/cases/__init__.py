"""Small models and datasets of kinds that people have, each of which was once misread."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def case(name: str) -> bytes:
    """Return the bytes of one of the files."""
    return (FOLDER / name).read_bytes()
