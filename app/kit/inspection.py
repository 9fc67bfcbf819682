"""The inspection of clients' files in a limited child process, never in the API's own.

The child is one of the simulator's command lines, which limits its own memory and processor time. It gets an
empty folder, next to no environment, and a wall-clock limit.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread

import simulator.config
from app.kit import strictjson
from app.kit.problems import Fault, InvalidRequest, Problem, TooLarge, shortened
from app.kit.turns import Turns

log = logging.getLogger(__name__)

_REJECTED = 3
_MAX_REPORT_BYTES = 32 * 1024 * 1024
_AT_ONCE = 2
_MOST_WAITING = 16
_RETRY_AFTER_S = 10
_LONGEST_TEXT = 1000  # of a name in a file
_CODE_ROOT = Path(simulator.config.__file__).resolve().parents[2]


class Inspector:
    """Runs inspections: two at a time, one of each kind for one client, and few wait."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._turns = Turns(
            _AT_ONCE, at_once_each=1, most_waiting=_MOST_WAITING, retry_after_s=_RETRY_AFTER_S
        )

    async def inspect(
        self, module: str, path: Path, *options: str, too_complex: str, client: str = ""
    ) -> dict[str, Any]:
        """Return the report of `python -m <module> inspect <path> <options>`.

        Args:
            module: a package of the simulator with a command line, such as `simulator.onnx`.
            path: the client's file.
            options: further arguments.
            too_complex: the code of a file whose inspection exceeds the child's limits.
            client: the sender's address.

        Raises:
            InvalidRequest: the child rejected the file (its code and all its faults), exceeded a limit
                (`too_complex`) or ended unexpectedly (`inspection_failed`), or the file has names that cannot
                be stored.
            TooLarge: the child rejected the file for its size.
            Unavailable: too many files wait already.
        """
        async with self._turns.turn((client, module)):
            return await anyio.to_thread.run_sync(
                self._inspect, module, path, options, too_complex, limiter=self._limiter
            )

    def _inspect(self, module: str, path: Path, options: tuple[str, ...], too_complex: str) -> dict[str, Any]:
        command = [sys.executable, "-P", "-s", "-m", module, "inspect", str(path.absolute()), *options]
        with (
            tempfile.TemporaryDirectory(prefix="driftline-inspect-") as folder,
            tempfile.TemporaryFile() as report,
            tempfile.TemporaryFile() as complaints,
        ):
            code = _run(command, folder, report, complaints, self._timeout_s)
            result = _read_json(report) if code in (0, _REJECTED) else None
            if isinstance(result, dict) and (code == 0) != ("error" in result):
                if code == 0:
                    _refuse_unstorable(result)
                    return result
                raise _rejection(result["error"])
            log.error("%s ended with %s: %s", module, code, _tail(complaints))
            raise _breakdown(code, self._timeout_s, too_complex)


def _run(
    command: list[str], folder: str, report: IO[bytes], complaints: IO[bytes], timeout_s: float
) -> int | None:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(_CODE_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=report,
        stderr=complaints,
        start_new_session=True,
    )
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)  # its own session: whatever it started goes with it
            child.wait()


def _read_json(report: IO[bytes]) -> Any:
    report.seek(0)
    text = report.read(_MAX_REPORT_BYTES + 1)
    if len(text) > _MAX_REPORT_BYTES:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refuse_unstorable(report: dict[str, Any]) -> None:
    """Refuse names in a file that no database stores and no terminal shows."""
    faults = list(strictjson.text_faults(report, most_characters=_LONGEST_TEXT))
    if not faults:
        return
    hint = "give what is named so another name, and write the file again"
    raise InvalidRequest(
        "names in the file cannot be stored; the pointers are those of the report that would be made of it",
        code="unusable_name",
        errors=[fault.model_copy(update={"hint": hint}) for fault in faults],
    )


def _tail(complaints: IO[bytes]) -> str:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - 4000))
    return complaints.read().decode("utf-8", "replace")


def _breakdown(code: int | None, timeout_s: float, too_complex: str) -> Problem:
    """Return the problem of a file whose inspection ended without an answer.

    Args:
        code: the child's exit code, None where it was killed when its time was over.
        timeout_s: the wall-clock limit.
        too_complex: the code of a file that exceeds a limit.
    """
    limits = {
        None: f"it took longer than {timeout_s:g} s",
        -signal.SIGXCPU: "it took too much processor time",
        -signal.SIGKILL: "it took too much memory",  # the kernel's killer of processes sends this
    }
    if code in limits:
        message = f"the inspection of the file exceeded a limit: {limits[code]}"
        fault = Fault(pointer="", code=too_complex, message=message, hint="send a smaller file")
    else:
        message = "the inspection of the file ended unexpectedly"
        hint = (
            "check that the file is whole and that other programs read it; the service's log has the details"
        )
        fault = Fault(pointer="", code="inspection_failed", message=message, hint=hint)
    return InvalidRequest(message, code=fault.code, errors=[fault])


def _rejection(error: dict[str, Any]) -> Problem:
    code, message = str(error["code"]), shortened(str(error["message"]))
    faults = [
        Fault(
            pointer=str(fault.get("pointer") or ""),
            code=str(fault.get("code") or code),
            message=shortened(str(fault["message"])),
            hint=fault.get("hint"),
        )
        for fault in error.get("errors") or []
    ]
    kind = TooLarge if code == "too_large" else InvalidRequest
    return kind(message, code=code, errors=faults or [Fault(pointer="", code=code, message=message)])
