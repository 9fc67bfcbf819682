"""The counts that multiply prices: a closed list, so that a profile is data and not code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from simulator.config.enums import AnalogMVType


class Times(StrEnum):
    """How often a price falls due in one matrix-vector product, by the bits and the passes.

    `PRODUCT`: once. `PASS`: once a pass. The others likewise in every pass: `INPUT_BIT` once for each input
    bit; `MAGNITUDE_BIT` for each but the sign; `PHASE` for each part that long inputs are cut into;
    `INTEGRATION_STEP` for each unit of a pulse, 2^p - 1 in a phase of p bits; `OUTPUT_BIT` for each output
    bit; `ADC_STEP` for each output bit that a phase converts: all in the first, fewer by the bits of the
    phases before in later ones.
    """

    PRODUCT = "product"
    PASS = "pass"  # noqa: S105 - a pass through the crossbar
    INPUT_BIT = "input_bit"
    MAGNITUDE_BIT = "magnitude_bit"
    PHASE = "phase"
    INTEGRATION_STEP = "integration_step"
    OUTPUT_BIT = "output_bit"
    ADC_STEP = "adc_step"


class Each(StrEnum):
    """Of what a price is.

    Of an array: the array itself, a row, column or cell, all of them or those in use. Of a layer: a partial
    sum, an output, a byte read or written, a bit on a link. Of what is computed in digital: a multiply-
    accumulate, another operation.
    """

    ARRAY = "array"
    ROW = "row"
    USED_ROW = "used_row"
    COLUMN = "column"
    USED_COLUMN = "used_column"
    CELL = "cell"
    USED_CELL = "used_cell"
    PARTIAL_SUM = "partial_sum"
    OUTPUT = "output"
    BYTE_READ = "byte_read"
    BYTE_WRITTEN = "byte_written"
    LINK_BIT = "link_bit"
    MAC = "mac"
    OPERATION = "operation"


OF_ARRAYS: Final = frozenset(
    {Each.ARRAY, Each.ROW, Each.USED_ROW, Each.COLUMN, Each.USED_COLUMN, Each.CELL, Each.USED_CELL}
)


class EachTime(StrEnum):
    """What takes a time.

    `PRODUCT`: a product of a layer, all its arrays at once. `CONVERTED_COLUMN`: each column that a converter
    serves in turn. `MAC` and `OPERATION`: of what is computed in digital.
    """

    PRODUCT = "product"
    CONVERTED_COLUMN = "converted_column"
    MAC = "mac"
    OPERATION = "operation"


class EachPlace(StrEnum):
    """What takes an area: an array, each of its rows, columns, cells or converters, or the chip once."""

    ARRAY = "array"
    ROW = "row"
    COLUMN = "column"
    CELL = "cell"
    CONVERTER = "converter"
    CHIP = "chip"


class EachSource(StrEnum):
    """What draws power whether anything is computed or not."""

    ARRAY = "array"
    CHIP = "chip"


@dataclass(frozen=True)
class Bits:
    """What decides how often prices fall due.

    Attributes:
        input_bits: of the inputs' converters.
        output_bits: of the outputs' converters.
        passes: through the crossbar for one product.
        one_phase_up_to_bits: magnitude bits that go in one phase; more are cut into two. None: never cut.
    """

    input_bits: int
    output_bits: int
    passes: int
    one_phase_up_to_bits: int | None

    @property
    def phases(self) -> tuple[int, ...]:
        """The magnitude bits of each phase."""
        bits = self.magnitude_bits
        if self.one_phase_up_to_bits is None or bits <= self.one_phase_up_to_bits:
            return (bits,)
        return (math.ceil(bits / 2), bits // 2)

    @property
    def magnitude_bits(self) -> int:
        """Input bits without the sign, at least one."""
        return max(1, self.input_bits - 1)

    def count(self, times: Times) -> int:
        """Return how often a price falls due in one product."""
        if times is Times.PRODUCT:
            return 1
        return self.passes * self._in_a_pass(times)

    def _in_a_pass(self, times: Times) -> int:
        phases = self.phases
        if times is Times.ADC_STEP:
            return sum(max(1, self.output_bits - sum(phases[:number])) for number in range(len(phases)))
        counts: dict[Times, int] = {
            Times.PASS: 1,
            Times.INPUT_BIT: self.input_bits,
            Times.MAGNITUDE_BIT: self.magnitude_bits,
            Times.PHASE: len(phases),
            Times.INTEGRATION_STEP: sum(2**bits - 1 for bits in phases),
            Times.OUTPUT_BIT: self.output_bits,
        }
        return counts[times]


def bits_of(resolution: float) -> int | None:
    """Return the bits of a converter, None where it is off.

    Args:
        resolution: a step relative to the full range, or a number of steps; <= 0 is off.
    """
    if resolution <= 0:
        return None
    steps = resolution if resolution > 1 else 1 / resolution
    return max(1, math.ceil(math.log2(steps) - 1e-9))


PASSES: Final = {
    AnalogMVType.IDEAL: 1,
    AnalogMVType.ONE_PASS: 1,
    AnalogMVType.POS_NEG_SEPARATE: 2,
    AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM: 2,
}
