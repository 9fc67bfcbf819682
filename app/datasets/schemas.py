"""Datasets as clients read them, and the options of an upload."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.db.tables import Dataset
from app.kit.fields import NameQuery
from app.kit.query import QueryModel

_EXAMPLE: JsonDict = {
    "id": "builtin:mnist10k",
    "name": "mnist10k",
    "origin": "builtin",
    "sha256": "8176fc561250332a66d7dfcee08a8b82badce7101f592046f667529912a43a42",
    "format": None,
    "size_bytes": None,
    "options": {},
    "inputs": [{"name": "x", "dtype": "uint8", "shape": [1, 28, 28]}],
    "targets": {"dtype": "int64", "shape": [], "kind": "class"},
    "classes": 10,
    "train_size": 8000,
    "test_size": 2000,
    "warnings": [],
    "description": "10,000 handwritten digits of MNIST, 28 x 28 pixels, in 10 classes",
    "preprocessing": "pixels 0 to 255 become 0 to 1",
    "licence": "CC BY-SA 3.0",
    "source": "MNIST by Y. LeCun, C. Cortes and C. Burges",
    "created_at": None,
}


class SampleInput(BaseModel):
    """One input of a sample."""

    name: str = Field(description="Name of the input; `x` where there is one.")
    dtype: str = Field(description="Number format of the input.")
    shape: list[int] = Field(description="Shape of one sample.")


class Targets(BaseModel):
    """What a network is to find."""

    dtype: str = Field(description="Number format of the targets.")
    shape: list[int] = Field(description="Shape of one sample.")
    kind: Literal["class", "class_or_value", "one_hot", "class_per_position", "labels", "real"] = Field(
        description="A class per sample or per position (a number, or one-hot), zeros and ones, or values; "
        "class_or_value: one whole number a sample, stored as a float or in a column of its own."
    )


class DatasetView(BaseModel):
    """A dataset."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str = Field(description="Id of this dataset; `builtin:` and a name for built-in ones.")
    name: str = Field(description="Name of this dataset, for people.")
    origin: Literal["builtin", "upload"] = Field(
        description="Whether the dataset is built in or was uploaded."
    )
    sha256: str = Field(description="SHA-256 of the file.")
    format: str | None = Field(description="Format of the uploaded file; null for a built-in dataset.")
    size_bytes: int | None = Field(description="Size of the uploaded file; null for a built-in dataset.")
    options: dict[str, float | list[float] | str] = Field(
        description="Options of split and preprocessing that the upload gave."
    )
    inputs: list[SampleInput] = Field(
        description="The arrays that go into a model, without the dimension of samples."
    )
    targets: Targets = Field(description="What the model is judged against.")
    classes: int | None = Field(description="Number of classes; null where targets are not classes.")
    class_names: list[str] | None = Field(
        default=None, description="Labels that were words in the file, in the order of their numbers."
    )
    train_size: int = Field(description="Samples for training.")
    test_size: int = Field(description="Samples for testing.")
    warnings: list[str] = Field(description="What is probably not intended, in words.")
    description: str | None = Field(description="Contents of a built-in dataset.")
    preprocessing: str | None = Field(description="Preprocessing of a built-in dataset.")
    licence: str | None = Field(description="Licence of a built-in dataset.")
    source: str | None = Field(description="Source of a built-in dataset.")
    created_at: datetime | None = Field(description="When this dataset was made.")

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetView:
        """Return an uploaded dataset as clients see it."""
        return cls(
            id=dataset.id,
            name=dataset.name,
            origin="upload",
            sha256=dataset.sha256,
            format=dataset.format,
            size_bytes=dataset.size_bytes,
            options=dataset.options,
            description=None,
            preprocessing=None,
            licence=None,
            source=None,
            created_at=dataset.created_at,
            **_contents(dataset.report),
        )

    @classmethod
    def of_builtin(cls, dataset_id: str, report: dict[str, Any]) -> DatasetView:
        """Return a built-in dataset as clients see it."""
        return cls(
            id=dataset_id,
            name=dataset_id.partition(":")[2],
            origin="builtin",
            sha256=report["sha256"],
            format=None,
            size_bytes=None,
            options={},
            description=report["title"],
            preprocessing=report["preprocessing"],
            licence=report["licence"],
            source=report["source"],
            created_at=None,
            **_contents(report),
        )


