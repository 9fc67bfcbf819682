"""What is done to whole models: noise context, programming, drift, weight updates, saved state."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from simulator.nn.layer import AnalogLayer
from simulator.rng import NoiseContext

# What of a tile's state not only its mapping decides, but how it is trained and run.
_OF_THE_CONFIGURATION = ("mapping_scale", "average_abs_max", "batches_seen")


def analog_layers(model: nn.Module) -> Iterator[tuple[str, AnalogLayer]]:
    """Iterate over a model's analog layers with their names in the model, in the order of `named_modules`.

    It does not go on inside of them, and is asked after every training step: it is several times as quick.
    """
    seen: set[int] = set()
    left: list[tuple[str, nn.Module]] = [("", model)]
    while left:
        name, module = left.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module, AnalogLayer):
            yield name, module
            continue
        prefix = f"{name}." if name else ""
        children = reversed(module._modules.items())  # noqa: SLF001 - `named_children` takes longer
        left += [(prefix + own, child) for own, child in children if child is not None]


def noise_context(model: nn.Module) -> NoiseContext | None:
    """Return the noise context that all analog layers of a model share; None for a digital model.

    Layers that were built by hand are bound to a common context (seed 0) under their names here.

    Raises:
        ValueError: layers of several conversions were put into one model.
    """
    layers = list(analog_layers(model))
    if not layers:
        return None
    if not any(layer.bound_to_model for _, layer in layers):
        return bind_noise_context(model)
    contexts = {id(layer.noise_context): layer.noise_context for _, layer in layers if layer.bound_to_model}
    if len(contexts) > 1 or not all(layer.bound_to_model for _, layer in layers):
        raise ValueError(
            "the model's analog layers come from several conversions and would share or mix their random "
            "streams: call bind_noise_context(model, seed) once it is put together"
        )
    return next(iter(contexts.values()))


def bind_noise_context(model: nn.Module, seed: int = 0) -> NoiseContext:
    """Give all analog layers of a model one new context, under their present names; return it."""
    context = NoiseContext(seed=seed)
    for name, layer in analog_layers(model):
        layer.bind(context, name)
    return context


def remap_for_programming(model: nn.Module) -> None:
    """Map a trained model's weights anew, by its configuration's mapping alone, as a fresh conversion would.

    Training changes weights under mapping scales that come from the weights before it, and learns output
    scales. Here the scales are folded into the weights, and the largest of these becomes
    `weight_scaling_omega` on its tile (columnwise where the mapping says so), so that a trained network is
    programmed as any other: it gives what its exported weights give on the same input ranges. What the model
    computes digitally stays, and so do input ranges and learned averages; programming is forgotten. Call it
    after training, before calibration and programming; a second time it changes nothing.

    Args:
        model: any model, changed in place; one without analog layers is left alone.
    """
    for _, layer in analog_layers(model):
        layer.remap()


def load_trained_elsewhere(model: nn.Module, trained: nn.Module) -> None:
    """Load parameters and buffers of the same network, trained on tiles of another configuration.

    Both configurations must have the same mapping, and input ranges on the same layers. What only one of
    them has (an average of inputs, a counter of learned ranges) stays as it is, and so do mapping scales of
    another shape: call `remap_for_programming` afterwards.

    Args:
        model: gets the state, changed in place.
        trained: has it, mapped for programming.
    """
    own = model.state_dict()
    loaded = {
        name: value
        for name, value in trained.state_dict().items()
        if name.rpartition(".")[2] not in _OF_THE_CONFIGURATION
        or (name in own and own[name].shape == value.shape)
    }
    model.load_state_dict({**own, **loaded})


def program_analog_weights(model: nn.Module, repeat: int | None = None, *, programming: int = 0) -> int:
    """Program the present clean weights of every analog layer onto a chip instance.

    Args:
        model: any model; one without analog layers is left alone.
        repeat: which chip instance; None is the next one (the first, if none was programmed).
        programming: how often this chip instance was programmed before. It keeps its peripheral circuits and
            its stuck devices; programming noise and drift exponents are drawn anew.

    Returns:
        The chip instance that was programmed.
    """
    context = noise_context(model)
    if context is None:
        return 0
    if repeat is None:
        chips = [tile.chip for _, layer in analog_layers(model) for _, tile in layer.tile_slots()]
        programmed = [chip.repeat for chip in chips if chip is not None and chip.repeat is not None]
        repeat = max(programmed) + 1 if programmed else context.repeat
    context.move(repeat=repeat, programming=programming)
    for _, layer in analog_layers(model):
        layer.program()
    return repeat


def drift_analog_weights(
    model: nn.Module, t_inference: float, *, programmed_at: float = 0.0, compensate: bool = True
) -> None:
    """Let the programmed devices of every analog layer drift, read them, and compensate.

    Args:
        model: a programmed model.
        t_inference: time in s after the end of programming. Times need not come in order: each is reached
            from programming.
        programmed_at: when a chip that was programmed again was so the last time, in s after its first
            programming, from which `t_inference` counts.
        compensate: without, the factors of the drift compensation stay as they are.

    Raises:
        RuntimeError: a layer was not programmed.
        ValueError: the time is before programming or not a number.
    """
    if not t_inference >= programmed_at:
        raise ValueError(f"t_inference must be a time in s after programming, not {t_inference}")
    context = noise_context(model)
    if context is None:
        return
    context.move(t_inference_s=float(t_inference))
    for _, layer in analog_layers(model):
        layer.drift(float(t_inference - programmed_at), compensate=compensate)


def set_modifier_strength(model: nn.Module, strength: float) -> None:
    """Scale what the weight modifiers of all layers do: 0 leaves the clean weights, 1 is the whole."""
    for _, layer in analog_layers(model):
        for _, tile in layer.tile_slots():
            tile.modifier_strength = strength


def post_update_step(model: nn.Module) -> None:
    """Clip and remap the weights of every analog layer; call it after each optimiser step."""
    for _, layer in analog_layers(model):
        layer.post_update_step()


def forget_programming(model: nn.Module) -> None:
    """Return every analog layer to its clean weights."""
    for _, layer in analog_layers(model):
        layer.forget_programming()


def analog_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what is on the tiles, per layer and tile, for saving.

    Keys are `<layer>.tile_<row>_<column>.<what>`, with what one of `target_weights` (`[out, in]`,
    normalised), `mapping_scale`, `out_scaling`, `input_range`, `programmed_weights`, `analog_weights`
    (drifted) and `compensation`, as far as the tile has them; and `<layer>.bias`.
    """
    state: dict[str, Tensor] = {}
    for name, layer in analog_layers(model):
        if layer.bias is not None:
            state[f"{name}.bias"] = layer.bias.detach().clone()
        for slot, tile in layer.tile_slots():
            chip = tile.chip
            values = {
                "target_weights": tile.target_weights(layer.logical_block(slot)),
                "mapping_scale": tile.mapping_scale,
                "out_scaling": tile.out_scaling,
                "input_range": tile.input_range,
                "programmed_weights": None if chip is None else chip.devices.weights_OI,
                "analog_weights": None if chip is None else chip.weights_OI,
                "compensation": None if chip is None else chip.compensation,
            }
            prefix = f"{name}.tile_{slot.row}_{slot.column}."
            state |= {
                prefix + key: value.detach().clone() for key, value in values.items() if value is not None
            }
    return state
