"""Stored files as answers: entity tag, digest, ranges."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse

from app.kit.etag import Conditional
from app.kit.problems import NotFound

FILE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The range that was asked for."},
    416: {"description": "The range is not within the file."},
}


def file_response(
    path: Path, *, sha256: str, filename: str, media_type: str, conditional: Conditional, response: Response
) -> Response:
    """Return the answer that sends a stored file, or 304 when the client holds it.

    Raises:
        NotFound: the file was deleted meanwhile.
    """
    etag = f'"{sha256[:32]}"'
    unchanged = conditional.not_modified(etag, response)
    if unchanged is not None:
        return unchanged
    if not path.is_file():
        raise NotFound("the file is gone")
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = {"ETag": etag, "Repr-Digest": f"sha-256=:{digest}:"}  # RFC 9530
    return FileResponse(path, media_type=media_type, filename=filename, headers=headers)
