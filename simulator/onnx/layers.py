"""Layers with weights, as the plan speaks of them: what they are in torch and where they are in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from simulator.onnx.graph import Node
from simulator.onnx.layouts import Layout
from simulator.onnx.naming import Scope

Kind = Literal["analog", "digital"]
RECURRENT_MODULES = ("LSTM", "GRU", "RNN")


@dataclass(frozen=True)
class Port:
    """Where a constant of the file becomes parameters of a module.

    Attributes:
        value: name of the constant.
        consumer: first output of the node that reads it.
        position: which input of that node it is.
        keys: names of the torch parameters below the layer.
        layout: how they lie in the constant.
    """

    value: str
    consumer: str
    position: int
    keys: tuple[str, ...]
    layout: Layout


@dataclass(frozen=True)
class Layer:
    """A module with weights.

    Attributes:
        name: qualified name of the module.
        module: what it is in torch, such as "Linear" or "Conv2d"; "Parameter" is a weight without a module.
        kind: whether its weights can be programmed onto tiles.
        weight_shape: shape of the weight in torch's layout.
        arguments: what the module is built with.
        ports: where its weights are in the file, for each node that calls it.
        reason: why a weight stays digital.
        scope: the user's module, where the exporter names it.
    """

    name: str
    module: str
    kind: Kind
    weight_shape: tuple[int, ...]
    arguments: Mapping[str, Any]
    ports: tuple[Port, ...]
    reason: str | None = None
    scope: Scope | None = None


@dataclass(frozen=True)
class Draft:
    """A layer before it has its name."""

    module: str
    kind: Kind
    weight: str
    weight_shape: tuple[int, ...]
    arguments: Mapping[str, Any]
    ports: tuple[Port, ...]
    inputs: tuple[str, ...]
    reason: str | None = None
    outputs: tuple[str, ...] = ()
    absorbed: Node | None = None
    pads: tuple[int, ...] | str | None = None
    reverse: bool = False
    shareable: bool = True


class UnsupportedVariantError(ValueError):
    """An operator is supported, but not the way a node uses it."""
