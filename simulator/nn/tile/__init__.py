"""One tile of a layer, as a module of torch.

A map of the room: `analog_tile.py` has the tile with its parameters and buffers; `setup.py` finds how it
runs; `passes.py` has its forward passes, in one step and step by step; `state.py` has what concerns state
dicts, which leave the programmed chip out.
"""

from simulator.nn.tile.analog_tile import AnalogTile
from simulator.nn.tile.setup import AS_CONFIGURED, TileMode
from simulator.nn.tile.state import NotProgrammedWarning

__all__ = ["AS_CONFIGURED", "AnalogTile", "NotProgrammedWarning", "TileMode"]
