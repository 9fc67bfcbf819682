from contextlib import AsyncExitStack

import anyio
import pytest

from app.kit.problems import Unavailable
from app.kit.turns import Turns


class Desk:
    """Clients with something that lasts until it is told to end."""

    def __init__(self, turns, group):
        self.turns = turns
        self.group = group
        self.going = []
        self.leave = {}

    async def come(self, name):
        self.leave[name] = anyio.Event()
        self.group.start_soon(self._be_served, name)
        await settle()

    async def _be_served(self, name):
        async with self.turns.turn(name[0]):
            self.going.append(name)
            await self.leave[name].wait()

    async def end(self, name):
        self.leave[name].set()
        await settle()


async def settle():
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


def run(test, **limits):
    async def work():
        turns = Turns(**{"at_once": 2, "at_once_each": 1, "most_waiting": 3, "retry_after_s": 7, **limits})
        async with anyio.create_task_group() as group:
            desk = Desk(turns, group)
            await test(desk)
            for event in desk.leave.values():
                event.set()

    anyio.run(work)


def test_one_who_asks_often_keeps_nobody_else_waiting():
    async def test(desk):
        for name in ("a1", "a2", "a3", "b1"):
            await desk.come(name)
        assert desk.going == ["a1", "b1"]

    run(test)


def test_those_who_wait_go_one_of_each_after_another():
    async def test(desk):
        for name in ("a1", "b1", "a2", "a3", "b2"):
            await desk.come(name)
        await desk.end("a1")
        await desk.end("a2")
        await desk.end("b1")
        assert desk.going == ["a1", "b1", "a2", "a3", "b2"]

    run(test)


def test_a_long_queue_turns_people_away_with_a_time():
    async def test(desk):
        for name in ("a1", "b1", "a2", "b2", "c1"):
            await desk.come(name)
        with pytest.raises(Unavailable) as caught:
            async with desk.turns.turn("d"):
                pass
        assert caught.value.headers == {"Retry-After": "7"}

    run(test)


def test_who_goes_away_while_waiting_leaves_the_place_to_the_next():
    async def test(desk):
        await desk.come("a1")
        with anyio.move_on_after(0.01):
            async with desk.turns.turn("a"):
                raise AssertionError("it is not its turn")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(desk.turns.turn("b"))
        await desk.come("a2")
        await desk.end("a1")
        assert desk.going == ["a1", "a2"]

    run(test)
