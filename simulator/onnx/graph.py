"""A model as a plain graph: nodes, constants as numpy arrays, and what is known of every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.onnx import tensors
from simulator.onnx.naming import Scope

Dim = int | str | None
VALUE_OF = "onnx_value"  # key in the metadata of an fx node: the value of the file that it computes


@dataclass(frozen=True)
class ValueType:
    """What shape inference knows of a value.

    Attributes:
        dtype: numpy's name of the element type.
        shape: a number, a symbol, or None for each dimension; None for an unknown rank.
    """

    dtype: str
    shape: tuple[Dim, ...] | None

    @property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape if every dimension is a number."""
        if self.shape is None:
            return None
        dims = tuple(dim for dim in self.shape if isinstance(dim, int))
        return dims if len(dims) == len(self.shape) else None


@dataclass(frozen=True)
class Node:
    """One operator call.

    Attributes:
        op: the operator.
        name: the node's name in the file, may be empty.
        inputs: names of values, "" for an input that is left out.
        outputs: names of values, "" for an output that nobody wants.
        attributes: plain numbers, strings, lists; tensors as arrays.
        scope: the user's module that the node came from, where the exporter names it.
        sources: for a node made of several in the file, which of them (by its first output) reads an input at
            which position.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    scope: Scope | None
    sources: Mapping[int, tuple[str, int]] = field(default_factory=dict)

    def input(self, position: int) -> str:
        """Return the name of an input, "" where there is none."""
        return self.inputs[position] if position < len(self.inputs) else ""


@dataclass
class Graph:
    """A model's graph after folding.

    Attributes:
        opset: version of the operators.
        nodes: in an order in which each node comes after those that it reads from.
        constants: values known without any input, by name.
        origins: for a constant that is an initialiser seen through transposes and the like, its name.
        types: what is known of each value.
        inputs: names of the inputs that have to be given.
        outputs: names of the outputs.
        branches: which way each `If` of the file always goes, by its first output.
        turned: names of inputs and outputs that have the time first in the file and the batch first here.
        consumers: the nodes that read a value.
        producers: the node that computes a value.
    """

    opset: int
    nodes: list[Node]
    constants: dict[str, tensors.Array]
    origins: dict[str, str]
    types: dict[str, ValueType]
    inputs: list[str]
    outputs: list[str]
    branches: dict[str, bool] = field(default_factory=dict)
    turned: set[str] = field(default_factory=set)
    consumers: dict[str, list[Node]] = field(default_factory=dict)
    producers: dict[str, Node] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[Dim, ...] | None:
        """Return what is known of a value's shape, None for an unknown rank."""
        if name in self.constants:
            return self.constants[name].shape
        kind = self.types.get(name)
        return None if kind is None else kind.shape

    def dtype(self, name: str) -> str | None:
        """Return numpy's name of a value's element type, None if it is unknown."""
        if name in self.constants:
            return str(self.constants[name].dtype)
        kind = self.types.get(name)
        return None if kind is None else kind.dtype

    def sole_reader(self, name: str) -> Node | None:
        """Return the node that reads a value if nothing else does and it is no output."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def replace_nodes(self, replaced: Mapping[int, Node | None]) -> None:
        """Put other nodes in the place of nodes, or nothing.

        Args:
            replaced: by position in `nodes`.
        """
        kept = [replaced.get(position, node) for position, node in enumerate(self.nodes)]
        self.nodes = [node for node in kept if node is not None]
        self.index()

    def index(self) -> None:
        """Find out anew which nodes compute and read which values."""
        self.consumers = {}
        self.producers = {name: node for node in self.nodes for name in node.outputs if name}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                self.consumers.setdefault(name, []).append(node)

    def rank(self, name: str) -> int | None:
        """Return a value's number of dimensions, None if it is unknown."""
        shape = self.shape(name)
        return None if shape is None else len(shape)
