"""Every random stream of the simulator: keyed, independent, reproducible.

A stream is named by a *key*: the seed, a purpose, and the coordinates of the draw (layer name, tile row and
column, call, repeat, time, epoch, batch, as the purpose has them). Equal keys give equal numbers, whatever
was drawn before, on any worker, in any order. There is no global generator.

On the CPU the key is hashed to all 624 words of a Mersenne Twister: the plain `torch.Generator.manual_seed`
keeps only the low 32 bits of its seed, so that among 100,000 streams some pair would almost surely be equal.
On CUDA the generator is counter based and takes 64 bits.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

import numpy as np
import torch
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

KeyPart = int | float | str | None

_MT_WORDS = 624
_SEED_BYTES = 3 * 8
_WORD_LIMIT = 2**63 - 1
_MT_STATE_OFFSET = 24  # bytes before the words in torch's CPU generator state: seed, left, seeded, next


class Purpose(StrEnum):
    """What a stream is drawn for; a part of its key, so that purposes never share numbers."""

    PROGRAMMING = "programming"
    DRIFT = "drift"
    FAULTS = "faults"
    READ = "read"
    INSTANCE = "instance"
    COMPENSATION = "compensation"
    FORWARD = "forward"
    MODIFIER = "modifier"
    SAMPLE_ORDER = "sample_order"
    CALIBRATION = "calibration"
    DROPOUT = "dropout"
    INITIAL_WEIGHTS = "initial_weights"
    SPLIT = "split"
    VERIFICATION = "verification"


def _encode(part: KeyPart) -> bytes:
    if part is None:
        return b"n"
    if isinstance(part, bool):
        raise TypeError("a key part is an int, a float, a str or None, not a bool")
    if isinstance(part, int):
        text = str(part).encode()
        return b"i" + struct.pack("<I", len(text)) + text
    if isinstance(part, float):
        return b"f" + struct.pack("<d", part)
    encoded = part.encode()
    return b"s" + struct.pack("<I", len(encoded)) + encoded


def _encode_all(parts: Sequence[KeyPart]) -> bytes:
    return b"".join([_encode(part) for part in parts])


@lru_cache(maxsize=1 << 12, typed=True)
def _encode_known(*parts: KeyPart) -> bytes:
    """Encode the parts of a key that many streams share; types distinguish 1 from 1.0."""
    return _encode_all(parts)


def _hash(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16).digest()


def digest(parts: Sequence[KeyPart]) -> bytes:
    """Return the 16-byte name of a stream: a hash of its key, unambiguous in types and lengths."""
    return _hash(_encode_all(parts))


def _mersenne_state(key: bytes) -> NDArray[np.uint8]:
    """Return the state of torch's CPU generator whose words are the key's hash, stretched to their number."""
    state = _fresh_state().copy()
    words = state[_MT_STATE_OFFSET : _MT_STATE_OFFSET + 8 * _MT_WORDS].view(np.uint64)
    words[:] = np.frombuffer(hashlib.shake_128(key).digest(4 * _MT_WORDS), np.uint32)
    words[0] |= np.uint64(0x80000000)  # a state of zeros would be absorbing
    return state


@lru_cache(maxsize=1)
def _fresh_state() -> NDArray[np.uint8]:
    state: NDArray[np.uint8] = torch.Generator().get_state().numpy()
    state[8:12] = np.frombuffer(struct.pack("<i", 1), np.uint8)  # left = 1: the next draw makes new words
    return state


class Stream:
    """A keyed stream that has not been opened: where nothing is drawn, naming it costs next to nothing.

    Attributes:
        device: where its numbers are drawn.
    """

    __slots__ = ("_generator", "_key", "_seeded", "device")

    def __init__(self, key: bytes, device: torch.device) -> None:
        self._key = key
        self.device = device
        self._generator: torch.Generator | None = None
        self._seeded = 0

    def open(self) -> torch.Generator:
        """Return the stream's generator; every call returns the same one."""
        if self._generator is None:
            self._generator = torch.Generator(device=self.device)
            if self.device.type == "cpu":
                self._generator.set_state(torch.from_numpy(_mersenne_state(self._key)))
            else:
                self._generator.manual_seed(int.from_bytes(_hash(self._key)[:8], "little", signed=True))
        return self._generator

    def source_seeds(self, count: int) -> NDArray[np.uint64]:
        """Return the next three words `[count, 3]` for each of `sources`, hashed from the key."""
        branch = self._key + b"w" + struct.pack("<Q", self._seeded)  # no part of a key begins with w
        self._seeded += 1
        words = hashlib.shake_128(branch).digest(_SEED_BYTES * count)
        return np.frombuffer(words, np.uint64).reshape(count, 3)


Randomness = torch.Generator | Stream


def opened(stream: Randomness) -> torch.Generator:
    """Return the generator that a stream is, or opens."""
    return stream.open() if isinstance(stream, Stream) else stream


