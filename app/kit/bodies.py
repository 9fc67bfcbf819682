"""Reading a request's body with a size limit that holds while reading, and a deadline for each read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio
from starlette.requests import Request

from app.kit.problems import (
    BadRequest,
    Fault,
    TooLarge,
    UnsupportedMediaType,
    UploadTimeout,
    shortened,
)

# The rest of a refused body has no use: the connection ends with the answer.
CLOSE = {"Connection": "close"}
# A client that sends a byte now and then would hold its place for hours.
LEAST_BYTES_A_SECOND: Final = 1024


async def read_chunks(
    request: Request, *, max_bytes: int, read_timeout_s: float, what: str = "body"
) -> AsyncIterator[bytes]:
    """Yield the body's chunks as they arrive.

    Raises:
        TooLarge: the body is declared, or turns out, to be larger than the limit.
        UploadTimeout: nothing arrived within the time of one read, or too little since the beginning.
        BadRequest: Content-Length is not a number.
        UnsupportedMediaType: the body is compressed.
        ClientDisconnect: the client went away.
    """
    _refuse_encoded(request)
    if _declared_length(request) > max_bytes:
        raise _too_large(max_bytes, what)
    received = 0
    stream = request.stream()
    begun = anyio.current_time()
    while True:
        left_s = begun + read_timeout_s + received / LEAST_BYTES_A_SECOND - anyio.current_time()
        try:
            with anyio.fail_after(min(read_timeout_s, left_s)):
                chunk = await anext(stream, b"")
        except TimeoutError:
            what_happened = (
                f"nothing arrived for {read_timeout_s:g} s after {received} bytes"
                if left_s >= read_timeout_s
                else f"{received} bytes in {anyio.current_time() - begun:.0f} s are too few"
            )
            raise UploadTimeout(f"{what_happened}; send it again", headers=CLOSE) from None
        if not chunk:
            return
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes, what)
        yield chunk


async def read_all(request: Request, *, max_bytes: int, read_timeout_s: float) -> bytes:
    """Return the whole body; raises as `read_chunks` does."""
    chunks = [
        chunk async for chunk in read_chunks(request, max_bytes=max_bytes, read_timeout_s=read_timeout_s)
    ]
    return b"".join(chunks)


def _refuse_encoded(request: Request) -> None:
    coding = ",".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding in ("", "identity"):
        return
    message = f"the service does not accept a body with Content-Encoding {shortened(coding, 100)!r}"
    fault = Fault(
        pointer="/header/content-encoding",
        code="unsupported_content_encoding",
        message=message,
        hint="send the body uncompressed, without Content-Encoding",
    )
    headers = {"Accept-Encoding": "identity", **CLOSE}  # what is accepted, in the words of RFC 9110, 12.5.3
    raise UnsupportedMediaType(message, code=fault.code, errors=[fault], headers=headers)


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length")
    if declared is None:
        return 0
    if not (declared.isascii() and declared.isdigit()):
        raise BadRequest("Content-Length is not a number of bytes", headers=CLOSE)
    # More digits than any limit has: not worth converting, and Python would refuse thousands of them.
    return int(declared) if len(declared) < 20 else 10**20


def _too_large(max_bytes: int, what: str) -> TooLarge:
    message = f"the {what} is larger than the limit of {max_bytes} bytes"
    return TooLarge(message, errors=[Fault(pointer="", code="too_large", message=message)], headers=CLOSE)
