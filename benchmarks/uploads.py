"""Many large uploads at once against one API process: its memory, its disk, and how it answers meanwhile.

`python -m benchmarks.uploads [--uploads 100] [--megabytes 200]` prints one JSON object. Each upload is
streamed from a generator, and sent again after the pause that a 503 asks for. The bytes are no model, so each
upload that was received whole ends with 422.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from app.db.migrate import migrate
from app.settings import MIB, Settings

_BLOCK = os.urandom(MIB)
_LOOK_S = 0.1
_AGAIN_S = 1.0


def measure(uploads: int, megabytes: int) -> dict[str, Any]:
    """Return what was seen while so many files of so many MiB were sent at once."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = Settings(data_dir=Path(folder), port=port)
        migrate(settings.resolved_database_url)
        command = [sys.executable, "-m", "app", "--no-access-log"]
        command += ["--port", str(settings.port), "--log-level", "warning"]
        process = subprocess.Popen(command, env={**os.environ, **settings.to_environment()})
        try:
            return _measured(settings, process.pid, uploads, megabytes)
        finally:
            process.terminate()
            process.wait(30)


def _measured(settings: Settings, pid: int, uploads: int, megabytes: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{settings.port}"
    _await_ready(url)
    before = _rss_bytes(pid)
    look = _Look(settings, pid, url)
    look.start()
    begun = time.perf_counter()
    with ThreadPoolExecutor(uploads) as pool:
        answers = list(pool.map(lambda _: _send(url, megabytes), range(uploads)))
    seconds = time.perf_counter() - begun
    look.stop()
    waits = sorted(look.waits_s)
    return {
        "uploads": uploads,
        "megabytes_each": megabytes,
        "places": settings.max_uploads_at_once,
        "seconds": round(seconds, 1),
        "last_answers": dict(Counter(status for status, _ in answers)),
        "sent_again_because_of_503": sum(again for _, again in answers),
        "memory_before_mib": round(before / MIB),
        "memory_peak_mib": round(look.peak_rss_bytes / MIB),
        "disk_peak_mib": round(look.peak_disk_bytes / MIB),
        "other_requests": len(waits),
        "other_requests_median_ms": round(1000 * waits[len(waits) // 2]),
        "other_requests_longest_ms": round(1000 * waits[-1]),
    }


def _send(url: str, megabytes: int) -> tuple[int | str, int]:
    """Send a file until it is no longer told to come again; return the last status, and how often it was."""
    again = 0
    while True:
        try:
            answer = httpx.post(
                f"{url}/v1/models",
                content=_blocks(megabytes),
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(megabytes * MIB),
                },
                timeout=600,
            )
        except httpx.HTTPError as error:  # the connection ended while it sent
            return type(error).__name__, again
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return answer.status_code, again
        again += 1
        time.sleep(float(answer.headers.get("retry-after", _AGAIN_S)))


def _blocks(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes):
        yield _BLOCK


class _Look(threading.Thread):
    """Looks at the process's memory and folder, and asks it something else, all the time."""

    def __init__(self, settings: Settings, pid: int, url: str) -> None:
        super().__init__(daemon=True)
        self._folder, self._pid, self._url = settings.data_dir, pid, url
        self._stopped = threading.Event()
        self.peak_rss_bytes = self.peak_disk_bytes = 0
        self.waits_s: list[float] = []

    def run(self) -> None:
        """Look until `stop`."""
        with httpx.Client(timeout=120) as client:
            while not self._stopped.wait(_LOOK_S):
                self.peak_rss_bytes = max(self.peak_rss_bytes, _rss_bytes(self._pid))
                self.peak_disk_bytes = max(self.peak_disk_bytes, _disk_bytes(self._folder))
                begun = time.perf_counter()
                client.get(f"{self._url}/v1/jobs").raise_for_status()
                self.waits_s.append(time.perf_counter() - begun)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join()


def _rss_bytes(pid: int) -> int:
    """Return the memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _disk_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _await_ready(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/healthz/live").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def main() -> None:
    """Print what was measured as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploads", description=__doc__)
    parser.add_argument("--uploads", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=200)
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(measure(asked.uploads, asked.megabytes), indent=2) + "\n")


if __name__ == "__main__":
    main()
