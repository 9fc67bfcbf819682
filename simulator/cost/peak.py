"""What a chip does at best: figures as papers give them, to hold a profile against."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.config import AnalogMVType
from simulator.cost.bands import Band
from simulator.cost.estimating import estimate
from simulator.cost.network import AnalogLayer, Network, Tiles
from simulator.cost.profile import HardwareProfile


@dataclass(frozen=True)
class Peak:
    """What a chip does at best, every array full.

    Attributes:
        energy_j: of one product of an array.
        time_s: of it.
        tops: operations a second of all arrays, in 1e12.
        tops_per_w: operations a joule, in 1e12.
        tops_per_mm2: operations a second and mm2, in 1e12; None where the profile has no areas.
    """

    energy_j: Band
    time_s: Band
    tops: Band
    tops_per_w: Band
    tops_per_mm2: Band | None


def peak(
    profile: HardwareProfile,
    input_bits: int | None = None,
    output_bits: int | None = None,
    mv_type: AnalogMVType = AnalogMVType.ONE_PASS,
) -> Peak:
    """Return what a chip does at best: products of full arrays, without what is around them.

    Args:
        profile: of the chip.
        input_bits: the profile's where None.
        output_bits: the profile's where None.
        mv_type: how products are carried out.
    """
    array = profile.array
    chip = AnalogLayer(
        name="",
        op="Linear",
        products=1,
        tiles=(Tiles(array.arrays, array.inputs, array.outputs),),
        tile_rows=1,
        inputs=0,
        outputs=0,
        partial_sums=0,
        operations=0,
        macs=array.arrays * array.inputs * array.outputs,
        input_bits=input_bits or profile.converters.input_bits,
        output_bits=output_bits or profile.converters.output_bits,
        mv_type=mv_type,
        is_compensated=False,
        has_range=False,
        devices=0,
    )
    found = estimate(Network(analog=[chip]), profile)
    operations = 2e-12 * chip.macs
    area = found.area_mm2
    return Peak(
        energy_j=found.energy_j * (1 / array.arrays),
        time_s=found.latency_s,
        tops=found.tops,
        tops_per_w=found.tops_per_w,
        tops_per_mm2=None if area is None else found.latency_s.product(area).inverse_of(operations),
    )
