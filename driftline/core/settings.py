"""Where the service is and how it is spoken to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from driftline.core.steps import Request
from driftline.errors import InvalidInput

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE = "DRIFTLINE_URL"
KEY_VARIABLE = "DRIFTLINE_API_KEY"
KEY_FILE_VARIABLE = "DRIFTLINE_API_KEY_FILE"


@dataclass(frozen=True)
class Settings:
    """The settings of a connection.

    Attributes:
        base_url: where the service is.
        api_key: sent as `Authorization: Bearer`; None sends nothing.
        timeout_s: for one answer.
        retries: how often a request is repeated at most.
    """

    base_url: str
    api_key: str | None
    timeout_s: float
    retries: int

    @classmethod
    def of(cls, base_url: str | None, api_key: str | None, timeout_s: float, retries: int) -> Settings:
        """Return the settings, from the environment where an argument is None.

        Raises:
            InvalidInput: the address is not one of HTTP, the key cannot stand in a header, or the file that
                should hold it cannot be read.
        """
        url = base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        key = api_key or os.environ.get(KEY_VARIABLE) or _key_in_file()
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"{url!r} is not an address: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InvalidInput(f"{url!r} is not the address of a service: write it as {DEFAULT_URL}")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise InvalidInput("the key holds characters that cannot stand in a header")
        return cls(url.rstrip("/"), key, timeout_s, retries)

    def client_options(self) -> dict[str, Any]:
        """Return the arguments for httpx's clients."""
        headers = {"User-Agent": "driftline-python"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        # Reading certificates takes 50 ms; a plain address has none to check, and no redirect is followed.
        verify = self.base_url.startswith("https")
        return {"base_url": self.base_url, "timeout": self.timeout_s, "headers": headers, "verify": verify}

    def request_options(self, request: Request) -> dict[str, Any]:
        """Return the arguments for httpx's `build_request`, without the body."""
        wanted = {name: value for name, value in request.params.items() if value is not None}
        timeout = httpx.Timeout(self.timeout_s, read=self.timeout_s + request.extra_wait_s)
        return {
            "method": request.method,
            "url": request.path,
            "params": wanted,
            "headers": dict(request.headers),
            "timeout": timeout,
        }


def _key_in_file() -> str | None:
    """Return the key in the file that the environment names; None where it names none."""
    path = os.environ.get(KEY_FILE_VARIABLE)
    if not path:
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the key cannot be read from {path} ({KEY_FILE_VARIABLE}): {error}") from None
