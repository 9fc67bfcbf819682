"""The format of event streams (WHATWG HTML, 9.2), as the service writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One event of a stream: its JSON data and the id by which the stream goes on after it."""

    id: str
    data: Any


class StreamReader:
    """Turns the bytes of an event stream into messages.

    Attributes:
        retry_s: the pause before coming again that the stream asks for; None before it says.
    """

    def __init__(self) -> None:
        self.retry_s: float | None = None
        self._rest = b""
        self._id = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with these bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            message = self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if message is not None:
                yield message

    def _line(self, line: str) -> Message | None:
        if not line:
            data, self._data = self._data, []
            return Message(self._id, json.loads("\n".join(data))) if data else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value
        elif name == "retry" and value.isdigit():
            self.retry_s = int(value) / 1000
        return None
