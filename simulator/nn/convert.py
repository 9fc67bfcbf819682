"""From plain torch models to analog ones, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from torch import nn

from simulator.config import InferenceRPUConfig, LayerOverride, LayerRules
from simulator.config.support import unsupported
from simulator.nn.attention import AnalogMultiheadAttention
from simulator.nn.composite import AnalogComposite
from simulator.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from simulator.nn.equality import check_perfect
from simulator.nn.layer import AnalogLayer, not_finite
from simulator.nn.linear import AnalogLinear
from simulator.nn.model import analog_layers, bind_noise_context
from simulator.nn.recurrent import AnalogGRU, AnalogLSTM, AnalogRNN
from simulator.nn.report import DIGITAL_REASONS
from simulator.rng import NoiseContext

ANALOG_TYPES: dict[type[nn.Module], type[AnalogLayer | AnalogComposite]] = {
    nn.Linear: AnalogLinear,
    nn.Conv1d: AnalogConv1d,
    nn.Conv2d: AnalogConv2d,
    nn.Conv3d: AnalogConv3d,
    nn.RNN: AnalogRNN,
    nn.LSTM: AnalogLSTM,
    nn.GRU: AnalogGRU,
    nn.MultiheadAttention: AnalogMultiheadAttention,
}
DIGITAL_TYPES = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Bilinear)
# Torch's transformer layers compute with their parts' parameters, past their parts, unless these are false.
_BYPASSES = {
    nn.TransformerEncoderLayer: "activation_relu_or_gelu",
    nn.TransformerEncoder: "use_nested_tensor",
}
_BYPASSED = "_bypassed"  # name of the attribute that keeps the value from before the conversion


class AnalogSequential(nn.Sequential):
    """A sequence of modules whose analog layers share one noise context."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        layers = [layer for _, layer in analog_layers(self)]
        if layers and not any(layer.bound_to_model for layer in layers):
            bind_noise_context(self)


def convert_to_analog(
    module: nn.Module,
    rpu_config: InferenceRPUConfig,
    weight_scaling_omega: float | None = None,
    *,
    digital: Iterable[str] = (),
    overrides: Sequence[LayerOverride | Mapping[str, Any]] = (),
    seed: int = 0,
    check: bool = True,
    channels_last: bool = False,
    configure: Callable[[InferenceRPUConfig], InferenceRPUConfig] | None = None,
) -> nn.Module:
    """Return a copy of a model whose linear, convolution, recurrent and attention layers run on tiles.

    Only layers of exactly the types in `ANALOG_TYPES` are replaced, under the names that they have; the
    parameters of linear layers and convolutions keep their names; recurrent and attention layers have a
    linear layer for each of their matrices. Sharing between layers is kept. The given module is not changed.
    `conversion_report` says what became of each layer.

    Args:
        module: a plain model, or a `torch.fx.GraphModule`.
        rpu_config: the configuration of all layers; it is copied.
        weight_scaling_omega: in place of `rpu_config.mapping.weight_scaling_omega`, when given.
        digital: names or shell patterns of layers to leave digital.
        overrides: `{"match": pattern, "rpu_config": {...}}`, deep-merged in order for the layers that match.
        seed: of all random streams of the model.
        check: compare every converted layer, with perfect products, to its digital form on a small input.
        channels_last: let two-dimensional convolutions give maps in torch's `channels_last` memory format,
            which is quicker on the CPU. The model must not `view` such maps; `flatten` and `reshape` are
            well. Draws follow the memory, so equal seeds give other numbers.
        configure: makes each layer's final configuration of what it has after the overrides.

    Returns:
        The analog model, in the training mode of the given one.

    Raises:
        ValueError: the model has analog layers already, a pattern matches no layer, weights are NaN or
            infinite, or a configuration asks for something that is not supported; all faults at once.
        RuntimeError: a converted layer is not the digital one where its products are perfect.
    """
    if any(True for _ in analog_layers(module)):
        raise ValueError("the model has analog layers already: convert_to_digital first")
    base = rpu_config.model_copy(deep=True)
    if weight_scaling_omega is not None:
        base.mapping.weight_scaling_omega = weight_scaling_omega
    base = base.frozen()
    rules = LayerRules.model_validate({"digital": tuple(digital), "overrides": tuple(overrides)})
    model = copy.deepcopy(module)
    candidates = {name: child for name, child in model.named_modules() if type(child) in ANALOG_TYPES}
    known = {**candidates, **_left_digital(model, candidates)}
    configs = {name: rules.config_for(name, base) for name in candidates if not rules.is_digital(name)}
    if configure is not None:
        configs = {name: configure(config) for name, config in configs.items()}
    _refuse_faults(rules, configs, known, candidates)

    context = NoiseContext(seed=seed)
    replacements: dict[int, nn.Module] = {}
    reasons: dict[str, str] = {}
    for name, child in known.items():
        reason = _reason_to_stay_digital(name, child, rules)
        if reason is not None:
            reasons[name] = reason
            continue
        layer = ANALOG_TYPES[type(child)].from_digital(child, configs[name])
        if check:
            check_perfect(name, layer, child)
        layer.bind(context, name)
        if isinstance(layer, AnalogConv2d):
            layer.channels_last = channels_last
        replacements[id(child)] = layer
    model = _replaced(model, replacements)
    for part in model.modules():
        if type(part) in _BYPASSES and any(True for _ in analog_layers(part)):
            setattr(part, _BYPASSED, getattr(part, _BYPASSES[type(part)]))
            setattr(part, _BYPASSES[type(part)], False)
    setattr(model, DIGITAL_REASONS, reasons)
    return model


