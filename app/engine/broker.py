"""The doorbell: Celery messages that say "there is work". The database says which work.

A message that is lost costs a few seconds, until a worker's sweep finds the work; it never costs a job.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import Celery

from app.engine.outage import Outage
from app.settings import Settings

log = logging.getLogger(__name__)

WORK_TASK = "driftline.work"
QUEUE = "driftline"
_CONNECT_TIMEOUT_S = 2.0
_PAUSE_S = 1.0
_MOST_RINGS = 64


def make_celery(settings: Settings, *, answer_timeout_s: float = 30.0) -> Celery:
    """Return the Celery application: on Redis when there is one, else on files in the data folder.

    Args:
        settings: which broker.
        answer_timeout_s: how long to wait for an answer of the broker on an open connection.
    """
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
        **_transport(settings, answer_timeout_s),
    )
    return celery


def _transport(settings: Settings, answer_timeout_s: float) -> dict[str, Any]:
    if settings.redis_url is not None:
        url = settings.redis_url
        if url.startswith("unix://"):
            url = "redis+socket://" + url.removeprefix("unix://")
        options: dict[str, Any] = {
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_timeout": answer_timeout_s,
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
    """Rings for workers after a commit. It never fails, and nobody waits for it.

    A thread of its own sends the messages, so a broker that takes connections and answers nothing holds up
    nothing but that thread. After a failure it lets the broker alone for a moment: a worker's sweep finds the
    work meanwhile.
    """

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._wanted = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._outage = Outage(log, "ringing for workers, which find work by sweeping too,")

    def ring(self, times: int = 1) -> None:
        """Send messages soon, from another thread."""
        with self._changed:
            if self._closed or not times:
                return
            self._wanted = min(self._wanted + times, _MOST_RINGS)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, name="doorbell", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, timeout_s: float = _CONNECT_TIMEOUT_S) -> None:
        """Send what is left, if the broker accepts it in time, and ring no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _send(self) -> None:
        while True:
            with self._changed:
                while not self._wanted:
                    if self._closed:
                        return
                    self._changed.wait()
                times, self._wanted = self._wanted, 0
            if not self._send_now(times):
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _PAUSE_S)
                    self._wanted = 0  # workers sweep for what was missed
                    if self._closed:
                        return

    def _send_now(self, times: int) -> bool:
        try:
            for _ in range(times):
                self._celery.send_task(WORK_TASK, ignore_result=True, retry=False)
        except Exception as error:  # noqa: BLE001 - brokers raise all sorts; workers sweep
            self._outage.failed(error)
            return False
        self._outage.worked()
        return True

    def check(self) -> None:
        """Raise an exception unless the broker answers."""
        with self._celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_TIMEOUT_S)
