"""The Celery side of a worker: hands the doorbell's messages to the node."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import setup_logging, worker_shutting_down

from app.jobs.broker import WORK_TASK, make_celery
from app.settings import Settings
from worker.node import Node

settings = Settings()
celery_app = make_celery(settings)
node = Node(settings, celery_app)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _keep_logging(**_: Any) -> None:
    """Leave the log as `worker.__main__` made it; of Celery's own lines, show warnings."""
    for name in ("celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _on_shutting_down(**_: Any) -> None:
    node.stop()


@celery_app.task(name=WORK_TASK)  # type: ignore[untyped-decorator]
def work() -> None:
    """Do what the database says is to be done."""
    node.work()
