"""Reads that are asked for in the same moment, done together: one thread and one snapshot for all of them.

What a small read costs is mostly its thread and its session, and threads that want Python at the same time
hold each other up. So one read goes on at a time; whoever asks meanwhile is in the next one. The more ask,
the less each of them costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

from anyio.to_thread import run_sync
from sqlalchemy.orm import Session

from app.db.session import Database
from app.kit.access import current_project

QuestionT = TypeVar("QuestionT", bound=Hashable)
AnswerT = TypeVar("AnswerT")
# Who waits for the answer to a question, by project.
_Batch = dict[str | None, dict[QuestionT, list[asyncio.Future[AnswerT]]]]

_PATIENCE_S: Final = 0.5


class Together(Generic[QuestionT, AnswerT]):
    """Answers questions, all of those at once that are asked while it reads. Belongs to one event loop.

    Args:
        database: what is read.
        read: answers questions, each of which is there once, in a session that sees the project alone of
            those who ask.
        most: questions in one read.
        patience_s: when a read takes longer than this, the next one begins beside it.
    """

    def __init__(
        self,
        database: Database,
        read: Callable[[Session, Sequence[QuestionT]], Mapping[QuestionT, AnswerT]],
        *,
        most: int,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._database = database
        self._read = read
        self._most = most
        self._patience_s = patience_s
        self._asked: deque[tuple[str | None, QuestionT, asyncio.Future[AnswerT]]] = deque()
        self._newest: asyncio.Task[None] | None = None  # the read that those who ask wait for

    async def ask(self, question: QuestionT) -> AnswerT:
        """Return the answer, of a snapshot that begins after this was called, as the caller may see it.

        Raises:
            LookupError: nobody asks (`app.kit.access`).
            Exception: what the read raised, in all who were in it.
        """
        answer: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._asked.append((current_project(), question, answer))
        if self._newest is None:
            self._begin()
        return await answer

    def _begin(self) -> None:
        # The task takes its questions when it runs: whoever wakes in the same moment is among them. It runs
        # in nobody's context, least of all in that of whoever happened to be first.
        self._newest = asyncio.create_task(self._answer(), context=Context()) if self._asked else None

    async def _answer(self) -> None:
        this, batch = self._newest, self._batch()
        waiting = [one for questions in batch.values() for those in questions.values() for one in those]
        late = asyncio.get_running_loop().call_later(self._patience_s, self._begin)
        try:
            for project, answers in (await run_sync(self._answers, batch)).items():
                for question, those in batch[project].items():
                    for one in _still(those):
                        one.set_result(answers[question])
        except Exception as error:  # noqa: BLE001 - those who ask raise it
            for one in _still(waiting):
                one.set_exception(error)
        finally:
            late.cancel()
            for one in _still(waiting):  # the event loop ends
                one.cancel()
            if self._newest is this:
                self._begin()

    def _batch(self) -> _Batch[QuestionT, AnswerT]:
        """Take the questions of the next read."""
        batch: _Batch[QuestionT, AnswerT] = {}
        for _ in range(min(self._most, len(self._asked))):
            project, question, answer = self._asked.popleft()
            if not answer.done():  # who asked may be gone
                batch.setdefault(project, {}).setdefault(question, []).append(answer)
        return batch

    def _answers(self, batch: _Batch[QuestionT, AnswerT]) -> dict[str | None, Mapping[QuestionT, AnswerT]]:
        return {project: self._answers_of(project, list(questions)) for project, questions in batch.items()}

    def _answers_of(self, project: str | None, questions: Sequence[QuestionT]) -> Mapping[QuestionT, AnswerT]:
        with self._database.within(lambda: project).reading() as session:
            return self._read(session, questions)


def _still(answers: Iterable[asyncio.Future[AnswerT]]) -> Iterator[asyncio.Future[AnswerT]]:
    """Yield those that somebody waits for."""
    return (answer for answer in answers if not answer.done())
