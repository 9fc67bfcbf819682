"""A TCP proxy whose connections a test can cut, refuse or let hang."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards bytes to a server, as long as it is told to. A context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._refusing = self._hanging = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join(10)
        self._listener.close()
        for one in self._pairs:
            one.close()

    def cut(self) -> None:
        """Close all connections that are open."""
        with self._lock:
            for one in self._pairs:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def away(self):
        """Close all connections and every new one."""
        self._refusing = True
        self.cut()
        try:
            yield
        finally:
            self._refusing = False

    @contextlib.contextmanager
    def hanging(self):
        """Take connections and bytes, and answer nothing."""
        self._hanging = True
        try:
            yield
        finally:
            self._hanging = False

    def _run(self) -> None:
        while not self._closed.is_set():
            selector = selectors.DefaultSelector()
            selector.register(self._listener, selectors.EVENT_READ)
            with self._lock:
                for one in self._pairs:
                    if not self._hanging:
                        selector.register(one, selectors.EVENT_READ)
            for key, _ in selector.select(0.02):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._forward(key.fileobj)
            selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._refusing:
            client.close()
            return
        try:
            server = socket.create_connection(self._server, 5)
        except OSError:
            client.close()
            return
        with self._lock:
            self._pairs[client], self._pairs[server] = server, client

    def _forward(self, source: socket.socket) -> None:
        target = self._pairs.get(source)
        if target is None:
            return
        try:
            data = source.recv(1 << 16)
            if data:
                target.sendall(data)
                return
        except OSError:
            pass
        with self._lock:
            for one in (source, target):
                self._pairs.pop(one, None)
                one.close()
