"""The files that pages load: kept in memory, under an address that changes with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as PathParameter

from app.kit.access import OPEN
from app.kit.problems import NotFound, shortened
from app.kit.routing import StrictRoute

router = APIRouter(prefix="/static", include_in_schema=False, route_class=StrictRoute)

_FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_FOR_A_YEAR = "public, max-age=31536000, immutable"
_NOT_GUESSED = {"X-Content-Type-Options": "nosniff"}
_DIGITS = 12


@dataclass(frozen=True)
class Assets:
    """All static files.

    Attributes:
        version: of all of them together, so that modules which import each other by relative paths fit.
        files: content by path.
    """

    version: str
    files: dict[str, bytes]

    def path(self, name: str) -> str:
        """Return the path of a file below the application's root; KeyError if there is none."""
        if name not in self.files:
            raise KeyError(name)
        return f"static/{self.version}/{name}"


@cache
def assets() -> Assets:
    """Return the files, read once."""
    found = {
        path.relative_to(_FOLDER).as_posix(): path.read_bytes()
        for path in sorted(_FOLDER.rglob("*"))
        if path.is_file() and path.suffix in _MEDIA_TYPES
    }
    digest = hashlib.sha256()
    for name, content in found.items():
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return Assets(digest.hexdigest()[:_DIGITS], found)


@router.get("/{version}/{name:path}", openapi_extra=OPEN)
async def get_static_file(
    version: Annotated[str, PathParameter()], name: Annotated[str, PathParameter()]
) -> Response:
    """Return a static file; browsers keep it for as long as its address names this version."""
    content = assets().files.get(name)
    if content is None:
        raise NotFound(f"there is no static file {shortened(name, 100)!r}")
    caching = _FOR_A_YEAR if version == assets().version else "no-cache"
    media_type = _MEDIA_TYPES[Path(name).suffix]
    return Response(content, media_type=media_type, headers={"Cache-Control": caching, **_NOT_GUESSED})
