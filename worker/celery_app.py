"""The Celery side of a worker: hands the doorbell's messages to the node."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

from app.engine.broker import WORK_TASK, make_celery
from app.settings import Settings
from worker.node import Node


def make_worker(settings: Settings) -> tuple[Celery, Node]:
    """Return a worker's Celery application, and the node that its messages go to."""
    celery = make_celery(settings)
    node = Node(settings, celery)
    celery.task(name=WORK_TASK)(node.work)
    worker_shutting_down.connect(lambda **_: node.stop(), weak=False)
    setup_logging.connect(_keep_logging)
    return celery, node


def _keep_logging(**_: Any) -> None:
    """Leave the log as `worker.__main__` made it; of Celery's own lines, show warnings."""
    for name in ("celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)
