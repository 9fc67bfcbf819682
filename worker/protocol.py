"""What a supervisor, the zygote and a runner say to each other: JSON, a line a message, on a unix socket.

supervisor -> zygote: `{"run": {...request...}}`, later perhaps `{"signal": 15}`
zygote -> supervisor: `{"exit": status}` once, where status is as `os.waitstatus_to_exitcode` gives it
Either side closing the socket ends the runner.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

from app.jobs.items import Lease

# Raised when `worker.speed` measures something else, so that machines are measured anew.
SPEED_REVISION = 5

# The exit codes of a runner. It has told the database everything, unless it crashed.
EXIT_TOLD = 0
EXIT_OUT_OF_MEMORY = 77


@dataclass(frozen=True)
class RunRequest:
    """What a runner has to know: its lease, and where database and blobs are."""

    lease: Lease
    database_url: str
    blob_folder: str
    memory_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunRequest:
        """Return the request that `to_json` wrote."""
        return cls(**{**data, "lease": Lease(**data["lease"])})


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message."""
    connection.sendall(json.dumps(message).encode() + b"\n")


class LineReader:
    """Splits what arrives on a socket into messages."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes and return the messages that they complete."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines if line]
