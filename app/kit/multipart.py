"""One file out of a `multipart/form-data` body, as the bytes stream by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.kit.faults import unknown_name
from app.kit.problems import BadRequest, Fault, InvalidRequest, shortened
from simulator.config.base import unknown

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
MAX_FRAMING_BYTES = 64 * 1024


class FilePart:
    """Takes a body piece by piece and gives back the bytes of its field `file`.

    Attributes:
        filename: what the client calls the file; a label, never a path.
        media_type: the part's own type.
    """

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise BadRequest("the Content-Type multipart/form-data lacks its boundary")
        self.filename: str | None = None
        self.media_type = "application/octet-stream"
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._found = False
        self._complete = False
        self._data: list[bytes] = []
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise BadRequest(f"the multipart boundary is not acceptable: {error}") from error

    def feed(self, chunk: bytes) -> bytes:
        """Return the file's bytes in this piece of the body.

        Raises:
            BadRequest: the body is not multipart/form-data.
            InvalidRequest: it has other fields than one `file`.
        """
        self._data.clear()
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest(f"the body is not valid multipart/form-data: {error}") from error
        return b"".join(self._data)

    def finish(self) -> None:
        """Check that the body was complete and held the file; raises as `feed` does."""
        if not self._complete:
            raise BadRequest("the multipart body ends too early: its closing boundary is missing")
        if not self._found:
            fault = Fault(
                pointer=f"/{FIELD}",
                code="missing",
                message=f"there is no field {FIELD!r}",
                hint=f"curl -F {FIELD}=@<path>",
            )
            raise InvalidRequest("the form has no file", errors=[fault])

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field != FIELD:
            said = unknown("form field", shortened(field, 100), [FIELD])
            raise InvalidRequest(str(said), errors=[unknown_name("", "unknown_field", said)])
        if self._found:
            message = f"there is more than one field {FIELD!r}"
            fault = Fault(pointer=f"/{FIELD}", code="duplicate_key", message=message, hint="send one file")
            raise InvalidRequest(message, errors=[fault])
        self._found = True
        if b"filename" in options:
            self.filename = options[b"filename"].decode("utf-8", "replace")
        if b"content-type" in self._headers:
            self.media_type = (
                self._headers[b"content-type"].decode("latin-1").partition(";")[0].strip().lower()
            )

    def _on_end(self) -> None:
        self._complete = True
