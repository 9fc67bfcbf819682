"""The log: lines for people by default, JSON for machines on request; each line says what it is about.

What a line is about (request, job, item, attempt) is bound where the work begins, with `about`, and every
line logged meanwhile carries it, whichever module logs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_BOUND: ContextVar[Mapping[str, str | int]] = ContextVar("driftline_log", default=MappingProxyType({}))
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(about)s%(message)s"


@contextmanager
def about(**ids: str | int | None) -> Iterator[None]:
    """Have every line that is logged meanwhile say what it is about; None says nothing.

    Args:
        ids: such as `request`, `job`, `item` and `attempt`.
    """
    token = _BOUND.set({**_BOUND.get(), **{name: value for name, value in ids.items() if value is not None}})
    try:
        yield
    finally:
        _BOUND.reset(token)


def bound(name: str) -> str | None:
    """Return an id that lines are about at present."""
    value = _BOUND.get().get(name)
    return None if value is None else str(value)


def configure(log_format: LogFormat = "text", log_level: LogLevel = "info") -> None:
    """Send the log of this process to standard error, in place of what was configured before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_say_what_it_is_about)
    handler.setFormatter(_json() if log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every request


def _say_what_it_is_about(record: logging.LogRecord) -> bool:
    ids = _BOUND.get()
    record.about = "".join(f"{name} {value}, " for name, value in ids.items())[:-2] + ": " if ids else ""
    for name, value in ids.items():
        setattr(record, name, value)
    return True


def _json() -> logging.Formatter:
    return JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "traceback"},
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        reserved_attrs=[*_RESERVED, "about"],
        json_ensure_ascii=False,
    )


# What the standard library puts on each record; anything else on it is written out.
_RESERVED = [*vars(logging.makeLogRecord({})), "message", "asctime"]
