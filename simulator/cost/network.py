"""What a network asks of the hardware in one inference, from shapes alone.

Analog layers become tile operations, digital ones operations and bytes; everything comes from the report of
the uploaded model, the RPU configuration and the layers' rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from simulator.config import AnalogMVType, ConfigWarning, InferenceRPUConfig, LayerRules
from simulator.config.tiling import tile_grid
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
        cuts, fits = _cuts(layer, config, profile.array)
        if not fits:
            network.misfits.append(layer["name"])
        network.analog.append(_on_tiles(layer, config, cuts, bits))
    network.digital += _operations(report, network.assumptions)
    _assume(network, open_sizes, off, profile)
    return network


def _assume(network: Network, open_sizes: list[str], off: set[str], profile: HardwareProfile) -> None:
    if open_sizes:
        network.assumptions.append(
            f"the file leaves the input's size open, so one product is counted for {_listed(open_sizes)}; "
            "name a dataset whose samples say it, or export the model with fixed sizes, of which only the "
            "batch is open"
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


@dataclass(frozen=True)
class _Cut:
    """A weight matrix as it is cut into tiles.

    Attributes:
        tiles: by size.
        rows: tiles whose outputs are added up to one.
    """

    tiles: tuple[Tiles, ...]
    rows: int

    def fits(self, array: Array) -> bool:
        """Tell whether every tile is at most as large as an array."""
        return all(one.outputs <= array.outputs and one.inputs <= array.inputs for one in self.tiles)


@lru_cache(maxsize=4096)  # the layers of a network, and the networks of a tag, are much alike
def _cut(outputs: int, inputs: int, groups: int, most_outputs: int, most_inputs: int) -> _Cut:
    sizes: dict[tuple[int, int], int] = {}
    slots = tile_grid(outputs, inputs, groups, most_outputs, most_inputs)
    for slot in slots:
        sizes[slot.shape] = sizes.get(slot.shape, 0) + 1
    tiles = tuple(Tiles(count, size[1], size[0]) for size, count in sizes.items())
    return _Cut(tiles, max(slot.column for slot in slots) + 1)


def _cuts(layer: Mapping[str, Any], config: InferenceRPUConfig, array: Array) -> tuple[list[_Cut], bool]:
    """Return each matrix of a layer in tiles that fit the arrays, and whether the job's own do."""
    mapping, groups = config.mapping, layer.get("groups", 1)
    bias = int(layer.get("bias", False) and not mapping.digital_bias)
    sizes = [(shape[0], math.prod(shape[1:]) + bias, groups) for shape in matrices_of(layer)]
    own = [_cut(*size, mapping.max_output_size, mapping.max_input_size) for size in sizes]
    if all(cut.fits(array) for cut in own):
        return own, True
    return [_cut(*size, array.outputs, array.inputs) for size in sizes], False


def _on_tiles(
    layer: Mapping[str, Any], config: InferenceRPUConfig, cuts: list[_Cut], bits: tuple[int, int]
) -> AnalogLayer:
    tiles = tuple(one for cut in cuts for one in cut.tiles)
    products = layer.get("positions") or 1
    shapes = matrices_of(layer)
    weights = sum(one.count * one.outputs * one.inputs for one in tiles)
    groups = layer.get("groups", 1)
    return AnalogLayer(
        name=layer["name"],
        op=layer["op"],
        products=products,
        tiles=tiles,
        tile_rows=max(cut.rows for cut in cuts),
        inputs=sum(groups * math.prod(shape[1:]) for shape in shapes),
        outputs=sum(shape[0] for shape in shapes),
        partial_sums=sum(shape[0] * (cut.rows - 1) for shape, cut in zip(shapes, cuts, strict=True)),
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
