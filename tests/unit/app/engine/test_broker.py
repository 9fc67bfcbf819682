from __future__ import annotations

import threading
import time
from typing import Any

from app.engine.broker import Doorbell


class Broker:
    """Takes messages; hangs or fails as it is told."""

    def __init__(self) -> None:
        self.taken = self.tried = 0
        self.hanging = threading.Event()
        self.hanging.set()
        self.failing = False

    def send_task(self, *_: Any, **__: Any) -> None:
        self.tried += 1
        self.hanging.wait(10)
        if self.failing:
            raise ConnectionError("away")
        self.taken += 1


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_every_ring_is_sent() -> None:
    broker = Broker()
    bell = Doorbell(broker)
    bell.ring()
    bell.ring(3)
    until(lambda: broker.taken == 4)
    bell.close()


def test_a_broker_that_hangs_holds_up_nobody() -> None:
    broker = Broker()
    broker.hanging.clear()
    bell = Doorbell(broker)
    begun = time.monotonic()
    for _ in range(100):
        bell.ring()
    assert time.monotonic() - begun < 1
    assert broker.tried <= 1
    broker.hanging.set()
    until(lambda: broker.taken > 1)
    bell.close()


def test_after_a_failure_the_broker_is_let_alone_for_a_moment() -> None:
    broker = Broker()
    broker.failing = True
    bell = Doorbell(broker)
    for _ in range(50):
        bell.ring()
        time.sleep(0.002)
    assert broker.tried <= 2
    broker.failing = False
    until(lambda: bell.ring() or broker.taken > 0)
    bell.close()


def test_a_closed_bell_is_silent() -> None:
    broker = Broker()
    bell = Doorbell(broker)
    bell.close()
    bell.ring()
    assert broker.tried == 0
