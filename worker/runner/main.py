"""A runner: the process that does work items of one job and writes everything it finds to the database."""

from __future__ import annotations

import errno
import gc
import logging
import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from sqlalchemy.exc import OperationalError

from app.db.blobs import BlobMissing, StorageAway
from app.db.session import is_transient, reason
from app.engine.abilities import loops_of
from app.engine.items.changes import Failure
from app.engine.items.leases import LeaseLost
from app.monitoring import logs
from simulator.intake import IntakeError
from simulator.memory import keep_freed_memory
from worker.protocol import (
    EXIT_DATABASE_AWAY,
    EXIT_OUT_OF_MEMORY,
    EXIT_RECORDED,
    EXIT_STORAGE_FULL,
    RunRequest,
)
from worker.runner.context import (
    InputGone,
    ItemContext,
    ItemFailedError,
    Report,
    Runner,
    Stopped,
    nobody_counts,
)

log = logging.getLogger(__name__)


def run(requests: Iterable[RunRequest], report: Report = nobody_counts) -> int:
    """Do items of one job until one does not succeed; return the process's exit code.

    Args:
        requests: the items.
        report: is told of cells and sample-forwards since it was last told, for the metrics.
    """
    runner: Runner | None = None
    for request in requests:
        lease = request.lease
        ids = {"request": lease.origin.get("request"), "job": lease.job_id}
        with logs.about(**ids, item=lease.key, attempt=lease.attempt):
            if runner is None:
                runner = _start(request, report)
            with runner.traces.span("run", request.trace, **ids, item=lease.key, attempt=lease.attempt):
                code = _attempt(runner, request)
            runner.traces.flush()
        if code is not None:
            return code
        _free_memory()
    return EXIT_RECORDED


def _start(request: RunRequest, report: Report) -> Runner:
    logs.configure(request.log_format, request.log_level)
    if request.memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (request.memory_bytes, request.memory_bytes))
    keep_freed_memory()
    return Runner(request, report)


def _free_memory() -> None:
    """Free the memory of the last item: networks are cycles of objects, and CUDA keeps what is freed."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _attempt(runner: Runner, request: RunRequest) -> int | None:
    """Do one item; return the exit code, None when it has succeeded and another one can follow."""
    item: ItemContext | None = None
    try:
        item = ItemContext(runner, request)
        return _carry_out(item)
    except LeaseLost as lost:
        log.info("%s", lost)
        return EXIT_RECORDED
    except Exception as error:
        if is_full(error):
            log.warning("%s", error)
            return EXIT_STORAGE_FULL
        if is_transient(error):
            log.warning("the database was away for longer than %g s: %s", request.lease_s, reason(error))
            return EXIT_DATABASE_AWAY
        if _is_out_of_memory(error):
            log.exception("out of memory")
            return EXIT_OUT_OF_MEMORY
        raise
    finally:
        if item is not None:
            item.report()


def _carry_out(item: ItemContext) -> int | None:
    from worker.items import HANDLERS

    torch.set_num_threads(int(item.job.execution["threads"]))
    try:
        with _loops(loops_of(item.job)):
            HANDLERS[item.lease.kind](item)
        item.finish()
    except Stopped as stop:
        item.give_back(stop.reason)
    except InputGone as gone:
        log.warning("%s from the storage; it is computed again", gone)
        item.wait_for(gone.source_key)
    except ItemFailedError as error:
        item.fail(error.failure)
    except Exception as error:
        if isinstance(error, LeaseLost) or is_full(error) or is_transient(error) or _is_out_of_memory(error):
            raise
        log.exception("the item failed")
        item.fail(_failure_of(error))
    else:
        return None
    return EXIT_RECORDED


@contextmanager
def _loops(kind: str) -> Iterator[None]:
    """Compute with the loops that the job was submitted for."""
    from simulator.tile import fast

    if kind == "plain":
        with fast.disabled():
            yield
        return
    if not fast.available():
        raise ItemFailedError("loops_unavailable", "this job runs compiled loops and this worker has none")
    yield


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, ImportError) and "failed to map segment" in str(error):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def is_full(error: BaseException) -> bool:
    """Return whether the storage takes nothing at present: no room is left, or it is away."""
    if isinstance(error, OperationalError):
        return any(what in str(error.orig) for what in ("disk is full", "No space left on device"))
    return isinstance(error, StorageAway) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    )


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, IntakeError):
        return Failure(error.code, error.message)
    if isinstance(error, BlobMissing):
        message = f"{error}: restore the storage from its backup, or upload the file again, and retry the job"
        return Failure("blob_missing", message, retryable=True)
    kind = type(error).__name__
    return Failure("internal", f"an internal error ({kind}) stopped the job; the worker's log has it")
