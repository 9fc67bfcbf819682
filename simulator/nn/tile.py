"""One tile of a layer: a crossbar with its converters, scales, input range and programmed state.

The tile does not own weights. Its layer hands it the block of *logical* weights; what is on the crossbar is
that block divided by the mapping scale.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, Self, cast

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig, NoiseManagementType, WeightRemapType
from simulator.devices import build_drift_compensation, build_noise_model
from simulator.rng import KeyPart, NoiseContext, Purpose, Stream
from simulator.tile import (
    DENSE,
    NO_SPREAD,
    ChannelsLastProduct,
    ClippingMeter,
    ConvProduct,
    InstanceParameters,
    LayerProduct,
    OutputClipping,
    RangeLearner,
    StaticPass,
    TilePlan,
    UnitVectorProduct,
    analog_product,
    clip_to_range,
    clip_weights,
    compile_plan,
    converted_again,
    draw_instance,
    fused,
    in_rows,
    modifies,
    modify_weights,
    range_from_data,
    remap_scales,
    update_in_place,
    with_channels_first,
)

TileKey = tuple[KeyPart, ...]
_SAVE_ALL: AbstractContextManager[Any] = nullcontext()
Parameters = ParamSpec("Parameters")


def _outside_autograd(method: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Keep no gradients, and make tensors that serve inference mode and training alike."""

    @wraps(method)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        with torch.inference_mode(mode=False), torch.no_grad():
            method(*args, **kwargs)

    return run


class NotProgrammedWarning(UserWarning):
    """A state dict was loaded that came from a programmed model, or into one: the chip is not part of it."""


_WAS_PROGRAMMED = "was_programmed"


def _note_programming(
    tile: nn.Module, _state: dict[str, Any], _prefix: str, local_metadata: dict[str, Any]
) -> None:
    """Leave a note beside a state dict (in torch's metadata) that its model was programmed."""
    local_metadata[_WAS_PROGRAMMED] = getattr(tile, "programmed", None) is not None


