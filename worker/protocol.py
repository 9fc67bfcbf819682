"""The messages between supervisor, zygote and runner: JSON, one per line, on a unix socket.

supervisor -> zygote: `{"run": {...request...}}`, later perhaps `{"signal": 15}`
runner -> supervisor: `{"counted": {"cells": 2, "samples": 512}}` now and then, for the metrics
runner -> supervisor: `{"done": {}}` when its item has succeeded; it waits for another `{"run": ...}` then
zygote -> supervisor: `{"exit": status}` once, where status is as `os.waitstatus_to_exitcode` gives it
worker -> zygote: `{"abilities": {}}`, answered by `{"abilities": {...}}`
Either side closing the socket ends the runner.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from app.db.blobs import Place
from app.engine.abilities import abilities
from app.engine.items.leases import Lease
from app.monitoring.logs import LogFormat, LogLevel

# Raised when `worker.speed.measure` measures something else, so that machines are measured anew.
SPEED_REVISION = 5

# The exit codes of a runner. Unless it is EXIT_RECORDED, the supervisor has to record how the item ended.
EXIT_RECORDED = 0
EXIT_OUT_OF_MEMORY = 77
EXIT_STORAGE_FULL = 78
EXIT_DATABASE_AWAY = 79


@dataclass(frozen=True)
class Abilities:
    """What the machine of a worker is able to do.

    Attributes:
        devices: `cpu`, and `cuda` where there is one.
        loops: `plain`, and `compiled` where numba works.
        missing: why there are no compiled loops; None where there are.
    """

    devices: tuple[str, ...]
    loops: tuple[str, ...]
    missing: str | None = None

    def names(self) -> list[str]:
        """Return the abilities as work items require them."""
        return abilities(self.devices, self.loops)


@dataclass(frozen=True)
class RunRequest:
    """What a runner needs: the lease of its item, and where database and blobs are.

    Attributes:
        lease: of its item.
        lease_s: how long the database may be away before the runner gives the item up.
        database_url: of the database.
        blobs: where the files are.
        memory_bytes: limit of its memory; None is none.
        log_format: of its log.
        log_level: of its log.
        traces_url: where its spans go; None records none.
        trace: the worker's span, which the runner's belongs to.
    """

    lease: Lease
    lease_s: float
    database_url: str
    blobs: Place
    memory_bytes: int | None
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    traces_url: str | None = None
    trace: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunRequest:
        """Return the request that `to_json` wrote."""
        return cls(**{**data, "lease": Lease(**data["lease"]), "blobs": Place(**data["blobs"])})


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message."""
    connection.sendall(json.dumps(message).encode() + b"\n")


def receive(connection: socket.socket) -> bytes:
    """Wait for bytes and return them; none when the other side is gone, even with something unread."""
    try:
        return connection.recv(65536)
    except ConnectionError:  # it died before it read what was sent to it
        return b""


def report(connection: socket.socket, cells: int, samples: int) -> None:
    """Tell the supervisor what was found since the last report; without one nobody counts."""
    if cells or samples:
        with contextlib.suppress(ConnectionError):
            send(connection, {"counted": {"cells": cells, "samples": samples}})


def requests(first: dict[str, Any], connection: socket.socket, more: int) -> Iterator[RunRequest]:
    """Yield the items of a runner; asking for the next one reports that the last one has succeeded.

    Args:
        first: the request that the runner was forked for.
        connection: leads to the supervisor.
        more: file descriptor on which the zygote passes on what the supervisor sends next.
    """
    yield RunRequest.from_json(first)
    with os.fdopen(more, "rb") as lines:
        while True:
            with contextlib.suppress(ConnectionError):  # without a supervisor the zygote ends this process
                send(connection, {"done": {}})
            line = lines.readline()
            if not line:
                return
            yield RunRequest.from_json(json.loads(line))


class LineReader:
    """Splits what arrives on a socket into messages."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes and return the messages that they complete."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines if line]
