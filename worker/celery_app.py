"""The Celery side of a worker: starts the node and hands it the doorbell's messages."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down

from app.jobs.broker import WORK_TASK, make_celery
from app.settings import Settings
from worker.node import Node

settings = Settings()
celery_app = make_celery(settings)
_node: Node | None = None


@setup_logging.connect  # type: ignore[untyped-decorator]
def _keep_logging(**_: Any) -> None:
    """Leave the log as `worker.__main__` made it; of Celery's own lines, show warnings."""
    for name in ("celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)


@worker_init.connect  # type: ignore[untyped-decorator]
def _on_init(**_: Any) -> None:
    # Before the broker is asked for: a worker whose broker is away sweeps all the same.
    global _node  # noqa: PLW0603 - Celery's signals know no object of ours
    _node = Node(settings, celery_app)
    _node.start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _on_shutting_down(**_: Any) -> None:
    if _node is not None:
        _node.stop()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _on_shutdown(**_: Any) -> None:
    if _node is not None:
        _node.close()


@celery_app.task(name=WORK_TASK)  # type: ignore[untyped-decorator]
def work() -> None:
    """Do what the database says is to be done."""
    if _node is not None:
        _node.work()
