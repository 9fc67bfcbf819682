"""Stored files as answers: entity tag, digest, ranges."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.kit.etag import Conditional
from app.kit.middleware import request_id_of
from app.kit.problems import (
    BadRequest,
    NotFound,
    Problem,
    RangeNotSatisfiable,
    problem_responses,
    respond,
)
from app.kit.semantics import HEAD_ASKED

FILE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The range that was asked for."},
    **problem_responses(BadRequest, RangeNotSatisfiable),
}
_REFUSALS: dict[int, type[Problem]] = {kind.status: kind for kind in (BadRequest, RangeNotSatisfiable)}


class StoredFile(FileResponse):
    """A file of the blob store; an impossible range is answered with a problem."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, the range that was asked for, or the problem with the range."""
        if scope.get(HEAD_ASKED):
            scope = {**scope, "method": "HEAD"}  # spares reading the file
        if not Headers(scope=scope).get("range", "bytes=").replace(" ", "").lower().startswith("bytes="):
            # Ranges in units that nobody knows are ignored (RFC 9110, 14.2).
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}
        refusal: Message | None = None

        async def send_unless_refused(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and message["status"] in _REFUSALS:
                refusal = message
            if refusal is None:
                await send(message)

        await super().__call__(scope, receive, send_unless_refused)
        if refusal is not None:
            size = Headers(raw=refusal["headers"]).get("content-range")
            problem = _REFUSALS[refusal["status"]](
                "the Range header asks for bytes that the file does not have",
                headers={} if size is None else {"Content-Range": size},
            )
            request_id = request_id_of(Request(scope))
            await respond(problem, request_id)(scope, receive, send)


def file_response(
    fetch: Callable[[], Path],
    *,
    sha256: str,
    filename: str,
    media_type: str,
    conditional: Conditional,
    response: Response,
) -> Response:
    """Return the answer that sends a stored file, or 304 when the client holds it.

    Args:
        fetch: returns the file; asked only where it is sent.
        sha256: of the file.
        filename: what the client may call it.
        media_type: of the file.
        conditional: what the client holds.
        response: whose headers a 304 has.

    Raises:
        NotFound: the file was deleted meanwhile.
    """
    etag = f'"{sha256[:32]}"'
    unchanged = conditional.not_modified(etag, response)
    if unchanged is not None:
        return unchanged
    try:
        path = fetch()
    except FileNotFoundError as error:
        raise NotFound("the file is gone") from error
    if not path.is_file():
        raise NotFound("the file is gone")
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = {"ETag": etag, "Repr-Digest": f"sha-256=:{digest}:"}  # RFC 9530
    return StoredFile(path, media_type=media_type, filename=filename, headers=headers)
