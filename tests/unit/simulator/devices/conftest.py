from __future__ import annotations

import pytest
import torch

from simulator.rng import Purpose, generator

SEED = 2024


class Streams:
    """Keyed streams of one chip instance, for the purposes that noise models have."""

    def __init__(self, repeat: int = 0) -> None:
        self.repeat = repeat

    def __call__(self, purpose: Purpose, *parts: float | str) -> torch.Generator:
        return generator(SEED, purpose, self.repeat, *parts)

    def program(self, model, weights):
        """Program weights with this instance's streams."""
        return model.program(
            weights,
            programming=self(Purpose.PROGRAMMING),
            drift=self(Purpose.DRIFT),
            faults=self(Purpose.FAULTS),
        )

    def drift(self, model, programmed, t_s: float):
        """Read at a time with this instance's streams."""
        return model.drift(programmed, t_s, read=self(Purpose.READ, float(t_s)))


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.fixture
def other_streams() -> Streams:
    return Streams(repeat=1)


@pytest.fixture
def weights() -> torch.Tensor:
    """A tile's weights [out, in], the largest 0.8."""
    drawn = torch.randn(40, 50, generator=generator(SEED, Purpose.INITIAL_WEIGHTS))
    return 0.8 * drawn / drawn.abs().max()