def convert_to_digital(model: nn.Module, layers: Collection[str] | None = None) -> nn.Module:
    """Return a copy of an analog model with plain torch layers of the same effective logical weights.

    Learned output scales are multiplied into the weights; noise, programming and input ranges are left
    behind. The given model is not changed.

    Args:
        model: an analog model.
        layers: names of the layers to convert, as the conversion had them; None: all.
    """
    result = copy.deepcopy(model)
    wholes = {name: module for name, module in result.named_modules() if isinstance(module, AnalogComposite)}
    parts = {id(part) for whole in wholes.values() for part in whole.modules()}
    alone = {name: layer for name, layer in analog_layers(result) if id(layer) not in parts}
    found: dict[str, AnalogLayer | AnalogComposite] = {**wholes, **alone}
    replacements = {
        id(layer): layer.to_digital() for name, layer in found.items() if layers is None or name in layers
    }
    result = _replaced(result, replacements)
    for part in result.modules():
        if hasattr(part, _BYPASSED) and not any(True for _ in analog_layers(part)):
            setattr(part, _BYPASSES[type(part)], getattr(part, _BYPASSED))
            delattr(part, _BYPASSED)
    if layers is None and hasattr(result, DIGITAL_REASONS):
        delattr(result, DIGITAL_REASONS)
    return result


def _left_digital(model: nn.Module, candidates: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the layers that hold matrices as analog ones do, and are of no type that runs on tiles.

    Parts of a layer that is converted as a whole are none of them.
    """
    kinds: tuple[type[nn.Module], ...] = (*DIGITAL_TYPES, *ANALOG_TYPES)
    wholes = tuple(f"{name}." if name else "" for name in candidates)
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, kinds) and name not in candidates and not name.startswith(wholes)
    }


def _reason_to_stay_digital(name: str, layer: nn.Module, rules: LayerRules) -> str | None:
    if rules.is_digital(name):
        return "kept digital by name"
    if hasattr(layer, "parametrizations"):
        computed = ", ".join(cast("nn.ModuleDict", layer.parametrizations))
        return (
            f"its {computed} is computed by a parametrisation: remove_parametrizations leaves a plain layer, "
            "which runs on tiles"
        )
    if isinstance(layer, DIGITAL_TYPES):
        kind = "bilinear layers" if isinstance(layer, nn.Bilinear) else "transposed convolutions"
        return f"{kind} run digitally"
    if type(layer) not in ANALOG_TYPES:
        base = next(kind.__name__ for kind in ANALOG_TYPES if isinstance(layer, kind))
        return f"only {base} itself runs on tiles, not its subclass {type(layer).__name__}"
    if isinstance(layer, nn.RNNBase):
        return "its projection has no analog form" if layer.proj_size else None
    if isinstance(layer, nn.MultiheadAttention):
        extra = layer.bias_k is not None or layer.add_zero_attn
        return "added keys and values have no analog form" if extra else None
    if not isinstance(getattr(layer, "weight", None), nn.Parameter):
        return "its weight is computed, not a plain parameter"
    return None


def _refuse_faults(
    rules: LayerRules,
    configs: Mapping[str, InferenceRPUConfig],
    layers: Iterable[str],
    modules: Mapping[str, nn.Module],
) -> None:
    faults = [f"{fault.pointer}: {fault.message}" for fault in rules.unmatched(layers)]
    for name in configs:
        spoiled = not_finite(*modules[name].parameters())
        if spoiled is not None and _reason_to_stay_digital(name, modules[name], rules) is None:
            faults.append(f"{name or 'the layer'}: {spoiled}, and would make their whole tile so")
    seen: set[str] = set()
    for config in {id(config): config for config in configs.values()}.values():
        for fault in unsupported(config):
            if fault.message not in seen:
                seen.add(fault.message)
                faults.append(f"{fault.pointer}: {fault.message}")
    if faults:
        raise ValueError("the model cannot be converted:\n" + "\n".join(f"- {fault}" for fault in faults))


def _replaced(model: nn.Module, replacements: Mapping[int, nn.Module]) -> nn.Module:
    """Put replacements, found by the identity of what they replace, in every place of the model."""
    if id(model) in replacements:
        return replacements[id(model)]
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # noqa: SLF001 - named_children hides shared ones
            if child is not None and id(child) in replacements:
                parent._modules[name] = replacements[id(child)]  # noqa: SLF001
    return model
