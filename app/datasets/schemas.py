"""What clients read about datasets, and how they have one split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.db.tables import Dataset
from app.kit.problems import Fault, InvalidRequest

_EXAMPLE: JsonDict = {
    "id": "builtin:mnist10k",
    "name": "builtin:mnist10k",
    "source": "builtin",
    "format": None,
    "sha256": None,
    "size_bytes": None,
    "options": {},
    "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 28, 28]}],
    "targets": {"dtype": "int64", "shape": [], "kind": "class"},
    "classes": 10,
    "train_size": 8000,
    "test_size": 2000,
    "arrays": {},
    "warnings": [],
    "description": "Handwritten digits.",
    "created_at": None,
}


class ArrayInfo(BaseModel):
    """An array of the file."""

    dtype: str
    shape: list[int]


class SampleInput(BaseModel):
    """One input of a sample."""

    name: str
    dtype: str
    shape: list[int] = Field(description="Of one sample.")


class Targets(BaseModel):
    """What a network is to find."""

    dtype: str
    shape: list[int] = Field(description="Of one sample.")
    kind: Literal["class", "real"]


class DatasetView(BaseModel):
    """A dataset."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    name: str
    source: Literal["builtin", "upload"]
    format: str | None = Field(description="Of the uploaded file.")
    sha256: str | None = Field(description="Of the uploaded file.")
    size_bytes: int | None = Field(description="Of the uploaded file.")
    options: dict[str, Any] = Field(description="How it was split, if it came in one piece.")
    inputs: list[SampleInput]
    targets: Targets
    classes: int | None = Field(description="Number of classes; null for real-valued targets.")
    train_size: int = Field(description="Samples for training.")
    test_size: int = Field(description="Samples for testing.")
    arrays: dict[str, ArrayInfo] = Field(description="The arrays of the file, by name.")
    warnings: list[Any]
    description: str | None
    created_at: datetime | None

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetView:
        """Return an uploaded dataset as clients see it."""
        return cls(
            id=dataset.id,
            name=dataset.name,
            source="upload",
            format=dataset.format,
            sha256=dataset.sha256,
            size_bytes=dataset.size_bytes,
            options=dataset.options,
            created_at=dataset.created_at,
            **_reported(dataset.report),
        )

    @classmethod
    def of_builtin(cls, dataset_id: str, report: dict[str, Any]) -> DatasetView:
        """Return a built-in dataset as clients see it."""
        return cls(
            id=dataset_id,
            name=report.get("name", dataset_id),
            source="builtin",
            format=None,
            sha256=report.get("sha256"),
            size_bytes=report.get("size_bytes"),
            options={},
            created_at=None,
            **_reported(report),
        )


def _reported(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "inputs": report["inputs"],
        "targets": report["targets"],
        "classes": report["classes"],
        "train_size": report["train_size"],
        "test_size": report["test_size"],
        "arrays": report.get("arrays", {}),
        "warnings": report.get("warnings", []),
        "description": report.get("description"),
    }


@dataclass(frozen=True)
class Split:
    """How a dataset that comes as `x, y` is split; nothing for one that comes split."""

    test_fraction: float | None
    seed: int | None

    @property
    def options(self) -> dict[str, Any]:
        """The split as the simulator's options."""
        if self.test_fraction is None:
            return {}
        return {"test_fraction": self.test_fraction, "seed": self.seed or 0}


def split_query(
    test_fraction: Annotated[
        float | None,
        Query(gt=0, lt=1, description="Part of `x, y` that is set apart for testing.", examples=[0.2]),
    ] = None,
    seed: Annotated[
        int | None,
        Query(ge=0, lt=2**63, description="Of the split; 0 when absent. Needs `test_fraction`."),
    ] = None,
) -> Split:
    """Return the split that the query asks for."""
    if seed is not None and test_fraction is None:
        fault = Fault(
            pointer="/query/seed",
            code="no_effect",
            message="seed has no effect: there is nothing to split without test_fraction",
            hint="add test_fraction, or leave seed out",
        )
        raise InvalidRequest("the query has a fault", errors=[fault])
    return Split(test_fraction, seed)


SplitDep = Annotated[Split, Depends(split_query)]
