"""The stages of an analog matrix-vector product: what can happen in it, as values.

A stage is a frozen dataclass with its numbers, in the tile's normalised units. `plan.py` makes a tile's
stages of its configuration, `forward.py` has a function for each, `path.py` says which the faster paths do.

To add a stage: write its class here (below the base class of its phase), add it to `compile_plan`, and write
its function in `forward.py`. It then runs on every tile, since no path that does not name it is chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import ClassVar

from simulator.config.enums import NoiseManagementType
from simulator.tile.dac_adc import TOP_CODE_SLACK, top_code


class Phase(IntEnum):
    """Where in a matrix-vector product a stage acts; the phases follow each other."""

    SCALE = auto()  # an input vector gets its scale
    INPUT = auto()  # scaled inputs become voltages
    CROSSBAR = auto()  # voltages times weights
    CURRENT = auto()  # the currents of one pass, which depend on voltages and weights as well
    OUTPUT = auto()  # currents on their way to the ADC
    CONVERTER = auto()  # the ADC
    REPETITION = auto()  # vectors that run again
    DIGITAL = auto()  # after conversion


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that happens in an analog matrix-vector product."""

    phase: ClassVar[Phase]

    @property
    def draws_noise(self) -> bool:
        """Whether the stage needs random numbers in every pass."""
        return False

    @property
    def differs_between_instances(self) -> bool:
        """Whether a chip instance has parameters of its own for the stage."""
        return False


class InputStage(Stage):
    """A stage between the scale of the inputs and the crossbar; `forward.STEPS` has its function."""

    __slots__ = ()
    phase = Phase.INPUT


class CurrentStage(Stage):
    """A stage of one pass through the crossbar; `forward.STEPS` has its function."""

    __slots__ = ()
    phase = Phase.CURRENT


class OutputStage(Stage):
    """A stage between the crossbar and the ADC; `forward.STEPS` has its function."""

    __slots__ = ()
    phase = Phase.OUTPUT


# --- inputs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StaticScale(Stage):
    """All vectors are divided by one number (Constant).

    Attributes:
        value: that number; a plan without scale has 1.
    """

    phase = Phase.SCALE
    value: float


@dataclass(frozen=True, slots=True)
class VectorScale(Stage):
    """Each vector is divided by a number of its own (AbsMax, Max, AbsMaxNPSum).

    Attributes:
        rule: how the number is found.
        threshold: its cap, infinite when absent.
        sum_factor: what AbsMaxNPSum multiplies the larger sum of one sign with: the assumed largest weight
            over the output bound.
        most_maxima: AbsMaxNPSum's scale is at most this many absolute maxima, infinite without a DAC.
    """

    phase = Phase.SCALE
    rule: NoiseManagementType
    threshold: float
    sum_factor: float
    most_maxima: float

    @property
    def divides_by_maximum(self) -> bool:
        """Whether the scale is never less than the vector's absolute maximum."""
        rules = (NoiseManagementType.ABS_MAX, NoiseManagementType.ABS_MAX_NP_SUM)
        return self.rule in rules and self.threshold == math.inf


@dataclass(frozen=True, slots=True)
class RunningScale(VectorScale):
    """All vectors are divided by a running mean of absolute maxima, as soon as there is one (AverageAbsMax).

    Attributes:
        decay: weight of the newest batch.
    """

    decay: float


@dataclass(frozen=True, slots=True)
class Dac(InputStage):
    """The DAC rounds to its grid and clips.

    Attributes:
        bound: where it clips, infinite when it does not.
        step: of the grid, 0 without rounding.
        gradient_passes_from: inputs of this magnitude keep their gradient though the DAC clips them: they are
            at the end of an input range, which learns from it and withholds it from what comes before.
    """

    bound: float
    step: float
    gradient_passes_from: float = math.inf

    @property
    def top_code_fits(self) -> bool:
        """Whether rounding an input within the bound never leaves it."""
        return top_code(self.step, self.bound) <= self.bound * TOP_CODE_SLACK


@dataclass(frozen=True, slots=True)
class DitheredDac(Dac):
    """A DAC that rounds stochastically."""

    @property
    def draws_noise(self) -> bool:
        """See the base class."""
        return True


@dataclass(frozen=True, slots=True)
class InputNoise(InputStage):
    """Gaussian noise on every converted input.

    Attributes:
        std: its standard deviation.
    """

    std: float

    @property
    def draws_noise(self) -> bool:
        """See the base class."""
        return True


@dataclass(frozen=True, slots=True)
class InputAsymmetry(InputStage):
    """Negative inputs are scaled by one minus a number.

    Attributes:
        strength: that number.
    """

    strength: float


# --- the crossbar -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PerfectProduct(Stage):
    """Inputs times weights, and nothing else but digital scales."""

    phase = Phase.CROSSBAR


@dataclass(frozen=True, slots=True)
class Crossbar(Stage):
    """Voltages times weights in one pass."""

    phase = Phase.CROSSBAR


