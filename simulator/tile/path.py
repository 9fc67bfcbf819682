"""Which path a forward pass takes: the only place that chooses.

The reference (`forward.py`) runs every stage step by step. A faster path names the stage types that it can do
and what must hold of their numbers; a plan with any other stage does not take it. So a stage that is added to
a plan runs on the reference, until somebody adds it to a path's list together with the code that does it.

That a single operation has a compiled twin is no path: it does the same to every plan, and asks `fast.takes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from simulator.config.enums import NoiseManagementType
from simulator.tile import fast
from simulator.tile.clipping import ClippingMeter
from simulator.tile.layout import ChannelsLastProduct, ConvProduct, LayerProduct, Product, UnitVectorProduct
from simulator.tile.plan import ForwardPlan
from simulator.tile.stages import (
    Adc,
    BoundManagement,
    Crossbar,
    Dac,
    DitheredAdc,
    InputAsymmetry,
    IrDrop,
    Nonlinearity,
    OutputAsymmetry,
    OutputLine,
    OutputNoise,
    OutputScale,
    PerfectProduct,
    Phase,
    ReadNoise,
    RunningScale,
    SeparatePasses,
    SlopeCalibration,
    SpreadOutputNoise,
    Stage,
    StaticScale,
    VectorScale,
)


class Way(StrEnum):
    """How a tile computes its products, the fastest first."""

    ONE_STEP = "one_step"  # forward and backward as one step of autograd, in compiled loops
    WHOLE_MAPS = "whole_maps"  # a convolution step by step, by the native operator on feature maps
    COMPILED_PATCHES = "compiled_patches"  # its patches unfolded, converted and multiplied in compiled loops
    PATCHES = "patches"  # its patches unfolded, and step by step
    ROWS = "rows"  # input vectors in rows, step by step


@dataclass(frozen=True)
class Path:
    """A path that is faster than the reference, or a part of one.

    Attributes:
        name: of the path.
        stages: the stage types that it can do; exactly these, not those below them.
        suits: what must hold of the numbers of the stages.
    """

    name: str
    stages: frozenset[type[Stage]]
    suits: Callable[[ForwardPlan], bool] = lambda _: True

    def can(self, plan: ForwardPlan) -> bool:
        """Return whether the path does everything that is in the plan."""
        verdict = plan.verdicts.get(self.name)
        if verdict is None:
            verdict = plan.verdicts[self.name] = plan.kinds <= self.stages and self.suits(plan)
        return verdict

    def obstacles(self, plan: ForwardPlan) -> tuple[str, ...]:
        """Return the stages of a plan that the path cannot do, in their order."""
        return tuple(type(stage).__name__ for stage in plan.stages if type(stage) not in self.stages)


_OUTPUTS: frozenset[type[Stage]] = frozenset(
    {Nonlinearity, SlopeCalibration, OutputAsymmetry, OutputNoise, SpreadOutputNoise}
)
_CONVERTERS: frozenset[type[Stage]] = frozenset({Adc, DitheredAdc})

# `fast/static.py`: inputs that a range has converted are multiplied, and outputs converted, in one go.
ONE_STEP = Path("one step", frozenset({Crossbar, OutputNoise, Adc, OutputScale}))

# `input_range.RangeLearner`: the gradient at an input is that at the product times weights.
FEW_INPUTS = Path(
    "few inputs", frozenset({Crossbar, IrDrop, ReadNoise, *_OUTPUTS, *_CONVERTERS, OutputScale})
)

# The native convolution: an input is converted to the same for every patch that it belongs to.
WHOLE_MAPS = Path(
    "whole maps",
    frozenset(
        {
            PerfectProduct, StaticScale, Dac, InputAsymmetry, Crossbar, SeparatePasses, IrDrop, OutputLine,
            ReadNoise, *_OUTPUTS, *_CONVERTERS, OutputScale,
        }
    ),
)  # fmt: skip
WHOLE_MAPS_OF_KNOWN_SCALE = Path("whole maps of known scale", WHOLE_MAPS.stages | {RunningScale})

# `fast/patches.py`: patches are divided by their absolute maxima and rounded, and no DAC clips them.
COMPILED_PATCHES = Path(
    "compiled patches",
    frozenset(
        {
            VectorScale, Dac, Crossbar, ReadNoise, *_OUTPUTS, *_CONVERTERS, BoundManagement, OutputScale,
        }
    ),
    lambda plan: (
        plan.vector_scale is not None
        and plan.vector_scale.rule is NoiseManagementType.ABS_MAX
        and plan.largest_input_fits
    ),
)  # fmt: skip

# `layout.UnitVectorProduct`: an input of zero stays zero, so that a unit vector is one number.
UNIT_VECTORS = Path("unit vectors", WHOLE_MAPS.stages | {VectorScale, RunningScale, BoundManagement})

# `fast/conversion.py`: what is left when outputs have reached the converter.
_COMPILED_CONVERTERS: frozenset[type[Stage]] = frozenset({Adc})
_COMPILED_REPETITIONS: frozenset[type[Stage]] = frozenset({BoundManagement})

FASTER = (ONE_STEP, FEW_INPUTS, WHOLE_MAPS, WHOLE_MAPS_OF_KNOWN_SCALE, COMPILED_PATCHES, UNIT_VECTORS)


def suits_one_step(
    plan: ForwardPlan, *, behind_range: bool, manages_output_clipping: bool, weights_per_sample: bool
) -> bool:
    """Return whether a tile can run in one step.

    Args:
        plan: of the tile, behind its input range if it has one.
        behind_range: whether it has one.
        manages_output_clipping: whether the range learns from clipped outputs.
        weights_per_sample: whether each sample of a batch has weights of its own in training.
    """
    return behind_range and not manages_output_clipping and not weights_per_sample and ONE_STEP.can(plan)


def offers_one_step(product: LayerProduct, weights: Tensor) -> bool:
    """Return whether one step can do a product, and there are loops for such weights."""
    return not _has_bias_input(product) and fast.takes(weights)


def slowed_by(
    plan: ForwardPlan,
    product: LayerProduct,
    weights: Tensor,
    *,
    behind_range: bool,
    manages_output_clipping: bool,
    weights_per_sample: bool,
) -> tuple[str, ...]:
    """Return why a tile does not run in one step: stages by name, then other reasons."""
    others = {
        "no input range": not behind_range,
        "manage_output_clipping": manages_output_clipping,
        "per_batch_sample": weights_per_sample,
        "analog bias": _has_bias_input(product),
        "no compiled loops": not fast.takes(weights),
    }
    return (*ONE_STEP.obstacles(plan), *(reason for reason, holds in others.items() if holds))


def runs_in_one_step(
    product: LayerProduct, clipping: ClippingMeter | None, x: Tensor, weights: Tensor | None
) -> bool:
    """Return whether a tile that can run in one step does so for these inputs and weights."""
    return (
        clipping is None and not _has_bias_input(product) and weights is not None and fast.takes(x, weights)
    )


def learns_from_few_inputs(plan: ForwardPlan, product: LayerProduct, *, weights_per_sample: bool) -> bool:
    """Return whether an input range can learn from the inputs that it clips, and look at no others."""
    return not weights_per_sample and not _has_bias_input(product) and FEW_INPUTS.can(plan)


def choose(
    plan: ForwardPlan,
    product: LayerProduct | UnitVectorProduct,
    like: Tensor,
    *,
    scale: float | None,
    weights_per_sample: bool = False,
    clipping: ClippingMeter | None = None,
) -> Way:
    """Return how the products of a plan are computed, where a tile does not run in one step.

    Args:
        plan: of the tile.
        product: how inputs and weights are multiplied.
        like: the inputs, or something of their type and on their device.
        scale: of all input vectors; None where each has its own.
        weights_per_sample: whether each sample has weights of its own.
        clipping: counts what the converters clip.
    """
    maps = product.first if isinstance(product, ChannelsLastProduct) else product
    if not isinstance(maps, ConvProduct):
        return Way.ROWS
    whole_maps = WHOLE_MAPS if scale is None else WHOLE_MAPS_OF_KNOWN_SCALE
    if whole_maps.can(plan) and not weights_per_sample and maps.bias_input is None:
        return Way.WHOLE_MAPS
    is_whole = maps.leading == maps.trailing == 0 and maps.bias_input is None
    if (
        scale is None
        and not weights_per_sample
        and clipping is None
        and is_whole
        and len(maps.kernel_size) <= 2
        and COMPILED_PATCHES.can(plan)
        and fast.takes(like)
    ):
        return Way.COMPILED_PATCHES
    return Way.PATCHES


def converts_compiled(plan: ForwardPlan, y: Tensor, clipping: ClippingMeter | None) -> bool:
    """Return whether a loop adds noise to outputs, rounds, clips and scales them, in place of y."""
    verdict = plan.verdicts.get("conversion")
    if verdict is None:
        verdict = plan.verdicts["conversion"] = (
            set(map(type, plan.of_phase(Phase.CONVERTER))) <= _COMPILED_CONVERTERS
            and set(map(type, plan.of_phase(Phase.REPETITION))) <= _COMPILED_REPETITIONS
            and (plan.adc.step > 0 or not plan.kinds.isdisjoint({OutputNoise, SpreadOutputNoise, ReadNoise}))
        )
    return verdict and clipping is None and y.is_contiguous() and fast.takes(y)


def _has_bias_input(product: Product | LayerProduct | UnitVectorProduct) -> bool:
    return isinstance(product, ConvProduct) and product.bias_input is not None
