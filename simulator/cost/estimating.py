"""From a network and a profile to energy, latency and area, each an estimate with its band.

The formulas are those of docs/cost.md. A component of one name may be due in many layers; sums over layers
and sums over components are the same numbers, added up in another order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from simulator.cost.bands import Band, largest
from simulator.cost.counting import Bits, Each, EachPlace, EachSource, EachTime, Times
from simulator.cost.network import AnalogLayer, DigitalLayer, Network, Tiles
from simulator.cost.pricing import Notes, Prices
from simulator.cost.profile import EnergyCharge, HardwareProfile
from simulator.cost.results import Activity, Estimate, LayerCost

CALIBRATION_SAMPLES: Final = 512  # that a service looks at, unless it says otherwise
_NO_BITS: Final = Bits(1, 1, 1, None)  # of what has no converters


def estimate(
    network: Network, profile: HardwareProfile, activity: Mapping[str, Activity] | None = None
) -> Estimate:
    """Return what an inference costs.

    Args:
        network: what it asks of the hardware.
        profile: the prices.
        activity: what a job measured, by layer.

    Raises:
        BitsNotPricedError: a table of the profile has no row for the bits of a layer.
    """
    notes = Notes(dict.fromkeys(network.assumptions))
    return _Estimator(network, profile, Prices(profile, activity or {}, notes), notes).estimate()


class _Estimator:
    """The arithmetic of one network on one profile."""

    def __init__(self, network: Network, profile: HardwareProfile, prices: Prices, notes: Notes) -> None:
        self._network = network
        self._profile = profile
        self._prices = prices
        self._notes = notes

    def estimate(self) -> Estimate:
        """Return what an inference costs."""
        layers = [self._analog(layer) for layer in self._network.analog]
        digital = [self._digital(layer) for layer in self._network.digital]
        layers += [layer for layer in digital if layer.energy or layer.latency.high]
        latency = Band.total(layer.latency for layer in layers)
        pipelined = self._profile.schedule.pipelined
        interval = largest(layer.latency for layer in layers) if pipelined else latency
        layers = self._with_static_power(layers, interval)
        area = self._area()
        self._say_what_is_missing()
        inference = Band.total(layer.energy_j for layer in layers)
        maintenance = self._maintenance(inference)
        return Estimate(
            profile=self._profile,
            layers=layers,
            latency_s=latency,
            interval_s=interval,
            area_mm2=Band.total(area.values()) if area else None,
            area_parts=area,
            analog=frozenset(name for name, charge in self._profile.energy.items() if charge.is_analog),
            macs=self._network.macs,
            maintenance=maintenance,
            assumptions=list(self._notes.assumptions),
            sources=list(self._notes.sources),
        )

    def _bits(self, layer: AnalogLayer) -> Bits:
        return self._profile.bits(layer.input_bits, layer.output_bits, layer.mv_type)

    def _analog(self, layer: AnalogLayer) -> LayerCost:
        bits, energy = self._bits(layer), {}
        for name, charge in self._profile.energy.items():
            count = self._count(charge, layer, bits)
            if count:
                price = self._prices.energy(name, charge, bits, layer.name)
                energy[name] = price * (layer.products * count)
        array = self._profile.array
        copies = min(self._profile.schedule.copies, layer.products)
        weights = sum(one.count * one.inputs * one.outputs for one in layer.tiles)
        return LayerCost(
            name=layer.name,
            op=layer.op,
            kind="analog",
            nodes=1,
            products=layer.products,
            tiles=layer.tile_count,
            tile_operations=layer.products * layer.tile_count,
            utilisation=weights / (layer.tile_count * array.inputs * array.outputs),
            macs=layer.macs,
            energy=energy,
            latency=self._product_time(layer, bits) * (layer.products / copies),
        )

    def _digital(self, layer: DigitalLayer) -> LayerCost:
        width = self._profile.schedule.activation_bits / 8
        counts = {
            Each.MAC: layer.macs,
            Each.OPERATION: layer.operations,
            Each.BYTE_READ: layer.read * width,
            Each.BYTE_WRITTEN: layer.written * width,
        }
        energy = {
            name: self._prices.energy(name, charge, _NO_BITS, layer.name) * counts[charge.each]
            for name, charge in self._profile.energy.items()
            if counts.get(charge.each)
        }
        taken = {EachTime.MAC: layer.macs, EachTime.OPERATION: layer.operations}
        latency = Band.total(
            self._prices.time(name, 1, 1) * taken[charge.each]
            for name, charge in self._profile.time.items()
            if taken.get(charge.each)
        )
        return LayerCost(
            name=layer.name,
            op=layer.op,
            kind="digital",
            nodes=layer.nodes,
            products=0,
            tiles=0,
            tile_operations=0,
            utilisation=None,
            macs=layer.macs,
            energy=energy,
            latency=latency,
        )

    def _count(self, charge: EnergyCharge, layer: AnalogLayer, bits: Bits) -> float:
        """Return for how many things a charge is due in one product of a layer."""
        around = {
            Each.PARTIAL_SUM: layer.partial_sums,
            Each.OUTPUT: layer.outputs,
            Each.OPERATION: layer.operations,
            Each.BYTE_READ: layer.inputs * bits.input_bits / 8,
            Each.BYTE_WRITTEN: layer.outputs * bits.output_bits / 8,
            Each.LINK_BIT: layer.outputs * bits.output_bits * self._profile.schedule.link_hops,
            Each.MAC: 0,
        }
        if charge.each in around:
            return around[charge.each]
        return bits.count(charge.times) * sum(self._in_arrays(charge, tiles) for tiles in layer.tiles)

    def _in_arrays(self, charge: EnergyCharge, tiles: Tiles) -> int:
        """Return for how many things of arrays a charge is due in one pass; none if it is of no array."""
        array = self._profile.array
        rows, columns = tiles.inputs * array.rows_per_weight, tiles.outputs * array.columns_per_weight
        return tiles.count * {
            Each.ARRAY: 1,
            Each.ROW: array.rows,
            Each.USED_ROW: rows,
            Each.COLUMN: array.columns,
            Each.USED_COLUMN: columns,
            Each.CELL: array.rows * array.columns,
            Each.USED_CELL: rows * columns,
        }.get(charge.each, 0)

    def _product_time(self, layer: AnalogLayer, bits: Bits) -> Band:
        """Return the time of one product: of its tiles, row by row if need be, and of what comes after."""
        schedule = self._profile.schedule
        at_once = schedule.array_rows_at_once or layer.tile_rows
        rounds = math.ceil(layer.tile_rows / at_once)
        each = {
            EachTime.PRODUCT: 1,
            EachTime.CONVERTED_COLUMN: schedule.columns_per_converter,
            EachTime.MAC: 0,
            EachTime.OPERATION: layer.operations,
        }
        parts = []
        for name, charge in self._profile.time.items():
            count = each[charge.each] * bits.count(charge.times)
            count *= 1 if charge.times is Times.PRODUCT else rounds
            if count:
                parts.append(self._prices.time(name, bits.input_bits, bits.output_bits) * count)
        return Band.total(parts)

    def _with_static_power(self, layers: list[LayerCost], interval: Band) -> list[LayerCost]:
        """Return the layers with what is drawn while they work, by their share of the time."""
        whole = math.fsum(layer.latency.nominal for layer in layers)
        power = {
            name: self._prices.power(charge) * (self._arrays if charge.each is EachSource.ARRAY else 1)
            for name, charge in self._profile.static_power.items()
        }
        if not power or not whole:
            return layers
        return [
            replace(
                layer,
                energy={
                    **layer.energy,
                    **{
                        name: band.product(interval) * (layer.latency.nominal / whole)
                        for name, band in power.items()
                    },
                },
            )
            for layer in layers
        ]

    def _area(self) -> dict[str, Band]:
        """Return the area of the arrays in use, copies included, by component, in mm2."""
        array, defaults = self._profile.array, self._profile.converters
        converters = math.ceil(array.columns / self._profile.schedule.columns_per_converter)
        counts = {
            EachPlace.ARRAY: self._arrays,
            EachPlace.ROW: self._arrays * array.rows,
            EachPlace.COLUMN: self._arrays * array.columns,
            EachPlace.CELL: self._arrays * array.rows * array.columns,
            EachPlace.CONVERTER: self._arrays * converters,
            EachPlace.CHIP: 1,
        }
        layers = self._network.analog  # converters are made for the layer that needs most bits
        output_bits = max((layer.output_bits for layer in layers), default=defaults.output_bits)
        input_bits = max((layer.input_bits for layer in layers), default=defaults.input_bits)
        return {
            name: self._prices.area(name, charge, input_bits, output_bits) * counts[charge.each]
            for name, charge in self._profile.area.items()
        }

    def _maintenance(self, inference: Band) -> dict[str, Band]:
        """Return what is done to the chip now and then, in J each time."""
        network, found = self._network, {}
        compensated = [layer for layer in network.analog if layer.is_compensated]
        if compensated:
            found["compensate"] = Band.total(self._readout(layer) for layer in compensated)
        if any(layer.has_range for layer in network.analog):
            found["calibrate_input_ranges"] = inference * CALIBRATION_SAMPLES
        if any(layer.op.startswith("BatchNorm") for layer in network.digital):
            found["refresh_batch_norm"] = inference * CALIBRATION_SAMPLES
        device = self._prices.device()
        if device is not None and network.analog:
            found["reprogram"] = device * sum(layer.devices for layer in network.analog)
        return found

    def _readout(self, layer: AnalogLayer) -> Band:
        """Return the energy of reading out all weights of a layer: for each input of a tile a product."""
        bits = self._bits(layer)
        parts = []
        for name, charge in self._profile.energy.items():
            count = sum(self._in_arrays(charge, one) * one.inputs for one in layer.tiles)
            if count:
                price = self._prices.energy(name, charge, bits, layer.name)
                parts.append(price * (count * bits.count(charge.times)))
        return Band.total(parts)

    @property
    def _arrays(self) -> int:
        copies = self._profile.schedule.copies
        return sum(layer.tile_count * min(copies, layer.products) for layer in self._network.analog)

    def _say_what_is_missing(self) -> None:
        """Note what the profile has no price for."""
        profile, assume = self._profile, self._notes.assume
        priced = {charge.each for charge in profile.energy.values()}
        timed = {charge.each for charge in profile.time.values()}
        macs = sum(one.macs for one in self._network.digital)
        operations = sum(one.operations for one in self._network.digital)
        if macs and Each.MAC not in priced:
            assume(f"the profile has no price for digital multiply-accumulates; {macs:,} are not counted")
        if operations and Each.OPERATION not in priced:
            assume(f"the profile has no price for digital operations; {operations:,} are not counted")
        if (macs and EachTime.MAC not in timed) or (operations and EachTime.OPERATION not in timed):
            assume("the profile has no time for all that is digital, which is taken to be hidden")
        if not {Each.BYTE_READ, Each.BYTE_WRITTEN} & priced:
            assume("the profile has no price for moving data, which is not counted")
        if not profile.area:
            assume("the profile has no areas")
        if profile.programming is None:
            assume(
                "the profile has no price for programming devices, so what reprogramming costs is not known; "
                "`programming.device` in the profile's overrides gives one"
            )
        if self._arrays > profile.array.arrays:
            assume(
                f"the network takes {self._arrays} arrays, and a chip of the profile has "
                f"{profile.array.arrays}: several chips are assumed, and nothing is counted for what goes "
                "between them"
            )
