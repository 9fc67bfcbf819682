"""What a network asks of the hardware in one inference, from shapes alone.

Analog layers become tile operations, digital ones operations and bytes; everything comes from the report of
the uploaded model, the RPU configuration and the layers' rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.config import AnalogMVType, ConfigWarning, InferenceRPUConfig, LayerRules
from simulator.config.tiling import TileSlot, tile_grid, weight_slots
from simulator.cost.counting import bits_of
from simulator.cost.profile import Array, HardwareProfile

RECURRENT: Final = frozenset({"LSTM", "GRU", "RNN"})
# On each gate's output: input and hidden product are added, it is activated, it takes part in the new state.
_PER_GATE: Final = 3
UPLOAD_AGAIN: Final = "upload the same file again, and it is looked at anew"


@dataclass(frozen=True)
class Tiles:
    """Tiles of one size.

    Attributes:
        count: how many.
        inputs: of each, in weights.
        outputs: of each, in weights.
    """

    count: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class AnalogLayer:
    """A layer on tiles.

    Attributes:
        name: as the model's report has it.
        op: what it computes.
        products: matrix-vector products of an inference; each is one of all its tiles at once.
        tiles: its tiles by size.
        tile_rows: most tiles whose outputs are added up to one.
        inputs: numbers that one product reads.
        outputs: numbers that it gives.
        partial_sums: digital additions of one product, between tiles.
        operations: other digital operations of one product, such as a recurrent layer's on its gates.
        macs: multiply-accumulates of an inference.
        input_bits: of its input converters.
        output_bits: of its output converters.
        mv_type: how a product is carried out.
        is_compensated: whether drift is compensated by a readout.
        has_range: whether its tiles have an input range that calibration finds.
        devices: that hold its weights.
    """

    name: str
    op: str
    products: int
    tiles: tuple[Tiles, ...]
    tile_rows: int
    inputs: int
    outputs: int
    partial_sums: int
    operations: int
    macs: int
    input_bits: int
    output_bits: int
    mv_type: AnalogMVType
    is_compensated: bool
    has_range: bool
    devices: int

    @property
    def tile_count(self) -> int:
        """How many tiles it has."""
        return sum(one.count for one in self.tiles)


@dataclass(frozen=True)
class DigitalLayer:
    """A layer, or all nodes of one operator, that is computed in digital.

    Attributes:
        name: of the layer or of the operator.
        op: what it computes.
        nodes: how many nodes of the file it stands for.
        macs: multiply-accumulates of an inference.
        operations: others, each on one number.
        read: numbers read, weights included.
        written: numbers written.
    """

    name: str
    op: str
    nodes: int = 1
    macs: int = 0
    operations: int = 0
    read: int = 0
    written: int = 0


@dataclass
class Network:
    """What an inference asks of the hardware.

    Attributes:
        analog: layers on tiles, in the order of the report.
        digital: the others.
        assumptions: what had to be assumed.
        misfits: names of layers whose tiles do not fit the arrays, which were split anew.
    """

    analog: list[AnalogLayer] = field(default_factory=list)
    digital: list[DigitalLayer] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    @property
    def macs(self) -> int:
        """All multiply-accumulates, analog and digital."""
        return sum(one.macs for one in self.analog) + sum(one.macs for one in self.digital)


def network_of(
    report: Mapping[str, Any], base: InferenceRPUConfig, rules: LayerRules, profile: HardwareProfile
) -> Network:
    """Return what an inference asks of the hardware.

    Args:
        report: of the model.
        base: the RPU configuration.
        rules: which layers stay digital, and which have a configuration of their own.
        profile: whose arrays hold the tiles.

    Raises:
        pydantic.ValidationError: a rule's override does not fit.
    """
    network = Network()
    candidates = [layer for layer in report.get("layers", []) if layer["kind"] == "analog"]
    kept = {layer["name"] for layer in candidates if rules.is_digital(layer["name"])}
    configs = rules.configs_for([one["name"] for one in candidates if one["name"] not in kept], base)
    open_sizes, off = [], set()
    for layer in candidates:
        if not layer.get("positions"):
            open_sizes.append(layer["name"])
        if layer["name"] in kept:
            network.digital.append(_kept_digital(layer))
            continue
        config = configs[layer["name"]]
        bits, were_off = _bits(config, profile)
        off |= were_off
        slots, fits = _slots(layer, config, profile.array)
        if not fits:
            network.misfits.append(layer["name"])
        network.analog.append(_on_tiles(layer, config, slots, bits))
    network.digital += _operations(report, network.assumptions)
    _assume(network, open_sizes, off, profile)
    return network


def _assume(network: Network, open_sizes: list[str], off: set[str], profile: HardwareProfile) -> None:
    if open_sizes:
        network.assumptions.append(
            f"the file leaves the input's size open, so one product is counted for {_listed(open_sizes)}; "
            "export the model with fixed sizes, of which only the batch is open"
        )
    defaults = {"input": profile.converters.input_bits, "output": profile.converters.output_bits}
    network.assumptions += [
        f"{which} converters are off in the RPU configuration; they are priced at the profile's "
        f"{defaults[which]} bits"
        for which in ("input", "output")
        if which in off
    ]
    weights = profile.array
    if network.misfits:
        network.assumptions.append(
            f"the tiles of {_listed(network.misfits)} are larger than an array of the profile, which holds "
            f"{weights.inputs} x {weights.outputs} weights: they were split anew"
        )


def _listed(names: Sequence[str], most: int = 5) -> str:
    told = ", ".join(names[:most])
    return told if len(names) <= most else f"{told} and {len(names) - most} more"


def _bits(config: InferenceRPUConfig, profile: HardwareProfile) -> tuple[tuple[int, int], set[str]]:
    """Return the converters' bits, and which converters are off."""
    forward = config.forward
    is_open = forward.is_perfect or forward.mv_type is AnalogMVType.IDEAL
    found = {}
    for which, resolution, bound in (
        ("input", forward.inp_res, forward.inp_bound),
        ("output", forward.out_res, forward.out_bound),
    ):
        has_bound = 0 < bound < math.inf
        found[which] = bits_of(resolution) if has_bound and not is_open else None
    bits = (
        found["input"] or profile.converters.input_bits,
        found["output"] or profile.converters.output_bits,
    )
    return bits, {which for which, value in found.items() if value is None}


