"""Run a worker: `python -m worker`."""

from __future__ import annotations

import logging
import warnings

from celery.platforms import SecurityWarning

from worker.celery_app import celery_app, settings


def main() -> None:
    """Run until SIGTERM or Ctrl-C; unfinished work items go back to the queue."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    warnings.filterwarnings("ignore", category=SecurityWarning)  # messages are JSON, whoever runs this
    celery_app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=threads",
            f"--concurrency={settings.concurrency}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


if __name__ == "__main__":
    main()
