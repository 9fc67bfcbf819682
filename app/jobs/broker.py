"""The doorbell: Celery messages that say "there is work". The database says what work, to whoever comes.

A message that is lost costs a few seconds, until a worker's sweeper rings again; it never costs a job.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery

from app.settings import Settings

log = logging.getLogger(__name__)

WORK_TASK = "driftline.work"
QUEUE = "driftline"
_CONNECT_TIMEOUT_S = 2.0


def make_celery(settings: Settings) -> Celery:
    """Return the Celery application: on Redis when there is one, else on files in the data folder."""
    celery = Celery("driftline", set_as_current=False)
    celery.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=False,  # the lease in the database, not the broker, decides who works
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=_CONNECT_TIMEOUT_S,
        **_transport(settings),
    )
    return celery


def _transport(settings: Settings) -> dict[str, Any]:
    if settings.redis_url is not None:
        url = settings.redis_url
        if url.startswith("unix://"):
            url = "redis+socket://" + url.removeprefix("unix://")
        options: dict[str, Any] = {
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_timeout": 30.0,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "global_keyprefix": "driftline:",
        }
        return {"broker_url": url, "broker_transport_options": options}
    folder = settings.data_dir.absolute() / "broker"
    for name in ("queue", "processed", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "processed_folder": str(folder / "processed"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.05,
    }
    return {"broker_url": "filesystem://", "broker_transport_options": options}


class Doorbell:
    """Rings for workers, after a commit. It never fails: a bell that cannot ring is only logged."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def ring(self, times: int = 1) -> bool:
        """Send so many messages; return whether the broker took them."""
        try:
            for _ in range(times):
                self._celery.send_task(WORK_TASK, ignore_result=True, retry=False)
        except Exception as error:  # noqa: BLE001 - brokers raise all sorts; the sweeper rings again
            log.warning("the broker does not answer (%s); a worker's sweep will find the work", error)
            return False
        return True

    def check(self) -> None:
        """Raise an exception unless the broker answers."""
        with self._celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_TIMEOUT_S)