def matrices_of(layer: Mapping[str, Any]) -> list[Sequence[int]]:
    """Return the shapes of a layer's weight matrices: several of a recurrent one."""
    return layer.get("matrices") or [layer["weight_shape"]]


def _slots(
    layer: Mapping[str, Any], config: InferenceRPUConfig, array: Array
) -> tuple[list[list[TileSlot]], bool]:
    """Return the tiles of each matrix of a layer, and whether the job's own fit the arrays."""
    groups, bias = layer.get("groups", 1), layer.get("bias", False)
    own = [weight_slots(shape, groups, has_bias=bias, mapping=config.mapping) for shape in matrices_of(layer)]
    largest = [slot.shape for slots in own for slot in slots]
    if all(outputs <= array.outputs and inputs <= array.inputs for outputs, inputs in largest):
        return own, True
    anew = []
    for shape in matrices_of(layer):
        inputs = math.prod(shape[1:]) + int(bias and not config.mapping.digital_bias)
        anew.append(tile_grid(shape[0], inputs, groups, array.outputs, array.inputs))
    return anew, False


def _on_tiles(
    layer: Mapping[str, Any],
    config: InferenceRPUConfig,
    matrices: list[list[TileSlot]],
    bits: tuple[int, int],
) -> AnalogLayer:
    sizes: dict[tuple[int, int], int] = {}
    for slots in matrices:
        for slot in slots:
            sizes[slot.shape] = sizes.get(slot.shape, 0) + 1
    products = layer.get("positions") or 1
    shapes = matrices_of(layer)
    weights = sum(count * outputs * inputs for (outputs, inputs), count in sizes.items())
    groups = layer.get("groups", 1)
    tile_rows = [max(slot.column for slot in slots) + 1 for slots in matrices]
    return AnalogLayer(
        name=layer["name"],
        op=layer["op"],
        products=products,
        tiles=tuple(Tiles(count, inputs, outputs) for (outputs, inputs), count in sizes.items()),
        tile_rows=max(tile_rows),
        inputs=sum(groups * math.prod(shape[1:]) for shape in shapes),
        outputs=sum(shape[0] for shape in shapes),
        partial_sums=sum(shape[0] * (rows - 1) for shape, rows in zip(shapes, tile_rows, strict=True)),
        operations=_PER_GATE * sum(shape[0] for shape in shapes[::2]) if layer["op"] in RECURRENT else 0,
        macs=products * sum(math.prod(shape) for shape in shapes),
        input_bits=bits[0],
        output_bits=bits[1],
        mv_type=config.forward.mv_type,
        is_compensated=config.drift_compensation is not None,
        has_range=config.pre_post.input_range.enable,
        devices=weights * config.noise_model.devices_per_weight,
    )


def _kept_digital(layer: Mapping[str, Any]) -> DigitalLayer:
    shapes, products = matrices_of(layer), layer.get("positions") or 1
    weights = sum(math.prod(shape) for shape in shapes)
    inputs = sum(layer.get("groups", 1) * math.prod(shape[1:]) for shape in shapes)
    return DigitalLayer(
        name=layer["name"],
        op=layer["op"],
        macs=products * weights,
        read=products * inputs + weights,
        written=products * sum(shape[0] for shape in shapes),
    )


def _operations(report: Mapping[str, Any], assumptions: list[str]) -> Iterator[DigitalLayer]:
    if "operations" not in report:
        assumptions.append(
            "the model was uploaded before its digital operations were counted, so those of activations, "
            f"pooling and the like are missing; {UPLOAD_AGAIN}"
        )
        return
    unknown = [one["name"] for one in report["operations"] if one["open"]]
    if unknown:
        assumptions.append(
            f"the sizes of what {_listed(unknown)} work on are open in the file, in part or as a whole, and "
            "are not counted"
        )
    for one in report["operations"]:
        yield DigitalLayer(
            name=one["name"],
            op=one["op"],
            nodes=one["nodes"],
            macs=one["macs"],
            operations=one["operations"],
            read=one["read"],
            written=one["written"],
        )


def misfit_warning(network: Network, profile: HardwareProfile) -> ConfigWarning | None:
    """Return the warning that tiles were split anew for the price, with what aligns them; or None."""
    if not network.misfits:
        return None
    array = profile.array
    override = {"mapping": {"max_input_size": array.inputs, "max_output_size": array.outputs}}
    message = (
        f"the tiles of {_listed(network.misfits)} are larger than the arrays of {profile.name}, which hold "
        f"{array.inputs} x {array.outputs} weights; they are split anew for the price, while the "
        "accuracy is that of the job's own tiles. To align them, override rpu_config with "
        f"{json.dumps(override)}"
    )
    return ConfigWarning("/hardware", "tiles_differ_from_hardware", message)
