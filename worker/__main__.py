"""Run a worker: `python -m worker`."""

from __future__ import annotations

import logging
import signal
import time
import warnings

from celery import Celery
from celery.platforms import SecurityWarning
from celery.worker import state

from app.start import load_settings, start_log
from worker.celery_app import make_worker
from worker.node import Node

log = logging.getLogger(__name__)

_PAUSE_S = 5.0


def main() -> None:
    """Run until SIGTERM or Ctrl-C; unfinished work items go back to the queue.

    Celery listens to the broker and ends when that answers with an error, for example since its disk is full.
    The node works all the same, so Celery is started anew beside it.
    """
    warnings.filterwarnings("ignore", category=SecurityWarning)  # messages are JSON, whoever runs this
    settings = load_settings()
    start_log(settings)
    celery, node = make_worker(settings)
    signal.signal(signal.SIGTERM, lambda *_: node.stop())  # until Celery puts its own there
    node.start()
    try:
        while not node.stopping:
            _listen(celery, settings.concurrency)
            if not node.stopping:
                log.warning("the broker failed; listening to it again in %g s", _PAUSE_S)
                _wait(node, _PAUSE_S)
    except KeyboardInterrupt:
        log.info("interrupted")
    finally:
        node.close()


def _listen(celery: Celery, concurrency: int) -> None:
    state.should_stop = state.should_terminate = None
    arguments = ["--quiet", "worker", "--pool=threads", f"--concurrency={concurrency}", "--loglevel=WARNING"]
    try:
        celery.worker_main([*arguments, "--without-gossip", "--without-mingle", "--without-heartbeat"])
    except SystemExit as end:
        log.debug("Celery ended with %s", end.code)


def _wait(node: Node, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not node.stopping and time.monotonic() < deadline:
        time.sleep(0.1)


if __name__ == "__main__":
    main()