class SampleContent(BaseModel):
    """One input of one sample."""

    name: str = Field(description="Name of the input.")
    kind: Literal["image", "series", "tokens", "numbers"] = Field(
        description="A picture, curves over time, whole numbers along one axis, or numbers."
    )
    whole: bool = Field(description="Whether all of the input is there; large ones are thinned out or cut.")
    png: str | None = Field(default=None, description="The picture as a PNG file in base64.")
    values: list[int | float | list[int | float]] | None = Field(
        default=None, description="Numbers, or for a series a list for each curve."
    )


class SampleView(BaseModel):
    """A training sample, as the file has it, before any preprocessing."""

    target: int | float | str | list[int | float] = Field(
        description="What a network is to find: a class or its name, or a value; several as a list."
    )
    inputs: list[SampleContent] = Field(description="What goes into the network.")


class SamplesView(BaseModel):
    """A few samples of a dataset."""

    dataset: str = Field(description="Id of the dataset.")
    items: list[SampleView] = Field(
        description="The first training samples. None where the dataset was uploaded to an earlier version."
    )

    @classmethod
    def of(cls, dataset_id: str, report: dict[str, Any], most: int) -> SamplesView:
        """Return the samples that a report holds, `most` at most."""
        names: dict[Any, str] = dict(enumerate(report.get("class_names") or ()))
        items = [SampleView.model_validate(one) for one in report.get("samples", [])[:most]]
        for item in items:
            if not isinstance(item.target, list):
                item.target = names.get(item.target, item.target)
        return cls(dataset=dataset_id, items=items)


class SamplesFormat(StrEnum):
    """How samples are written."""

    JSON = "json"
    SVG = "svg"


class SamplesQuery(QueryModel):
    """How many samples a client wants, and in which form."""

    n: Annotated[int, Field(ge=1, le=8, description="The most samples of the answer.")] = 8
    format: Annotated[SamplesFormat | None, Field(description="Wins over `Accept`.")] = None


_CONTENTS = ("inputs", "targets", "classes", "train_size", "test_size", "warnings")


def _contents(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in _CONTENTS} | {"class_names": report.get("class_names")}


_NUMBERS = r"^-?\d+(\.\d+)?([eE]-?\d{1,2})?(,-?\d+(\.\d+)?([eE]-?\d{1,2})?)*$"


class DatasetQuery(NameQuery):
    """Name and options of an uploaded dataset; None leaves an option to the service."""

    test_fraction: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Share of `x, y` that is set apart for testing.", examples=[0.2]),
    ] = None
    seed: Annotated[int | None, Field(ge=0, lt=2**63, description="Seed of that split.")] = None
    mean: Annotated[
        str | None,
        Field(
            pattern=_NUMBERS,
            max_length=10_000,
            description="Subtracted from the input `x`, bytes being 0 to 1: a number, or one per channel.",
            examples=["0.485,0.456,0.406"],
        ),
    ] = None
    std: Annotated[
        str | None,
        Field(
            pattern=_NUMBERS,
            max_length=10_000,
            description="Divisor of `x` after the subtraction: a number, or one per channel.",
            examples=["0.229,0.224,0.225"],
        ),
    ] = None
    layout: Annotated[
        Literal["nchw", "nhwc"], Field(description="Layout of images in the file; networks get `nchw`.")
    ] = "nchw"

    @property
    def options(self) -> dict[str, Any]:
        """What the client says of split and preprocessing, as the simulator's options."""
        said = {
            "test_fraction": self.test_fraction,
            "seed": self.seed,
            "mean": _parsed(self.mean),
            "std": _parsed(self.std),
            "layout": "nhwc" if self.layout == "nhwc" else None,
        }
        return {name: value for name, value in said.items() if value is not None}


def _parsed(numbers: str | None) -> list[float] | None:
    return None if numbers is None else [float(number) for number in numbers.split(",")]
