"""Identifiers: UUID version 7 (RFC 9562), so that ids sort by the time they were made."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import datetime

_PATTERN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """Return a new UUIDv7 string; within one process later ids are larger."""
    global _last  # noqa: PLW0603 - the one counter that keeps ids of one millisecond in order
    with _lock:
        # 48 bits of milliseconds, then 12 bits of the millisecond's fraction.
        _last = max(_last + 1, (time.time_ns() << 12) // 1_000_000)
        stamp = _last
    high = (stamp >> 12 << 16) | 0x7000 | (stamp & 0xFFF)
    low = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1) | (0b10 << 62)
    text = f"{high << 64 | low:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def first_id_at(moment: datetime) -> str:
    """Return a text that sorts before all ids of that moment and later, and after all earlier ones.

    A process whose clock was set back goes on with the ids of the time before.
    """
    milliseconds = max(0, int(moment.timestamp() * 1000))
    text = f"{milliseconds:012x}"
    return f"{text[:8]}-{text[8:]}"


def is_id(text: str) -> bool:
    """Return whether the text is a UUIDv7 as this service writes them."""
    return _PATTERN.fullmatch(text) is not None
