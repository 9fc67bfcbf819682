"""Serve the API: `python -m app`, with the options of uvicorn beside its own."""

from __future__ import annotations

import gc
import sys
from typing import Final

import uvicorn
from fastapi import FastAPI

from app.main import create_app

# Clients that ask every few seconds must not meet a connection that is just being closed, and proxies close
# theirs first.
OPTIONS: Final = (
    "app.__main__:application", "--factory",
    "--http", "app.kit.wire:PatientProtocol",
    "--timeout-keep-alive", "75",
)  # fmt: skip


def application() -> FastAPI:
    """Return the application of a process that does nothing else."""
    app = create_app()
    gc.collect()
    gc.freeze()  # what is loaded stays; looking through it again and again took an eighth of the time
    return app


if __name__ == "__main__":
    uvicorn.main([*OPTIONS, *sys.argv[1:]], prog_name="python -m app")
