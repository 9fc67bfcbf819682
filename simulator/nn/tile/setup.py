"""How a tile runs: what its configuration and its state say, and whoever looks at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from simulator.config import InferenceRPUConfig
from simulator.config.mapping import InputRangeParameter
from simulator.tile import ClippingMeter, ForwardPlan, LayerProduct, Way, compile_plan, modifies, path


@dataclass(frozen=True)
class TileMode:
    """How a tile runs while calibration, the analysis of layers or the check of a conversion looks at it.

    Attributes:
        perfect: products are perfect.
        unscaled: perfect products leave out the digital factor of outputs, too.
        modifies_weights: the weight modifier acts, as configured.
        clips_inputs: an input range clips, as configured; without, it is a scale alone.
        observer: gets every input, channels last, before the input range.
        clipping: counts what the converters clip.
    """

    perfect: bool = False
    unscaled: bool = False
    modifies_weights: bool = True
    clips_inputs: bool = True
    observer: Callable[[Tensor], None] | None = None
    clipping: ClippingMeter | None = None


AS_CONFIGURED = TileMode()


@dataclass(frozen=True)
class TileSetup:
    """How a tile runs, until its configuration, its input range or its mode is another.

    Attributes:
        plan: the stages of the forward pass, without an input range.
        ranged_plan: the stages behind an input range.
        range_step: what the range rounds its normalised inputs to; 0 where it does not.
        has_range: whether there is an input range.
        rule: how the range is learned.
        clips_inputs: whether the range clips.
        manages_output_clipping: whether the range learns from clipped outputs.
        modifies_weights: whether the weight modifier acts.
        weights_per_sample: whether the modifier gives each sample of a batch weights of its own.
        takes_whole_maps: whether a convolution multiplies maps, not patches that are converted one by one.
        suits_one_step: whether the forward pass can run in one step.
    """

    plan: ForwardPlan
    ranged_plan: ForwardPlan
    range_step: float
    has_range: bool
    rule: InputRangeParameter
    clips_inputs: bool
    manages_output_clipping: bool
    modifies_weights: bool
    weights_per_sample: bool
    takes_whole_maps: bool
    suits_one_step: bool

    @classmethod
    def find(
        cls, config: InferenceRPUConfig, mode: TileMode, *, has_range: bool, range_calibrated: bool
    ) -> TileSetup:
        """Return how a tile of this configuration runs.

        Args:
            config: of the tile.
            mode: what somebody wants who looks at it.
            has_range: whether it has an input range.
            range_calibrated: whether that was calibrated.
        """
        plan = compile_plan(config.forward, range_calibrated=range_calibrated)
        if mode.perfect:
            plan = plan.perfect(scaled=not mode.unscaled)
        ranged_plan, range_step = plan.after_input_range() if mode.clips_inputs else (plan, 0.0)
        rule, modifier = config.pre_post.input_range, config.modifier
        manages_output_clipping = has_range and rule.manage_output_clipping
        return cls(
            plan=plan,
            ranged_plan=ranged_plan,
            range_step=range_step,
            has_range=has_range,
            rule=rule,
            clips_inputs=mode.clips_inputs,
            manages_output_clipping=manages_output_clipping,
            modifies_weights=mode.modifies_weights and modifies(modifier),
            weights_per_sample=modifier.per_batch_sample,
            takes_whole_maps=path.WHOLE_MAPS.can(plan) and not modifier.per_batch_sample,
            suits_one_step=mode.clips_inputs
            and path.suits_one_step(
                ranged_plan,
                behind_range=has_range,
                manages_output_clipping=manages_output_clipping,
                weights_per_sample=modifier.per_batch_sample,
            ),
        )

    @property
    def stages(self) -> ForwardPlan:
        """The stages of the tile, behind its input range where it has one."""
        return self.ranged_plan if self.has_range else self.plan

    @property
    def modifies_per_sample(self) -> bool:
        """Whether the weight modifier acts, on each sample of a batch by itself."""
        return self.modifies_weights and self.weights_per_sample

    def way(self, product: LayerProduct, weights: Tensor) -> Way:
        """Return how the tile computes its products with such weights, of a layer or on the crossbar."""
        if self.suits_one_step and path.offers_one_step(product, weights):
            return Way.ONE_STEP
        plan = self.stages
        return path.choose(
            plan, product, weights, scale=plan.static_scale, weights_per_sample=self.modifies_per_sample
        )

    def slowed_by(self, product: LayerProduct, weights: Tensor) -> tuple[str, ...]:
        """Return what keeps the tile from running in one step: stages by name, and other reasons."""
        return path.slowed_by(
            self.ranged_plan,
            product,
            weights,
            behind_range=self.has_range,
            manages_output_clipping=self.manages_output_clipping,
            weights_per_sample=self.weights_per_sample,
        )
