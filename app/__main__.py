"""Serve the API: `python -m app`, with the options of uvicorn beside its own."""

from __future__ import annotations

import gc
import sys
from typing import Final

import uvicorn
from fastapi import FastAPI

# Clients that ask every few seconds must not meet a connection that is just being closed, and proxies close
# theirs first.
OPTIONS: Final = (
    "app.__main__:application", "--factory",
    "--http", "app.kit.wire:PatientProtocol",
    "--timeout-keep-alive", "75",
)  # fmt: skip

# New objects after which Python looks for garbage among them, and how many such looks come before one at
# all that stayed. With its own numbers it looked through all connections and streams every few seconds, and
# kept all clients waiting for 0.2 s.
GARBAGE: Final = (5_000, 20, 20)


def application() -> FastAPI:
    """Return the application of a process that does nothing else."""
    gc.disable()  # nearly all that an import makes stays
    from app.main import create_app  # not in a process that only watches those that serve

    app = create_app()
    gc.collect()
    gc.freeze()  # what is loaded stays; looking through it again and again took an eighth of the time
    gc.set_threshold(*GARBAGE)
    gc.enable()
    return app


if __name__ == "__main__":
    uvicorn.main([*OPTIONS, *sys.argv[1:]], prog_name="python -m app")