class AnalogTile(nn.Module):
    """A crossbar of `[out, in]` devices (pairs) behind one set of DACs and ADCs.

    Attributes:
        mapping_scale: alpha, `[]` or `[out]`: logical weights are alpha times tile weights; None without.
        out_scaling: learned output scale, `[1]` or `[out]`; None without.
        input_range: `[1]`, a parameter where it is learned; None without.
        range_calibrated: `[]`, whether the input range was calibrated: then it takes the place of noise
            management, and training does not initialise it from its first batches; None without a range.
        programmed: what programming left in the devices; None before.
        analog_weights: `[out, in]`, what an evaluation reads now: programmed, drifted, with read noise.
        compensation: factor of the drift compensation, `[]` or `[out]`; None without.
        repeat: the chip instance that was programmed.
        modifier_strength: factor on what the weight modifier does; less than one while training ramps it up.
        observer: told of every input, channels last, before the input range; calibration listens here.
        meter: counts what the converters clip; the analysis of layers reads it.
        takes_whole_maps: whether a convolution multiplies maps, not patches that are converted one by one.
    """

    def __init__(self, out_features: int, in_features: int, rpu_config: InferenceRPUConfig) -> None:
        super().__init__()
        self.out_features = out_features
        self.in_features = in_features
        self.rpu_config = rpu_config.frozen()
        self.context = NoiseContext()
        self.key: TileKey = ("", 0, 0)
        self.programmed: Any = None
        self.analog_weights: Tensor | None = None
        self.compensation: Tensor | None = None
        self.compensation_baseline: Tensor | None = None
        self.repeat: int | None = None
        self.modifier_strength = 1.0
        self.observer: Callable[[Tensor], None] | None = None
        self.meter: ClippingMeter | None = None
        self._static_pass: StaticPass | None = None
        self._kept: tuple[Any, Any, tuple[Tensor, Tensor]] | None = None
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

    def recompile(self) -> None:
        """Find anew how the tile runs, from its configuration and its state."""
        calibrated = self.range_calibrated is not None and bool(self.range_calibrated)
        self.use_plan(compile_plan(self.rpu_config.forward, range_calibrated=calibrated))
        self._modifies = modifies(self.rpu_config.modifier)
        self._manages_output_clipping = (
            self.input_range is not None and self.rpu_config.pre_post.input_range.manage_output_clipping
        )
        self._range_from_data = not calibrated

    def use_plan(self, plan: TilePlan) -> None:
        """Run the forward pass by this plan until the next `recompile`."""
        self.plan = plan
        self._draws_noise, self._has_instance_parameters = plan.draws_noise, plan.has_instance_parameters
        self._ranged_plan, self._range_step = plan.after_input_range()
        self._static_pass = self._kept = None
        pre_post, modifier = self.rpu_config.pre_post, self.rpu_config.modifier
        self._is_static = (
            self._ranged_plan.is_static
            and not pre_post.input_range.manage_output_clipping
            and not modifier.per_batch_sample
        )
        self.takes_whole_maps = (
            plan.converts_alike(plan.static_scale) and not self.rpu_config.modifier.per_batch_sample
        )

    def without_training_parts(self) -> None:
        """Leave out input range and weight modifier until the next `recompile`."""
        self.disable_input_range()
        self._modifies = self._manages_output_clipping = False

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
        return not self.training and self.analog_weights is not None

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
        if self.observer is not None:
            self.observer(x.movedim(-1 if product is DENSE else 1, -1))
        weights = self.analog_weights if logical is None else logical
        if self.input_range is not None and self._runs_statically(x, weights, product):
            return self._run_statically(x, logical, self.input_range, product, bias)
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
            if self.meter is not None:
                self.meter.count_inputs(x, float(input_range) * (1 + 1e-6), again=True)
            given, learns = x, torch.is_grad_enabled()
            learner = self._learner(given, product, clipping) if learns else None
            clipped_at = input_range if learner is None else input_range.detach()
            x = clip_to_range(
                given,
                clipped_at,
                options,
                clipping,
                self._range_step,
                dac_clips=not self._ranged_plan.passes_range,
            )
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
                generator=self._call_stream(Purpose.FORWARD, x.device) if self._draws_noise else None,
                static_scale=self._average_scale(x, product),
                output_scale=None if self._manages_output_clipping else self.output_scale(),
                meter=self.meter,
                learner=learner,
            )
        if self._manages_output_clipping:
            bound = 0.999 * self.plan.out_bound * self.plan.out_scale
            clipping.clipped_share = (y.detach().abs() >= bound).to(y.dtype).mean()
            scale = self.output_scale()
            y = y if scale is None else y * product.per_output(scale)
        return y

    def _runs_statically(self, x: Tensor, weights: Tensor | None, product: LayerProduct) -> bool:
        return (
            self._is_static
            and self.meter is None
            and not (isinstance(product, ConvProduct) and product.bias_input is not None)
            and weights is not None
            and fused.at_hand(x, weights)
        )

    def _run_statically(
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
            self._kept = None
        if self.training and self._range_from_data:
            self._initialise_range(x)
        stream = self._call_stream(Purpose.FORWARD, x.device) if self._draws_noise else None
        if logical is None and not torch.is_grad_enabled():
            limit = input_range.item()
            laid_out, output_scale = self._prepared_for(run, limit)
            scale = run.scale(output_scale, self.out_scaling)
            return run.evaluate(x, laid_out, limit, scale, bias, stream)
        weight_scale = None
        if logical is None or self._modifies:
            weights = self._weights_for(x, None if logical is None else logical.flatten(1))
        else:
            weights, weight_scale = logical, self.mapping_scale
        output_scale = cast("Tensor", self.output_scale(learned=False))  # it has the range
        return run(x, weights, input_range, self.out_scaling, bias, weight_scale, output_scale, stream)

    def _prepared_for(self, run: StaticPass, limit: float) -> tuple[Tensor, Tensor]:
        """What an evaluation has in common for all batches: laid out weights, and the factor of outputs.

        It is kept until one of the tensors that it is made of has changed. A parameter's `data` can change
        without a trace: the range is looked at each time, and the learned scale is left out.
        """
        weights, sources = self.analog_weights, (self.mapping_scale, self.compensation)
        key: tuple[object, ...] | None
        try:
            key = (limit, *(None if one is None else (id(one), one._version) for one in (weights, *sources)))  # noqa: SLF001 - torch has no public name for it
        except RuntimeError:  # tensors of the inference mode do not tell whether they changed
            key = None
        kept = self._kept
        if kept is None or key is None or kept[0] != key:
            with torch.inference_mode(mode=False), torch.no_grad():
                scale = cast("Tensor", self.output_scale(learned=False))
                prepared = (run.laid_out(cast("Tensor", weights)), scale)
            kept = self._kept = (key, (weights, *sources), prepared)
        return kept[2]

    def _learner(self, x: Tensor, product: LayerProduct, clipping: OutputClipping) -> RangeLearner | None:
        """What learns the range where the inputs need no gradient, if that is quicker than finding theirs."""
        if (
            self.input_range is None
            or not self.input_range.requires_grad
            or x.requires_grad
            or not self._ranged_plan.passes_inputs
            or (self._modifies and self.rpu_config.modifier.per_batch_sample)
            or (isinstance(product, ConvProduct) and product.bias_input is not None)
        ):
            return None
        learner = RangeLearner(x, self.input_range, self.rpu_config.pre_post.input_range, clipping)
        return learner if learner.pays else None

    def _with_bias_in_range(self, product: LayerProduct) -> LayerProduct:
        """Clip and normalise the input of a convolution's analog bias column as every other input."""
        if not isinstance(product, ConvProduct) or product.bias_input is None or self.input_range is None:
            return product
        options = self.rpu_config.pre_post.input_range
        with torch.no_grad():
            bias_input = clip_to_range(product.bias_input, self.input_range, options, step=self._range_step)
        return replace(product, bias_input=bias_input)

    def output_scale(self, *, learned: bool = True) -> Tensor | None:
        """Return the digital factor on the tile's result, `[]`, `[1]` or `[out]`; None when it is one.

        Args:
            learned: with the scale that is learned.
        """
        scale = self.mapping_scale
        factors = (
            None if self.input_range is None else self.input_range.detach(),
            None if self.training else self.compensation,
            self.out_scaling if learned else None,
        )
        for factor in factors:
            if factor is not None:
                scale = factor if scale is None else scale * factor
        return scale

    def _weights_for(self, x: Tensor, logical_OI: Tensor | None) -> Tensor:
        """The weights that this call multiplies with: modified in training, programmed in evaluation."""
        if logical_OI is None:
            if self.analog_weights is None:
                raise RuntimeError("the tile was not programmed: pass its logical weights")
            return self.analog_weights
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
        if not self._has_instance_parameters:
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
        is_used = self.plan.management is NoiseManagementType.AVERAGE_ABS_MAX
        return self.average_abs_max if is_used else None

    def _average_scale(self, x: Tensor, product: LayerProduct) -> float | None:
        """The running mean of the vectors' absolute maxima (AverageAbsMax); learned only in training."""
        average = self._running_average()
        if average is None or self.plan.is_perfect:
            return None
        if self.training:
            newest = product.largest_inputs(x.detach()).mean()
            decay = self.plan.average_decay
            average.copy_(torch.where(average > 0, (1 - decay) * average + decay * newest, newest))
        value = float(average)
        return value if value > 0 else None  # nothing learned yet: each vector has its own maximum

    # --- programming, drift, compensation ------------------------------------------------------------------

    @_outside_autograd
    def program(self, logical_OI: Tensor) -> None:
        """Program the weights onto the devices of the chip instance that the context is at."""
        device = logical_OI.device
        target = self.target_weights(logical_OI).detach()
        model = build_noise_model(self.rpu_config.noise_model)
        faults = None
        if model.has_stuck_devices:
            faults = self.context.instance_stream(Purpose.FAULTS, self.key, device=device).open()
        self.programmed = model.program(
            target,
            programming=self.context.instance_stream(Purpose.PROGRAMMING, self.key, device=device).open(),
            drift=self.context.instance_stream(Purpose.DRIFT, self.key, device=device).open(),
            faults=faults,
        )
        self.analog_weights = self.programmed.weights_OI
        self.repeat = self.context.repeat
        self.read_baseline(target)

    @_outside_autograd
    def drift(self, t_inference_s: float) -> None:
        """Let the programmed devices drift, read them, and compensate; time in s after programming.

        Raises:
            RuntimeError: the tile was not programmed.
        """
        if self.programmed is None:
            raise RuntimeError("the tile was not programmed: call program_analog_weights first")
        model = build_noise_model(self.rpu_config.noise_model)
        device = self.programmed.weights_OI.device
        read = self.context.read_stream(Purpose.READ, self.key, device=device)
        self.analog_weights = model.drift(self.programmed, t_inference_s, read=read.open())
        self._compensate()

    @_outside_autograd
    def read_baseline(self, target_OI: Tensor) -> None:
        """Read the present analog weights as what later readouts are compared with.

        Args:
            target_OI: what was to be programmed, the baseline of compensations with exact reference.
        """
        self.compensation = self.compensation_baseline = None
        compensation = build_drift_compensation(self.rpu_config.drift_compensation)
        if compensation is not None and self.analog_weights is not None:
            y_IO = target_OI.t() if compensation.exact_reference else self._readout(self.analog_weights)
            self.compensation_baseline = compensation.readout(y_IO)

    @_outside_autograd
    def compensate(self) -> None:
        """Read the present analog weights and set the factor that makes up for what changed since."""
        self._compensate()

    def _compensate(self) -> None:
        compensation = build_drift_compensation(self.rpu_config.drift_compensation)
        baseline = self.compensation_baseline
        if compensation is not None and baseline is not None and self.analog_weights is not None:
            now = compensation.readout(self._readout(self.analog_weights))
            self.compensation = compensation.factor(baseline, now)

    def _readout(self, weights_OI: Tensor) -> Tensor:
        """Return `[in, out]`: the response to each unit vector, through the tile's own noisy forward."""
        device = weights_OI.device
        alone = self.plan.keeps_zeros  # then the zeros of a unit vector need no attention
        size = 1 if alone else self.in_features
        unit_vectors = torch.eye(size, device=device, dtype=weights_OI.dtype)
        stream = None
        if self._draws_noise:
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
        self.programmed = self.analog_weights = self.compensation = self.compensation_baseline = None
        self.repeat = None

    # --- torch ---------------------------------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the programmed state along with parameters and buffers."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name in ("programmed", "analog_weights", "compensation", "compensation_baseline"):
            setattr(self, name, _map_tensors(getattr(self, name), fn))
        self._instance = self._kept = None
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
        if local_metadata.get(_WAS_PROGRAMMED) or self.programmed is not None:
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
