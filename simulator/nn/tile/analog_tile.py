"""One tile of a layer: a crossbar with its converters, scales, input range and programmed state.

The tile does not own weights. Its layer hands it the block of *logical* weights; what is on the crossbar is
that block divided by the mapping scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig, NoiseManagementType, WeightRemapType
from simulator.nn.tile import passes
from simulator.nn.tile.setup import AS_CONFIGURED, TileMode, TileSetup
from simulator.nn.tile.state import came_from_a_chip, map_tensors, note_programming, warn_of_a_missing_chip
from simulator.rng import NoiseContext, Purpose, Stream
from simulator.tile import (
    DENSE,
    NO_SPREAD,
    ChannelsLastProduct,
    ForwardPlan,
    InstanceParameters,
    LayerProduct,
    ProgrammedTile,
    clip_and_remap,
    draw_instance,
    in_rows,
    mapping_scale,
    off_tile,
    onto_tile,
    path,
    with_channels_first,
)
from simulator.tile.fast.static import StaticPass
from simulator.tile.programming import TileKey, outside_autograd
from simulator.tile.stages import RunningScale


class AnalogTile(nn.Module):
    """A crossbar of `[out, in]` devices (pairs) behind one set of DACs and ADCs.

    Attributes:
        mapping_scale: alpha, `[]` or `[out]`: logical weights are alpha times tile weights; None without.
        out_scaling: learned output scale, `[1]` or `[out]`; None without.
        input_range: `[1]`, a parameter where it is learned; None without.
        range_calibrated: `[]`, whether the input range was calibrated: then it takes the place of noise
            management, and training does not initialise it from its first batches; None without a range.
        chip: what was programmed, drifted and compensated; None for clean weights.
        modifier_strength: factor on what the weight modifier does; less than one while training ramps it up.
        mode: how the tile runs while somebody looks at it; `set_mode` changes it.
        setup: how it runs, by its configuration, its state and its mode.
        static_pass: the pass in one step, with what it keeps between calls; None before the first.
        range_follows_data: whether training still sets the input range from its first batches.
    """

    def __init__(self, out_features: int, in_features: int, rpu_config: InferenceRPUConfig) -> None:
        super().__init__()
        self.out_features = out_features
        self.in_features = in_features
        self.rpu_config = rpu_config.frozen()
        self.context = NoiseContext()
        self.key: TileKey = ("", 0, 0)
        self.chip: ProgrammedTile | None = None
        self.modifier_strength = 1.0
        self.mode = AS_CONFIGURED
        self.static_pass: StaticPass | None = None
        self._instance: tuple[tuple[object, ...], InstanceParameters] | None = None
        self._register_scales()
        self.register_state_dict_post_hook(note_programming)  # type: ignore[no-untyped-call]
        self.recompile()

    def _register_scales(self) -> None:
        mapping, input_range = self.rpu_config.mapping, self.rpu_config.pre_post.input_range
        remap = self.rpu_config.remap.type
        columnwise = mapping.weight_scaling_columnwise or remap is WeightRemapType.CHANNELWISE_SYMMETRIC
        scaled = mapping.weight_scaling_omega > 0 or remap is not WeightRemapType.NONE
        shape = (self.out_features,) if columnwise else ()
        self.mapping_scale: Tensor | None
        self.register_buffer("mapping_scale", torch.ones(shape) if scaled else None)
        size = self.out_features if mapping.out_scaling_columnwise else 1
        self.out_scaling = nn.Parameter(torch.ones(size)) if mapping.learn_out_scaling else None
        self.input_range: Tensor | None
        self.register_buffer("input_range", None)
        self.range_calibrated: Tensor | None
        self.register_buffer("range_calibrated", None)
        self.batches_seen: Tensor | None
        self.register_buffer("batches_seen", None)
        if input_range.enable:
            self._make_range(learn=input_range.learn_input_range)
        averages = self.rpu_config.forward.noise_management is NoiseManagementType.AVERAGE_ABS_MAX
        self.average_abs_max: Tensor | None
        self.register_buffer("average_abs_max", torch.zeros(()) if averages else None)

    def enable_input_range(self, *, learn: bool) -> None:
        """Give the tile an input range at its initial value, a parameter when it is to be learned."""
        self._make_range(learn=learn)
        self.recompile()

    def _make_range(self, *, learn: bool) -> None:
        options = self.rpu_config.pre_post.input_range
        value = torch.full((1,), options.init_value)
        self.range_calibrated = torch.zeros((), dtype=torch.bool)
        del self.input_range
        if learn:
            self.input_range = nn.Parameter(value)
            self.batches_seen = torch.zeros((), dtype=torch.long)
        else:
            self.register_buffer("input_range", value)

    def disable_input_range(self) -> None:
        """Take the tile's input range away."""
        del self.input_range
        self.register_buffer("input_range", None)
        self.range_calibrated = self.batches_seen = None
        self.recompile()

    def expect_calibrated_range(self) -> None:
        """Run as behind a calibrated input range; give the tile a fixed one where it has none.

        Calibration sets the range's value. All of it belongs to the tile's state, so a tile that loads the
        state runs the same forward pass.
        """
        if self.input_range is None:
            self.enable_input_range(learn=False)
        if self.range_calibrated is not None:
            self.range_calibrated.fill_(value=True)
        self.recompile()

    def set_mode(self, mode: TileMode) -> None:
        """Run as somebody wants who looks at the tile, until the next `set_mode`."""
        self.mode = mode
        self.recompile()

    def recompile(self) -> None:
        """Find anew how the tile runs, from its configuration, its state and its mode."""
        calibrated = self.range_calibrated is not None and bool(self.range_calibrated)
        self.setup = TileSetup.find(
            self.rpu_config, self.mode, has_range=self.input_range is not None, range_calibrated=calibrated
        )
        self.static_pass = None
        self.range_follows_data = not calibrated

    @property
    def plan(self) -> ForwardPlan:
        """The stages of the forward pass, without an input range."""
        return self.setup.plan

    # --- mapping -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def map_weights(self, logical_OI: Tensor) -> None:
        """Set the mapping scale from the weights: their absolute maximum becomes omega on the tile."""
        if self.mapping_scale is not None:
            self.mapping_scale.copy_(mapping_scale(logical_OI, self.rpu_config.mapping))

    def target_weights(self, logical_OI: Tensor) -> Tensor:
        """Return the weights on the crossbar, `[out, in]`, before programming and modifiers."""
        return onto_tile(logical_OI, self.mapping_scale)

    def logical_weights(self, tile_OI: Tensor) -> Tensor:
        """Return the logical weights that tile weights stand for: the inverse of `target_weights`."""
        return off_tile(tile_OI, self.mapping_scale)

    def after_update(self, logical_OI: Tensor) -> Tensor:
        """Clip, then remap, after an optimiser step; return the block's new logical weights.

        They are the given block where it was changed in place.
        """
        config = self.rpu_config
        return clip_and_remap(logical_OI, self.mapping_scale, config.clip, config.remap)

    def output_scale(self, *, learned: bool = True) -> Tensor | None:
        """Return the digital factor on the tile's result, `[]`, `[1]` or `[out]`; None when it is one.

        Args:
            learned: with the scale that is learned.
        """
        scale, input_range = self.mapping_scale, self.input_range
        if input_range is not None:
            scale = input_range.detach() if scale is None else scale * input_range.detach()
        if not self.training and self.chip is not None and self.chip.compensation is not None:
            scale = self.chip.compensation if scale is None else scale * self.chip.compensation
        if learned and self.out_scaling is not None:
            scale = self.out_scaling if scale is None else scale * self.out_scaling
        return scale

    # --- forward -------------------------------------------------------------------------------------------

    @property
    def reads_devices(self) -> bool:
        """Whether the forward pass multiplies with what is on the crossbar, not with logical weights."""
        return not self.training and self.chip is not None

    def forward(
        self, x: Tensor, logical: Tensor | None, product: LayerProduct = DENSE, bias: Tensor | None = None
    ) -> Tensor:
        """Return the tile's part of the layer's output.

        Args:
            x: `[..., in]`, or the feature map `[B, C, ...]` where the product is a convolution.
            logical: the block of logical weights, `[out, ...]`; None where it `reads_devices`.
            product: how inputs and weights are multiplied.
            bias: `[out]`, what is added digitally; None for nothing.
        """
        if self.mode.observer is not None:
            self.mode.observer(x.movedim(-1 if product is DENSE else 1, -1))
        weights = logical if logical is not None or self.chip is None else self.chip.weights_OI
        if self.setup.suits_one_step and path.runs_in_one_step(product, self.mode.clipping, x, weights):
            return passes.run_in_one_step(self, x, logical, product, bias)
        matrix = None if logical is None else logical.flatten(1)
        if isinstance(product, ChannelsLastProduct):
            y = passes.run_in_steps(self, in_rows(x), matrix, product)
            return with_channels_first(y if bias is None else y + bias)
        y = passes.run_in_steps(self, x, matrix, product)
        return y if bias is None else y + product.per_output(bias)

    @property
    def running_average(self) -> Tensor | None:
        """The running mean that scales inputs (AverageAbsMax), where the plan uses it."""
        return self.average_abs_max if RunningScale in self.plan.kinds else None

    def call_stream(self, purpose: Purpose, device: torch.device) -> Stream:
        """Return the stream of the next call of the tile for a purpose."""
        return self.context.call_stream(purpose, self.key, device=device)

    def instance_parameters(self, device: torch.device) -> InstanceParameters:
        """Return what this chip instance has drawn once, for the repeat that the context is at."""
        if not self.plan.differs_between_instances:
            return NO_SPREAD
        where = (self.context.seed, self.context.repeat, self.key, device, self.plan)
        if self._instance is None or self._instance[0] != where:
            stream = self.context.instance_stream(Purpose.INSTANCE, self.key, device=device)
            with torch.inference_mode(mode=False):  # a training step may be the next to use them
                drawn = draw_instance(self.plan, self.out_features, self.in_features, stream.open())
            self._instance = (where, drawn)
        return self._instance[1]

    # --- programming, drift, compensation ------------------------------------------------------------------

    def program(self, logical_OI: Tensor) -> None:
        """Program the weights onto the devices of the chip instance that the context is at."""
        with outside_autograd():
            target = self.target_weights(logical_OI).detach()
            self.chip = ProgrammedTile.program(target, self.rpu_config, self.context, self.key)
            self.chip.read_baseline(target, self.rpu_config, self.read_out)

    def drift(self, t_inference_s: float, *, compensate: bool = True) -> None:
        """Let the programmed devices drift, read them, and compensate.

        Args:
            t_inference_s: time in s after programming.
            compensate: without, the factor of the compensation stays as it is.

        Raises:
            RuntimeError: the tile was not programmed.
        """
        with outside_autograd():
            self._programmed().drift(t_inference_s, self.rpu_config, self.context, self.key)
        if compensate:
            self.compensate()

    def compensate(self) -> None:
        """Read the devices out as they are now, and set the factor of the drift compensation.

        Raises:
            RuntimeError: the tile was not programmed.
        """
        with outside_autograd():
            self._programmed().compensate(self.rpu_config, self.read_out)

    def _programmed(self) -> ProgrammedTile:
        if self.chip is None:
            raise RuntimeError("the tile was not programmed: call program_analog_weights first")
        return self.chip

    def read_out(self, weights_OI: Tensor) -> Tensor:
        """Return `[in, out]`: the response to each unit vector, through the tile's own noisy forward."""
        return passes.run_on_unit_vectors(self, weights_OI)

    def forget_programming(self) -> None:
        """Return to the clean weights: evaluation then uses them with forward noise alone."""
        self.chip = None

    # --- torch ---------------------------------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the programmed state along with parameters and buffers."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.chip = map_tensors(self.chip, fn)
        self._instance = self.static_pass = None
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        """Load scales and ranges, and run as they say; a chip is neither there nor left from before."""
        if self.input_range is None and f"{prefix}input_range" in state_dict:
            self.enable_input_range(learn=f"{prefix}batches_seen" in state_dict)
            scale = self.mapping_scale
            self.to(state_dict[f"{prefix}input_range"].device if scale is None else scale.device)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        self.recompile()
        if came_from_a_chip(local_metadata) or self.chip is not None:
            self.forget_programming()
            warn_of_a_missing_chip()

    def extra_repr(self) -> str:
        """Name the tile's size."""
        return f"{self.out_features}x{self.in_features}"
