"""One tile of a layer: a crossbar with its converters, scales, input range and programmed state.

The tile does not own weights. Its layer hands it the block of *logical* weights; what is on the crossbar is
that block divided by the mapping scale.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig, NoiseManagementType, WeightRemapType
from simulator.rng import NoiseContext, Purpose, Stream
from simulator.tile import (
    DENSE,
    NO_SPREAD,
    ChannelsLastProduct,
    ClippingMeter,
    ConvProduct,
    InstanceParameters,
    LayerProduct,
    OutputClipping,
    ProgrammedTile,
    RangeLearner,
    UnitVectorProduct,
    Way,
    analog_product,
    clip_to_range,
    clip_weights,
    compile_plan,
    converted_again,
    draw_instance,
    in_rows,
    modifies,
    modify_weights,
    path,
    range_from_data,
    remap_scales,
    update_in_place,
    with_channels_first,
)
from simulator.tile.fast.static import StaticPass
from simulator.tile.programming import TileKey, outside_autograd
from simulator.tile.stages import (
    RunningScale,
)

_SAVE_ALL: AbstractContextManager[Any] = nullcontext()


class NotProgrammedWarning(UserWarning):
    """A state dict was loaded that came from a programmed model, or into one: the chip is not part of it."""


_WAS_PROGRAMMED = "was_programmed"


def _note_programming(
    tile: nn.Module, _state: dict[str, Any], _prefix: str, local_metadata: dict[str, Any]
) -> None:
    """Leave a note beside a state dict (in torch's metadata) that its model was programmed."""
    local_metadata[_WAS_PROGRAMMED] = getattr(tile, "chip", None) is not None


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
        plan: the stages of the forward pass.
        mode: how the tile runs while somebody looks at it; `set_mode` changes it.
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
        self._static_pass: StaticPass | None = None
        self._instance: tuple[tuple[object, ...], InstanceParameters] | None = None
        self._register_scales()
        self.register_state_dict_post_hook(_note_programming)  # type: ignore[no-untyped-call]
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
            self.enable_input_range(learn=input_range.learn_input_range)
        averages = self.rpu_config.forward.noise_management is NoiseManagementType.AVERAGE_ABS_MAX
        self.average_abs_max: Tensor | None
        self.register_buffer("average_abs_max", torch.zeros(()) if averages else None)

    def enable_input_range(self, *, learn: bool) -> None:
        """Give the tile an input range at its initial value, a parameter when it is to be learned."""
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
        plan = compile_plan(self.rpu_config.forward, range_calibrated=calibrated)
        self.plan = plan.perfect(scaled=not self.mode.unscaled) if self.mode.perfect else plan
        clips = self.mode.clips_inputs
        self._ranged_plan, self._range_step = self.plan.after_input_range() if clips else (self.plan, 0.0)
        self._static_pass = None
        options, modifier = self.rpu_config.pre_post.input_range, self.rpu_config.modifier
        self._modifies = self.mode.modifies_weights and modifies(modifier)
        self._manages_output_clipping = self.input_range is not None and options.manage_output_clipping
        self._range_from_data = not calibrated
        self._suits_one_step = clips and path.suits_one_step(
            self._ranged_plan,
            behind_range=self.input_range is not None,
            manages_output_clipping=options.manage_output_clipping,
            weights_per_sample=modifier.per_batch_sample,
        )

    @property
    def takes_whole_maps(self) -> bool:
        """Whether a convolution multiplies maps, not patches that are converted one by one."""
        return path.WHOLE_MAPS.can(self.plan) and not self.rpu_config.modifier.per_batch_sample

    def way(self, product: LayerProduct, weights: Tensor) -> Way:
        """Return how the tile computes its products with such weights, of a layer or on the crossbar."""
        if self._suits_one_step and path.offers_one_step(product, weights):
            return Way.ONE_STEP
        plan = self.plan if self.input_range is None else self._ranged_plan
        per_sample = self._modifies and self.rpu_config.modifier.per_batch_sample
        return path.choose(plan, product, weights, scale=plan.static_scale, weights_per_sample=per_sample)

    def slowed_by(self, product: LayerProduct, weights: Tensor) -> tuple[str, ...]:
        """Return what keeps the tile from running in one step: stages by name, and other reasons."""
        return path.slowed_by(
            self._ranged_plan,
            product,
            weights,
            behind_range=self.input_range is not None,
            manages_output_clipping=self._manages_output_clipping,
            weights_per_sample=self.rpu_config.modifier.per_batch_sample,
        )

    # --- mapping -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def map_weights(self, logical_OI: Tensor) -> None:
        """Set the mapping scale from the weights: their absolute maximum becomes omega on the tile."""
        if self.mapping_scale is None:
            return
        omega = self.rpu_config.mapping.weight_scaling_omega
        if omega == 0:
            self.mapping_scale.fill_(1.0)
            return
        columnwise = self.rpu_config.mapping.weight_scaling_columnwise
        maximum = logical_OI.abs().amax(dim=1) if columnwise else logical_OI.abs().max()
        self.mapping_scale.copy_(torch.where(maximum > 0, maximum / omega, 1.0))

    def target_weights(self, logical_OI: Tensor) -> Tensor:
        """Return the weights on the crossbar, `[out, in]`, before programming and modifiers."""
        scale = self._scale_of_rows()
        return logical_OI if scale is None else logical_OI / scale

    def logical_weights(self, tile_OI: Tensor) -> Tensor:
        """Return the logical weights that tile weights stand for: the inverse of `target_weights`."""
        scale = self._scale_of_rows()
        return tile_OI if scale is None else tile_OI * scale

    def _scale_of_rows(self) -> Tensor | None:
        """The mapping scale, `[]` or `[out, 1]`."""
        scale = self.mapping_scale
        return scale if scale is None or scale.dim() == 0 else scale.unsqueeze(1)

    @torch.no_grad()
    def after_update(self, logical_OI: Tensor) -> Tensor:
        """Clip, then remap, after an optimiser step; return the block's new logical weights.

        They are the given block where it was changed in place.
        """
        clip, remap = self.rpu_config.clip, self.rpu_config.remap
        if self.mapping_scale is not None and update_in_place(logical_OI, self.mapping_scale, clip, remap):
            return logical_OI
        weights = self.target_weights(logical_OI)
        clipped = clip_weights(weights, clip)
        if clipped is not weights:
            logical_OI = self.logical_weights(clipped)
        if self.mapping_scale is not None:
            self.mapping_scale.copy_(remap_scales(clipped, self.mapping_scale, remap))
        return logical_OI

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
        if self._suits_one_step and path.runs_in_one_step(product, self.mode.clipping, x, weights):
            return self._run_in_one_step(x, logical, cast("Tensor", self.input_range), product, bias)
        matrix = None if logical is None else logical.flatten(1)
        if isinstance(product, ChannelsLastProduct):
            y = self._run_in_steps(in_rows(x), matrix, product)
            return with_channels_first(y if bias is None else y + bias)
        y = self._run_in_steps(x, matrix, product)
        return y if bias is None else y + product.per_output(bias)

    def _run_in_steps(self, x: Tensor, logical_OI: Tensor | None, product: LayerProduct) -> Tensor:
        """What `forward` does, each step noted by autograd; channels lie where the product has vectors."""
        clipping, saving, learner = OutputClipping(), _SAVE_ALL, None
        input_range = self.input_range
        if input_range is not None:
            options = self.rpu_config.pre_post.input_range
            if self.training:
                self._initialise_range(x)
            if self.mode.clipping is not None:
                self.mode.clipping.count_inputs(x, float(input_range) * (1 + 1e-6), again=True)
            given, learns = x, torch.is_grad_enabled() and self.mode.clips_inputs
            learner = self._learner(given, product, clipping) if learns else None
            clipped_at = input_range if learner is None else input_range.detach()
            if self.mode.clips_inputs:
                x = clip_to_range(
                    given,
                    clipped_at,
                    options,
                    clipping,
                    self._range_step,
                    dac_clips=not self._ranged_plan.passes_range,
                )
            else:
                x = given / clipped_at
            if learns:
                saving = converted_again(x, given, input_range, self._range_step)
            product = self._with_bias_in_range(product)
        with saving:
            y = analog_product(
                x,
                self._weights_for(x, logical_OI),
                self.plan if input_range is None else self._ranged_plan,
                product=product,
                instance=self.instance_parameters(x.device),
                generator=self._call_stream(Purpose.FORWARD, x.device) if self.plan.draws_noise else None,
                static_scale=self._average_scale(x, product),
                output_scale=None if self._manages_output_clipping else self.output_scale(),
                clipping=self.mode.clipping,
                learner=learner,
            )
        if self._manages_output_clipping:
            bound = 0.999 * self.plan.adc.bound * self.plan.out_scale
            clipping.clipped_share = (y.detach().abs() >= bound).to(y.dtype).mean()
            scale = self.output_scale()
            y = y if scale is None else y * product.per_output(scale)
        return y

    def _run_in_one_step(
        self,
        x: Tensor,
        logical: Tensor | None,
        input_range: Tensor,
        product: LayerProduct,
        bias: Tensor | None,
    ) -> Tensor:
        """What `forward` does, in one step."""
        run = self._static_pass
        if run is None or run.product is not product:
            rule = self.rpu_config.pre_post.input_range
            run = self._static_pass = StaticPass(self._ranged_plan, product, self._range_step, rule)
        if self.training and self._range_from_data:
            self._initialise_range(x)
        stream = self._call_stream(Purpose.FORWARD, x.device) if self.plan.draws_noise else None
        if logical is None and self.chip is not None and not torch.is_grad_enabled():
            limit = input_range.item()
            laid_out, output_scale = run.prepared(
                self.chip.weights_OI,
                (self.mapping_scale, self.chip.compensation),
                limit,
                lambda: cast("Tensor", self.output_scale(learned=False)),
            )
            return run.evaluate(x, laid_out, limit, run.scale(output_scale, self.out_scaling), bias, stream)
        weight_scale = None
        if logical is None or self._modifies:
            weights = self._weights_for(x, None if logical is None else logical.flatten(1))
        else:
            weights, weight_scale = logical, self.mapping_scale
        output_scale = cast("Tensor", self.output_scale(learned=False))  # it has the range
        return run(x, weights, input_range, self.out_scaling, bias, weight_scale, output_scale, stream)

    def _learner(self, x: Tensor, product: LayerProduct, clipping: OutputClipping) -> RangeLearner | None:
        """What learns the range where the inputs need no gradient, if that is quicker than finding theirs."""
        if self.input_range is None or not self.input_range.requires_grad or x.requires_grad:
            return None
        per_sample = self._modifies and self.rpu_config.modifier.per_batch_sample
        if not path.learns_from_few_inputs(self._ranged_plan, product, weights_per_sample=per_sample):
            return None
        learner = RangeLearner(x, self.input_range, self.rpu_config.pre_post.input_range, clipping)
        return learner if learner.pays else None

    def _with_bias_in_range(self, product: LayerProduct) -> LayerProduct:
        """Clip and normalise the input of a convolution's analog bias column as every other input."""
        if not isinstance(product, ConvProduct) or product.bias_input is None or self.input_range is None:
            return product
        options = self.rpu_config.pre_post.input_range
        with torch.no_grad():
            if self.mode.clips_inputs:
                bias_input = clip_to_range(
                    product.bias_input, self.input_range, options, step=self._range_step
                )
            else:
                bias_input = product.bias_input / self.input_range
        return replace(product, bias_input=bias_input)

    def output_scale(self, *, learned: bool = True) -> Tensor | None:
        """Return the digital factor on the tile's result, `[]`, `[1]` or `[out]`; None when it is one.

        Args:
            learned: with the scale that is learned.
        """
        scale = self.mapping_scale
        factors = (
            None if self.input_range is None else self.input_range.detach(),
            None if self.training or self.chip is None else self.chip.compensation,
            self.out_scaling if learned else None,
        )
        for factor in factors:
            if factor is not None:
                scale = factor if scale is None else scale * factor
        return scale

    def _weights_for(self, x: Tensor, logical_OI: Tensor | None) -> Tensor:
        """The weights that this call multiplies with: modified in training, programmed in evaluation."""
        if logical_OI is None:
            if self.chip is None:
                raise RuntimeError("the tile was not programmed: pass its logical weights")
            return self.chip.weights_OI
        weights = self.target_weights(logical_OI)
        modifier = self.rpu_config.modifier
        if not self._modifies or not (self.training or modifier.enable_during_test):
            return weights
        samples = x.shape[0] if modifier.per_batch_sample and x.dim() > 1 else None
        stream = self._call_stream(Purpose.MODIFIER, x.device)
        return modify_weights(weights, modifier, stream.open(), samples, self.modifier_strength)

    def _call_stream(self, purpose: Purpose, device: torch.device) -> Stream:
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

    def _initialise_range(self, x: Tensor) -> None:
        """Follow the data in the first training batches."""
        options = self.rpu_config.pre_post.input_range
        if not self._range_from_data or self.batches_seen is None or self.input_range is None:
            return
        seen = int(self.batches_seen)
        if seen >= options.init_from_data:
            self._range_from_data = False
            return
        with torch.no_grad():
            self.input_range.copy_(
                range_from_data(self.input_range, x.detach(), seen, options.init_std_alpha)
            )
            self.batches_seen += 1

    def _running_average(self) -> Tensor | None:
        """The running mean that scales inputs (AverageAbsMax), where the plan uses it."""
        return self.average_abs_max if RunningScale in self.plan.kinds else None

    def _average_scale(self, x: Tensor, product: LayerProduct) -> float | None:
        """The running mean of the vectors' absolute maxima (AverageAbsMax); learned only in training."""
        average = self._running_average()
        scale = self.plan.find(RunningScale)
        if average is None or scale is None:
            return None
        if self.training:
            newest = product.largest_inputs(x.detach()).mean()
            decay = scale.decay
            average.copy_(torch.where(average > 0, (1 - decay) * average + decay * newest, newest))
        value = float(average)
        return value if value > 0 else None  # nothing learned yet: each vector has its own maximum

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
        if self.chip is None:
            raise RuntimeError("the tile was not programmed: call program_analog_weights first")
        with outside_autograd():
            self.chip.drift(t_inference_s, self.rpu_config, self.context, self.key)
        if compensate:
            self.compensate()

    def compensate(self) -> None:
        """Read the devices out as they are now, and set the factor of the drift compensation.

        Raises:
            RuntimeError: the tile was not programmed.
        """
        if self.chip is None:
            raise RuntimeError("the tile was not programmed: call program_analog_weights first")
        with outside_autograd():
            self.chip.compensate(self.rpu_config, self.read_out)

    def read_out(self, weights_OI: Tensor) -> Tensor:
        """Return `[in, out]`: the response to each unit vector, through the tile's own noisy forward."""
        device = weights_OI.device
        alone = path.UNIT_VECTORS.can(self.plan)
        size = 1 if alone else self.in_features
        unit_vectors = torch.eye(size, device=device, dtype=weights_OI.dtype)
        stream = None
        if self.plan.draws_noise:
            stream = self.context.read_stream(Purpose.COMPENSATION, self.key, device=device)
        average = self._running_average()
        return analog_product(
            unit_vectors,
            weights_OI,
            self.plan,
            product=UnitVectorProduct(self.in_features) if alone else DENSE,
            instance=self.instance_parameters(device),
            generator=stream,
            static_scale=float(average) if average is not None and average > 0 else None,
        )

    def forget_programming(self) -> None:
        """Return to the clean weights: evaluation then uses them with forward noise alone."""
        self.chip = None

    # --- torch ---------------------------------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the programmed state along with parameters and buffers."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.chip = _map_tensors(self.chip, fn)
        self._instance = self._static_pass = None
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
        if local_metadata.get(_WAS_PROGRAMMED) or self.chip is not None:
            self.forget_programming()
            warnings.warn(
                "a state dict holds weights, scales and input ranges, and no programmed chip: the model "
                "computes with its clean weights until program_analog_weights programs one",
                NotProgrammedWarning,
                stacklevel=2,
            )

    def extra_repr(self) -> str:
        """Name the tile's size."""
        return f"{self.out_features}x{self.in_features}"


def _map_tensors(value: Any, fn: Callable[[Tensor], Tensor]) -> Any:
    """Apply `fn` to every tensor in a value: itself, or nested in dataclasses, dicts and lists."""
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, dict):
        return {key: _map_tensors(item, fn) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_map_tensors(item, fn) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {item.name: _map_tensors(getattr(value, item.name), fn) for item in fields(value)}
        return replace(value, **changes)
    return value
