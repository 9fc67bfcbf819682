"""Models and datasets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from driftline.resources.record import Record, each


class Layer(Record):
    """A layer of a model, under the name that jobs use for it."""

    name: str
    op: str
    kind: str
    weight_shape: list[int] | None
    reason: str | None


class Model(Record):
    """An uploaded model."""

    _parts: ClassVar[Mapping[str, Any]] = {"created_at": datetime.fromisoformat, "layers": each(Layer)}

    id: str
    name: str
    sha256: str
    size_bytes: int
    opset: int
    producer: str | None
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    parameters: int
    layers: list[Layer]
    warnings: list[dict[str, Any]]
    verification: dict[str, Any]
    created_at: datetime

    @property
    def analog_layers(self) -> list[str]:
        """The names of the layers that lie on tiles."""
        return [layer["name"] for layer in self["layers"] if layer["kind"] == "analog"]

    def _told(self) -> list[str]:
        return [self["id"], repr(self["name"]), f"{self['parameters']:,} parameters"]

    def _repr_html_(self) -> str:
        from driftline import html

        return html.model(self)


class Dataset(Record):
    """A dataset: built in, or uploaded."""

    _parts: ClassVar[Mapping[str, Any]] = {"created_at": datetime.fromisoformat}

    id: str
    name: str
    origin: str
    sha256: str
    format: str | None
    size_bytes: int | None
    options: dict[str, Any]
    inputs: list[dict[str, Any]]
    targets: dict[str, Any]
    classes: int | None
    class_names: list[str] | None
    train_size: int
    test_size: int
    warnings: list[str]
    description: str | None
    created_at: datetime | None

    def _told(self) -> list[str]:
        return [self["id"], repr(self["name"]), f"{self['train_size']:,} + {self['test_size']:,} samples"]

    def _repr_html_(self) -> str:
        from driftline import html

        return html.dataset(self)