@dataclass(frozen=True, slots=True)
class SeparatePasses(Stage):
    """Negative and positive voltages run in passes of their own (PosNegSeparate).

    Attributes:
        digital_sum: each pass has its own ADC conversion.
        read_asymmetry_std: spread of the weights' factor for negative voltages.
    """

    phase = Phase.CROSSBAR
    digital_sum: bool
    read_asymmetry_std: float

    @property
    def differs_between_instances(self) -> bool:
        """See the base class."""
        return self.read_asymmetry_std > 0


@dataclass(frozen=True, slots=True)
class IrDrop(CurrentStage):
    """The resistance of the wires takes from the currents; see `ir_drop.py`.

    Attributes:
        strength: factor of the drop.
        g_ratio: ratio of wire to physical device conductance.
    """

    strength: float
    g_ratio: float


@dataclass(frozen=True, slots=True)
class OutputLine(CurrentStage):
    """Voltage offset and series resistance of each output line, relative to a reference current.

    Attributes:
        offset_std: standard deviation whose positive part is a line's voltage offset.
        resistance: series resistance, 0 when absent.
        reference_weight: weight units of the reference current per input, `-v_offset_w_min`.
    """

    offset_std: float
    resistance: float
    reference_weight: float

    @property
    def differs_between_instances(self) -> bool:
        """See the base class."""
        return self.offset_std > 0


@dataclass(frozen=True, slots=True)
class ReadNoise(CurrentStage):
    """Read noise of the weights, referred to the outputs.

    Attributes:
        std: its strength.
        of_conductances: its variance grows with sum |w| x^2 (PCMRead) instead of sum x^2 (AdditiveConstant).
    """

    std: float
    of_conductances: bool

    @property
    def draws_noise(self) -> bool:
        """See the base class."""
        return True


# --- outputs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nonlinearity(OutputStage):
    """The saturating nonlinearity of the outputs, `y / (1 + |slope y|)`.

    Attributes:
        slope: per output unit.
        spread: relative standard deviation of the slope over outputs.
    """

    slope: float
    spread: float

    @property
    def differs_between_instances(self) -> bool:
        """See the base class."""
        return self.spread > 0


@dataclass(frozen=True, slots=True)
class SlopeCalibration(OutputStage):
    """A gain that makes up for nonlinearity and series resistance at one output.

    Attributes:
        resistance: series resistance.
        fraction: where the gain is calibrated, as a fraction of the bound.
        bound: output bound.
    """

    resistance: float
    fraction: float
    bound: float

    def gain(self, mean_slope: float) -> float:
        """Return the factor, for the mean slope of the nonlinearities."""
        return (1 + (mean_slope + self.resistance) * self.fraction * self.bound) ** 2


@dataclass(frozen=True, slots=True)
class OutputAsymmetry(OutputStage):
    """Negative outputs are scaled by one minus a number.

    Attributes:
        strength: that number.
    """

    strength: float


@dataclass(frozen=True, slots=True)
class OutputNoise(OutputStage):
    """Gaussian noise on every output.

    Attributes:
        std: its standard deviation.
    """

    std: float

    @property
    def draws_noise(self) -> bool:
        """See the base class."""
        return True


@dataclass(frozen=True, slots=True)
class SpreadOutputNoise(OutputNoise):
    """Output noise whose standard deviation differs between outputs.

    Attributes:
        spread: relative standard deviation of the noise's standard deviation over outputs.
    """

    spread: float

    @property
    def differs_between_instances(self) -> bool:
        """See the base class."""
        return True


@dataclass(frozen=True, slots=True)
class Adc(Stage):
    """The ADC rounds to its grid and clips.

    Attributes:
        bound: where it clips, infinite when it does not.
        step: of the grid, 0 without rounding.
    """

    phase = Phase.CONVERTER
    bound: float
    step: float


@dataclass(frozen=True, slots=True)
class DitheredAdc(Adc):
    """An ADC that rounds stochastically."""

    @property
    def draws_noise(self) -> bool:
        """See the base class."""
        return True


@dataclass(frozen=True, slots=True)
class BoundManagement(Stage):
    """Vectors whose output saturated the ADC run again, scaled down, until their outputs fit (Iterative).

    Attributes:
        max_factor: no round follows one with a larger factor.
        tests_negative: a saturation at the negative bound counts.
        first_unreduced: the first of these rounds runs without reduction (IterativeWorstCase).
        worst_case: the scale that vectors have from that round on, None for the one they had.
    """

    phase = Phase.REPETITION
    max_factor: float
    tests_negative: bool
    first_unreduced: bool
    worst_case: VectorScale | None


@dataclass(frozen=True, slots=True)
class OutputScale(Stage):
    """A digital factor of all outputs.

    Attributes:
        factor: that factor.
    """

    phase = Phase.DIGITAL
    factor: float


NO_DAC = Dac(bound=math.inf, step=0.0)
NO_ADC = Adc(bound=math.inf, step=0.0)
