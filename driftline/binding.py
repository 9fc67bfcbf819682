"""Operations as methods: both clients have the same operations, and differ in how they are driven."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from driftline.core.steps import Flow

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
MethodT = TypeVar("MethodT", bound=Callable[..., Any])

# Turns the one whose method it is, and what the operation returned, into what the method returns.
Made: TypeAlias = Callable[[Any, T], R]


def as_it_is(_: Any, value: T) -> T:
    """Return what an operation returned, as it is."""
    return value


def made(kind: Callable[..., R]) -> Made[Any, R]:
    """Return what makes a record of a kind, which can do more by the same connections."""
    return lambda owner, value: kind(value, owner._transport)  # noqa: SLF001 - the clients' own


def made_each(kind: Callable[..., R]) -> Made[list[Any], list[R]]:
    """Return what makes a list of records of a kind."""
    return lambda owner, values: [kind(value, owner._transport) for value in values]  # noqa: SLF001 - likewise


def blocking(operation: Callable[P, Flow[T]], make: Made[T, R]) -> Callable[Concatenate[Any, P], R]:
    """Return an operation as a method of the blocking client."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return make(self, self._transport.run(operation(*args, **kwargs)))

    return _told(method, operation)


def blocking_on(
    operation: Callable[Concatenate[Any, P], Flow[T]], make: Made[T, R]
) -> Callable[Concatenate[Any, P], R]:
    """Return an operation as a method of the job that it is done to, which is its first argument."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return make(self, self._transport.run(operation(self, *args, **kwargs)))

    return _told(method, operation, takes_self=True)


def awaiting(
    operation: Callable[P, Flow[T]], make: Made[T, R]
) -> Callable[Concatenate[Any, P], Awaitable[R]]:
    """Return an operation as a method of the asynchronous client."""

    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return make(self, await self._transport.run(operation(*args, **kwargs)))

    return _told(method, operation)


def awaiting_on(
    operation: Callable[Concatenate[Any, P], Flow[T]], make: Made[T, R]
) -> Callable[Concatenate[Any, P], Awaitable[R]]:
    """Return an operation as an asynchronous method of the job that it is done to."""

    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return make(self, await self._transport.run(operation(self, *args, **kwargs)))

    return _told(method, operation, takes_self=True)


def iterating(
    operation: Callable[P, Flow[None]],
    item: type[R],  # noqa: ARG001 - says what is iterated over
) -> Callable[Concatenate[Any, P], Iterator[R]]:
    """Return an operation that emits items as a method that iterates over them."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        found: Iterator[R] = self._transport.iterate(operation(*args, **kwargs))
        return found

    return _told(method, operation)


def iterating_on(
    operation: Callable[Concatenate[Any, P], Flow[None]],
    item: type[R],  # noqa: ARG001 - likewise
) -> Callable[Concatenate[Any, P], Iterator[R]]:
    """Return an operation that emits items as a method of the job that it is done to."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        found: Iterator[R] = self._transport.iterate(operation(self, *args, **kwargs))
        return found

    return _told(method, operation, takes_self=True)


def iterating_later(
    operation: Callable[P, Flow[None]],
    item: type[R],  # noqa: ARG001 - likewise
) -> Callable[Concatenate[Any, P], AsyncIterator[R]]:
    """Return an operation that emits items as a method for `async for`."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        found: AsyncIterator[R] = self._transport.iterate(operation(*args, **kwargs))
        return found

    return _told(method, operation)


def iterating_later_on(
    operation: Callable[Concatenate[Any, P], Flow[None]],
    item: type[R],  # noqa: ARG001 - likewise
) -> Callable[Concatenate[Any, P], AsyncIterator[R]]:
    """Return an operation that emits items as a job's method for `async for`."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        found: AsyncIterator[R] = self._transport.iterate(operation(self, *args, **kwargs))
        return found

    return _told(method, operation, takes_self=True)


def _told(method: MethodT, operation: Callable[..., Any], *, takes_self: bool = False) -> MethodT:
    """Give a method the operation's name, words and arguments, for `help` and notebooks."""
    signature = inspect.signature(operation)
    arguments = list(signature.parameters.values())[1 if takes_self else 0 :]
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = operation.__name__
    method.__doc__ = operation.__doc__
    told = signature.replace(parameters=[me, *arguments], return_annotation=inspect.Signature.empty)
    method.__signature__ = told  # type: ignore[attr-defined]  # inspect reads it
    return method
