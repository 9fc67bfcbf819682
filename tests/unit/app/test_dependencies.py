from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.kit.transactions import read_snapshot, write_transaction
from app.main import create_app


def routes(parent: Any) -> Iterator[APIRoute]:
    for route in parent.routes:
        if isinstance(route, APIRoute):
            yield route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from routes(included)


def calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for one in dependant.dependencies:
        assert one.call is not None
        yield one.call
        yield from calls(one)


def test_only_what_waits_for_the_database_goes_to_a_thread() -> None:
    found = {call for route in routes(create_app()) for call in calls(route.dependant)}
    in_threads = {call for call in found if not inspect.iscoroutinefunction(call)}
    assert len(found) > len(in_threads)
    assert in_threads == {read_snapshot, write_transaction}
