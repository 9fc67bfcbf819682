"""What a programmer of a real chip needs: each device's conductance, and how weights follow from them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from simulator.config.tiling import TileSlot
from simulator.devices import build_noise_model
from simulator.nn.layer import AnalogLayer
from simulator.nn.model import analog_layers
from simulator.nn.tile import AnalogTile

FORMAT = 1  # of the manifest


def target_conductances(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the conductances to program, tile by tile, and the manifest that explains them.

    Tensors are named `<layer>.tile_<row>_<column>.<what>`, with what one of `g_plus` and `g_minus` (of
    further pairs `g_plus_1`, ...; `g` of a single device), `[out, in]` in uS; `mapping_scale`, `out_scaling`
    and `input_range`, as far as the tile has them; and `<layer>.bias`, where it is added digitally.

    In the manifest a tile has `devices`, each with its tensor and a factor, and from them its weights are
    w = (sum of factor * g - offset_us) / us_per_weight, normalised; times `mapping_scale` and `out_scaling`
    they are the layer's. These numbers are null for a converter that is not linear. Nothing of a chip is
    in them: no noise, no stuck device, no drift.

    Args:
        model: any model with its final weights, programmed or not.
    """
    tensors: dict[str, Tensor] = {}
    layers = []
    for name, layer in analog_layers(model):
        bias = None if layer.bias is None or layer.analog_bias else f"{name}.bias"
        if bias is not None and layer.bias is not None:
            tensors[bias] = layer.bias
        layers.append(
            {
                "name": name,
                "weight_shape": list(layer.weight.shape),
                "bias": bias,
                "noise_model": layer.rpu_config.noise_model.type,
                "devices_per_weight": layer.rpu_config.noise_model.devices_per_weight,
                "tiles": [_tile(name, layer, slot, tile, tensors) for slot, tile in layer.tile_slots()],
            }
        )
    saved = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    return saved, {"format": FORMAT, "conductances_in": "uS", "layers": layers}


def _tile(
    name: str, layer: AnalogLayer, slot: TileSlot, tile: AnalogTile, tensors: dict[str, Tensor]
) -> dict[str, Any]:
    """Add the tensors of a tile; return its part of the manifest."""
    prefix = f"{name}.tile_{slot.row}_{slot.column}."
    noise_model, mapping = build_noise_model(layer.rpu_config.noise_model), layer.rpu_config.mapping
    target = tile.target_weights(layer.logical_block(slot)).detach()
    conductances, params = noise_model.targets(target)
    names = [prefix + one for one in _names(len(conductances))]
    tensors |= dict(zip(names, conductances, strict=True))
    scales = {
        "mapping_scale": tile.mapping_scale,
        "out_scaling": tile.out_scaling,
        "input_range": tile.input_range,
    }
    tensors |= {prefix + what: value for what, value in scales.items() if value is not None}
    form = noise_model.converter.linear_form(params)
    factors = [None] * len(names) if form is None else form.factors
    has_bias = layer.analog_bias and slot.inputs.stop > layer.in_rows
    return {
        "row": slot.row,
        "column": slot.column,
        "group": slot.group,
        "outputs": [slot.outputs.start, slot.outputs.stop],
        "inputs": [slot.inputs.start, slot.inputs.stop],
        "last_input_is_bias": has_bias,
        "used_outputs": tile.out_features,
        "used_inputs": tile.in_features,
        "array_outputs": mapping.max_output_size or None,
        "array_inputs": mapping.max_input_size or None,
        "devices_per_conductance": layer.rpu_config.noise_model.devices_per_weight // len(names),
        "g_min_us": noise_model.converter.g_min,
        "g_max_us": noise_model.converter.g_max,
        "devices": [{"tensor": one, "factor": factor} for one, factor in zip(names, factors, strict=True)],
        "us_per_weight": None if form is None else form.us_per_weight,
        "offset_us": None if form is None else form.offset_us,
        **{what: None if value is None else prefix + what for what, value in scales.items()},
    }


def _names(count: int) -> list[str]:
    """Return the names of the devices of a cell: pairs, or a single one."""
    if count == 1:
        return ["g"]
    if count % 2:
        return [f"g_{index}" for index in range(count)]
    ends = ["", *(f"_{pair}" for pair in range(1, count // 2))]
    return [f"{sign}{end}" for end in ends for sign in ("g_plus", "g_minus")]
