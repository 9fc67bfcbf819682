"""The zygote: imports torch once, runs no torch operation, and forks runners.

A child forked from a process that has run a torch operation may hang, and a fresh import takes seconds; a
fork of this process takes milliseconds. It has one thread and lives as long as its worker: when the worker's
end of standard input closes, all runners are killed and it leaves.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NoReturn

from worker.protocol import Abilities, LineReader, receive, report, requests, send

_STDIN = 0
_OPTIONAL = ("psycopg", "simulator.tile.fast.kernels")  # an extra; and what the worker says is missing
_PRELOAD = (
    "torch",
    "torch.fx",
    "onnx",
    "psycopg",
    "simulator.nn",
    "simulator.tile.fast.kernels",
    "simulator.onnx.importer",
    "simulator.data.loading",
    "simulator.train",
    "simulator.evaluate",
    "worker.runner.main",
)


@dataclass
class _Client:
    connection: socket.socket
    reader: LineReader = field(default_factory=LineReader)
    child: int | None = None
    more: int | None = None  # the end of a pipe, on which the child reads the requests after the first


class Zygote:
    """Accepts supervisors on a socket and keeps their runners."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}  # by the connection's file descriptor
        # Runners hold the reading end: it closes for them when this process ends, however it ends.
        self._life_read, self._life_write = os.pipe()
        self._wake_read, self._wake_write = socket.socketpair()

    def serve(self) -> None:
        """Serve until standard input closes."""
        self._wake_read.settimeout(0)
        self._wake_write.settimeout(0)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the worker, which decides
        # Held back and not ignored, so that a runner finds what was sent to it before it could listen.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        for source in (self._listener, self._wake_read, _STDIN):
            self._selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fd == _STDIN:
                    if not os.read(_STDIN, 1024):
                        signal.set_wakeup_fd(-1)  # the socket is closed before the last runner has died
                        self._kill_all()
                        return
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_read:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_read.recv(4096)
                else:
                    self._hear(key.fd)
            self._reap()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._clients[connection.fileno()] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _hear(self, descriptor: int) -> None:
        client = self._clients.get(descriptor)
        if client is None:
            return
        data = receive(client.connection)
        if not data:
            self._forget(client)
            return
        for message in client.reader.feed(data):
            if "run" in message and client.more is not None:
                with contextlib.suppress(BrokenPipeError):  # it has just died, and is reaped next
                    os.write(client.more, json.dumps(message["run"]).encode() + b"\n")
            elif "run" in message:
                self._fork(client, message["run"])
            elif "abilities" in message:
                with contextlib.suppress(OSError):
                    send(client.connection, {"abilities": asdict(_abilities())})
            elif "signal" in message and client.child is not None:
                # The child is not reaped yet, so the number is still its own.
                os.kill(client.child, message["signal"])

    def _forget(self, client: _Client) -> None:
        """Drop a client; a runner without its supervisor is killed."""
        self._selector.unregister(client.connection)
        del self._clients[client.connection.fileno()]
        client.connection.close()
        if client.more is not None:
            os.close(client.more)
        if client.child is not None:
            os.kill(client.child, signal.SIGKILL)

    def _fork(self, client: _Client, request: dict[str, Any]) -> None:
        more, client.more = os.pipe()
        client.child = os.fork()
        if client.child == 0:
            self._become_runner(client, request, more)
        os.close(more)

    def _become_runner(self, own: _Client, request: dict[str, Any], more: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._listener.close()
            for client in self._clients.values():
                if client.more is not None:
                    os.close(client.more)
                if client is not own:
                    client.connection.close()
            os.close(self._life_write)
            threading.Thread(target=_die_with, args=(self._life_read,), daemon=True).start()
            from worker.runner.main import run

            code = run(requests(request, own.connection, more), partial(report, own.connection))
        except BaseException:  # noqa: BLE001 - nothing above would say it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            for client in list(self._clients.values()):
                if client.child == child:
                    client.child = None
                    with contextlib.suppress(OSError):
                        send(client.connection, {"exit": os.waitstatus_to_exitcode(status)})
                    self._forget(client)

    def _kill_all(self) -> None:
        for client in self._clients.values():
            if client.child is not None:
                os.kill(client.child, signal.SIGKILL)


def _abilities() -> Abilities:
    """Find what this machine can do without running a torch operation."""
    from torch import cuda

    devices, loops, missing = ["cpu"], ["plain"], None
    if cuda.is_available():  # by NVML, see `main`: it leaves no context that a fork could not use
        devices.append("cuda")
    try:
        importlib.import_module("simulator.tile.fast.kernels")
    except ImportError as error:
        missing = str(error)
    else:
        loops.append("compiled")
    return Abilities(tuple(devices), tuple(loops), missing)


def _die_with(life: int) -> None:
    os.read(life, 1)  # returns only when the zygote is gone
    os._exit(1)


def main(socket_path: str) -> None:
    """Import what runners need and serve on the socket."""
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(socket_path)
    listener.listen(64)  # supervisors may connect while the imports still run
    for module in _PRELOAD:
        with contextlib.suppress(ImportError) if module in _OPTIONAL else contextlib.nullcontext():
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is imported is never collected, so forks keep sharing its pages
    Zygote(listener).serve()


if __name__ == "__main__":
    main(sys.argv[1])
