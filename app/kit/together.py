"""Reads that are asked for in the same moment, done together: one thread and one snapshot for all of them.

Under load, what many small reads cost is mostly their threads and sessions, and threads that want Python at
the same time hold each other up. So one read goes on at a time; whoever asks meanwhile is in the next one.
The more ask, the less each of them costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

from anyio.to_thread import run_sync

QuestionT = TypeVar("QuestionT", bound=Hashable)
AnswerT = TypeVar("AnswerT")

PATIENCE_S: Final = 0.5


class Together(Generic[QuestionT, AnswerT]):
    """Answers questions, all of those at once that are asked while it reads. Belongs to one event loop.

    Args:
        read: answers questions, each of which is there once. It runs in a thread, and in nobody's context: a
            question says itself on whose behalf it is asked.
        most: questions in one read.
        patience_s: when a read takes longer, the next one begins beside it.
    """

    def __init__(
        self,
        read: Callable[[Sequence[QuestionT]], Mapping[QuestionT, AnswerT]],
        *,
        most: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._read = read
        self._most = most
        self._patience_s = patience_s
        self._asked: deque[tuple[QuestionT, asyncio.Future[AnswerT]]] = deque()
        self._newest: asyncio.Task[None] | None = None  # the read that those who ask wait for

    async def ask(self, question: QuestionT) -> AnswerT:
        """Return the answer, of a read that begins after this was called.

        Raises:
            Exception: what the read raised, in all who asked with this one.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AnswerT] = loop.create_future()
        self._asked.append((question, answer))
        if self._newest is None:
            self._begin()
        return await answer

    def _begin(self) -> None:
        # The task takes its questions when it runs: whoever wakes in the same moment is among them.
        self._newest = asyncio.create_task(self._answer(), context=Context()) if self._asked else None

    async def _answer(self) -> None:
        this, batch = self._newest, self._batch()
        late = asyncio.get_running_loop().call_later(self._patience_s, self._begin)
        try:
            answers = await run_sync(self._read, list(batch)) if batch else {}
            for question, waiting in batch.items():
                for one in waiting:
                    if not one.done():
                        one.set_result(answers[question])
        except Exception as error:  # noqa: BLE001 - those who ask raise it
            for one in _unanswered(batch):
                one.set_exception(error)
        finally:
            late.cancel()
            for one in _unanswered(batch):  # the event loop ends
                one.cancel()
            if self._newest is this:
                self._begin()

    def _batch(self) -> dict[QuestionT, list[asyncio.Future[AnswerT]]]:
        """Take the questions of the next read, with those who wait for each."""
        batch: dict[QuestionT, list[asyncio.Future[AnswerT]]] = {}
        while self._asked and (len(batch) < self._most or self._asked[0][0] in batch):
            question, answer = self._asked.popleft()
            if not answer.done():  # who asked may be gone
                batch.setdefault(question, []).append(answer)
        return batch


def _unanswered(
    batch: Mapping[QuestionT, Sequence[asyncio.Future[AnswerT]]],
) -> Iterator[asyncio.Future[AnswerT]]:
    return (one for waiting in batch.values() for one in waiting if not one.done())
