"""Files that clients send: streamed to the blob store's disk, measured and hashed on the way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.kit.bodies import CLOSE, read_chunks
from app.kit.multipart import FIELD, MAX_FRAMING_BYTES, FilePart
from app.kit.problems import (
    Fault,
    InvalidRequest,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
    shortened,
)
from app.kit.transactions import Application

MULTIPART = "multipart/form-data"
OCTET_STREAM = "application/octet-stream"
_BLOCK_BYTES = 1024 * 1024
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_NAME = 200
_RETRY_AFTER_S = 5


@dataclass(frozen=True)
class Upload:
    """A file that has arrived whole.

    Attributes:
        path: of the temporary file, which is deleted after the request unless the blob store adopts it.
        media_type: of the body, or of the form's part.
        filename: the client's name of it, in a form.
    """

    path: Path
    size_bytes: int
    sha256: str
    media_type: str
    filename: str | None

    def label(self, prefix: str) -> str:
        """Return a name for an upload that the client did not name."""
        stem = PurePosixPath((self.filename or "").replace("\\", "/")).stem
        return _UNPRINTABLE.sub("", stem)[:_MAX_NAME].strip(". ") or f"{prefix}-{self.sha256[:8]}"


class UploadPlaces:
    """How many uploads one process takes at a time, from their first byte to their place in the storage.

    Who waits for a place is not read from, and costs neither memory nor disk. Belongs to one event loop.

    Args:
        most: places.
        wait_s: how long an upload waits for one.
    """

    def __init__(self, most: int, wait_s: float) -> None:
        self._wait_s = wait_s
        self._free = anyio.Semaphore(most, max_value=most)

    @property
    def free(self) -> int:
        """How many places are free."""
        return self._free.value

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and have it; Unavailable if there is none in time."""
        try:
            with anyio.fail_after(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(
                "the service is receiving as many files as it can; send the file again later",
                code="too_busy",
                headers={"Retry-After": str(_RETRY_AFTER_S), **CLOSE},
            ) from None
        try:
            yield
        finally:
            self._free.release()


@asynccontextmanager
async def receive_upload(
    request: Request, application: Application, *, media_types: Collection[str], what: str
) -> AsyncIterator[Upload]:
    """Yield the file of a raw body or of the form field `file`; it is deleted afterwards unless adopted.

    Args:
        request: the request, its body unread.
        application: for the blob store and the limits.
        media_types: what a raw body may be, besides a form.
        what: what the file is, for messages.

    Raises:
        UnsupportedMediaType, TooLarge, UploadTimeout, BadRequest, InvalidRequest: the file is refused.
        Unavailable: too many are being received, and none came to its end in time.
    """
    settings = application.settings
    limit = settings.max_upload_bytes
    media_type = _media_type(request, media_types, what)
    form = FilePart(request.headers["content-type"]) if media_type == MULTIPART else None
    async with application.uploads.place():
        with application.blobs.incoming() as (file, path):
            sink = _Sink(file)
            async for chunk in read_chunks(
                request,
                max_bytes=limit + (MAX_FRAMING_BYTES if form else 0),
                read_timeout_s=settings.upload_read_timeout_s,
                what=what,
            ):
                await sink.take(form.feed(chunk) if form else chunk)
                if sink.size_bytes > limit:
                    raise _too_large(limit, what)
            await sink.finish()
            if form:
                form.finish()
            if sink.size_bytes == 0:
                message = f"the {what} is empty"
                fault = Fault(pointer="", code="empty_file", message=message, hint="send the file's bytes")
                raise InvalidRequest(message, code="empty_file", errors=[fault])
            yield Upload(
                path,
                sink.size_bytes,
                sink.sha256,
                form.media_type if form else media_type,
                form.filename if form else None,
            )


class _Sink:
    """Writes and hashes in large blocks, off the event loop."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._block = bytearray()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def take(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self._block += data
        if len(self._block) >= _BLOCK_BYTES:
            await run_in_threadpool(self._write)

    async def finish(self) -> None:
        await run_in_threadpool(self._write)

    def _write(self) -> None:
        self._hash.update(self._block)
        self._file.write(self._block)
        self._file.flush()
        self._block.clear()


def client_of(request: Request) -> str:
    """Return the address of the client; empty if it is not known."""
    return request.client.host if request.client else ""


def media_type_of(request: Request) -> str:
    """Return the declared media type of the body, without parameters; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _media_type(request: Request, media_types: Collection[str], what: str) -> str:
    said = request.headers.get("content-type", "")
    media_type = media_type_of(request)
    if media_type == MULTIPART or media_type in media_types:
        return media_type
    raise unsupported_media_type(
        f"the service does not accept a {what} as {shortened(said, 100)!r}"
        if said
        else "the body has no Content-Type",
        hint=f"send the file as {OCTET_STREAM} (curl -H 'Content-Type: {OCTET_STREAM}' --data-binary @<path>)"
        f" or as a form (curl -F {FIELD}=@<path>)",
    )


def unsupported_media_type(
    message: str, *, hint: str, code: str = "unsupported_media_type"
) -> UnsupportedMediaType:
    """Return the problem of a file of the wrong kind."""
    fault = Fault(pointer="/header/content-type", code=code, message=message, hint=hint)
    return UnsupportedMediaType(message, code=code, errors=[fault], headers=CLOSE)


def _too_large(limit: int, what: str) -> TooLarge:
    message = f"the {what} is larger than the limit of {limit} bytes"
    return TooLarge(message, errors=[Fault(pointer="", code="too_large", message=message)], headers=CLOSE)


def upload_openapi(media_types: Collection[str]) -> dict[str, Any]:
    """Return the OpenAPI request body of an upload, which FastAPI cannot derive from the endpoint."""
    binary = {"type": "string", "format": "binary"}
    content: dict[str, Any] = {media_type: {"schema": binary} for media_type in media_types}
    content[MULTIPART] = {
        "schema": {
            "type": "object",
            "properties": {FIELD: binary},
            "required": [FIELD],
            "additionalProperties": False,
        }
    }
    return {"requestBody": {"required": True, "content": content}}