def generator(
    seed: int, purpose: Purpose, *parts: KeyPart, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a fresh generator for the stream that the key names.

    Args:
        seed: the job's or the caller's seed, any integer.
        purpose: what is drawn.
        *parts: the coordinates of the draw; ints and floats are distinguished, a time is always a float.
        device: where the numbers are drawn. Different kinds of device give different numbers.
    """
    return Stream(_encode_all((seed, purpose.value, *parts)), torch.device(device)).open()


class _Given(ISeedSequence):
    """Seeds a bit generator with words that are random already, which is quicker than mixing them again."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: object = np.uint64) -> NDArray[np.uint64]:  # noqa: ARG002
        """Return the words; SFC64 asks for three."""
        return self._words[:n_words]


def source_seeds(count: int, stream: Randomness) -> NDArray[np.uint64]:
    """Return three words `[count, 3]` for each of `sources`, which seed SFC64."""
    if isinstance(stream, Stream):
        return stream.source_seeds(count)
    return torch.randint(_WORD_LIMIT, (count, 3), generator=stream).numpy().view(np.uint64)


def sources(count: int, stream: Randomness) -> list[np.random.SFC64]:
    """Return independent sources of random words on the CPU: `random_raw(n)` gives the next n of 64 bits.

    Args:
        count: how many sources.
        stream: a keyed stream on the CPU, which they branch off.
    """
    return [np.random.SFC64(_Given(words)) for words in source_seeds(count, stream)]  # type: ignore[arg-type] # a gap in the stubs


@contextmanager
def as_default(
    seed: int, purpose: Purpose, *parts: KeyPart, device: torch.device | str = "cpu"
) -> Iterator[None]:
    """Let torch's global generator be the named stream for a while, then restore it.

    For operations that take no generator, such as `torch.nn.Dropout`.
    """
    target = torch.device(device)
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        if target.type == "cuda":
            torch.cuda.set_rng_state(generator(seed, purpose, *parts, device=target).get_state(), target)
        else:
            torch.set_rng_state(generator(seed, purpose, *parts).get_state())
        yield


@dataclass
class NoiseContext:
    """Where in a simulation a model is: the coordinates that complete every tile's stream keys.

    One context is shared by all tiles of a model. Tiles ask it for streams; the caller (evaluation, training,
    or nobody) moves it. While nobody moves it, each call of a tile draws anew: the call number is counted per
    tile and purpose and starts again when the context moves.

    Attributes:
        seed: the seed of all streams.
        repeat: the chip instance: programming, drift exponents and instance parameters depend on it.
        t_inference_s: the time after programming in seconds, None before drift.
        epoch: the fine-tuning epoch, None outside of training.
        batch: the batch index, None while nobody counts.
        programming: how often the chip instance was programmed before: 0 in its first life.
        service: names what is done to the chip in service; empty while it is used.
    """

    seed: int = 0
    repeat: int = 0
    t_inference_s: float | None = None
    epoch: int | None = None
    batch: int | None = None
    programming: int = 0
    service: tuple[KeyPart, ...] = ()
    _calls: dict[tuple[KeyPart, ...], int] = field(default_factory=dict, repr=False)

    def move(
        self,
        *,
        repeat: int | None = None,
        programming: int | None = None,
        t_inference_s: float | None = None,
        epoch: int | None = None,
        batch: int | None = None,
    ) -> None:
        """Go to other coordinates.

        `repeat` and `programming` stay when they are not given, and `service` stays; the others become what
        is given.
        """
        if repeat is not None:
            self.repeat = repeat
        if programming is not None:
            self.programming = programming
        self.t_inference_s = None if t_inference_s is None else float(t_inference_s)
        self.epoch = epoch
        self.batch = batch
        self._calls.clear()

    def at_batch(self, batch: int) -> None:
        """Go to another batch of the same repeat, time and epoch."""
        self.batch = batch
        self._calls.clear()

    def instance_stream(
        self, purpose: Purpose, tile: tuple[KeyPart, ...], *, device: torch.device | str = "cpu"
    ) -> Stream:
        """Return a stream of the chip instance: it depends on the repeat, not on time, batch or call."""
        return self._stream(purpose, tile, (self.repeat,), device)

    def programming_stream(
        self, purpose: Purpose, tile: tuple[KeyPart, ...], *, device: torch.device | str = "cpu"
    ) -> Stream:
        """Return a stream of one programming of the chip instance; the first has that of the instance."""
        return self._stream(purpose, tile, (self.repeat, *self._life()), device)

    def read_stream(
        self, purpose: Purpose, tile: tuple[KeyPart, ...], *, device: torch.device | str = "cpu"
    ) -> Stream:
        """Return a stream of one readout: it depends on the repeat and the time, not on batch or call."""
        return self._stream(purpose, tile, (self.repeat, self.t_inference_s, *self._life()), device)

    def call_stream(
        self, purpose: Purpose, tile: tuple[KeyPart, ...], *, device: torch.device | str = "cpu"
    ) -> Stream:
        """Return a stream of one call of a tile: it depends on all coordinates and counts calls itself."""
        key = (purpose, *tile)
        call = self._calls.get(key, 0)
        self._calls[key] = call + 1
        where = (call, self.repeat, self.t_inference_s, self.epoch, self.batch)
        return self._stream(purpose, tile, (*where, *self._life(), *self.service), device)

    def _life(self) -> tuple[KeyPart, ...]:
        """What later programmings add to a key: without them, keys are those of chips without services."""
        return ("programming", self.programming) if self.programming else ()

    def _stream(
        self,
        purpose: Purpose,
        tile: tuple[KeyPart, ...],
        where: tuple[KeyPart, ...],
        device: torch.device | str,
    ) -> Stream:
        key = _encode_known(self.seed, purpose, *tile) + _encode_known(*where)
        return Stream(key, device if isinstance(device, torch.device) else torch.device(device))
