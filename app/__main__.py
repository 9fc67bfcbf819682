"""Serve the API: `python -m app`, with the options of uvicorn beside its own."""

from __future__ import annotations

import sys
from typing import Final

import uvicorn

# Clients that ask every few seconds must not meet a connection that is just being closed, and proxies close
# theirs first.
OPTIONS: Final = (
    "app.main:create_app", "--factory",
    "--http", "app.kit.wire:PatientProtocol",
    "--timeout-keep-alive", "75",
)  # fmt: skip

if __name__ == "__main__":
    uvicorn.main([*OPTIONS, *sys.argv[1:]], prog_name="python -m app")
