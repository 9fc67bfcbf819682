"""Models as clients read them, and the options of an upload."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.db.tables import Model
from app.kit.fields import EXAMPLE_ID, NameQuery

_EXAMPLE: JsonDict = {
    "id": EXAMPLE_ID,
    "name": "mnist_cnn",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size_bytes": 178_221,
    "opset": 20,
    "producer": "pytorch 2.13.0",
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 1, 28, 28]}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": ["batch", 10], "activation": None}],
    "parameters": 44_426,
    "layers": [
        {"name": "conv1", "op": "Conv2d", "kind": "analog", "weight_shape": [8, 1, 3, 3]},
        {
            "name": "bn1",
            "op": "BatchNorm2d",
            "kind": "digital",
            "weight_shape": [8],
            "reason": "scale",
        },
    ],
    "warnings": [],
    "verification": {"state": "pending", "max_rel_diff": None},
    "created_at": "2026-01-31T12:00:00Z",
}


class TensorInfo(BaseModel):
    """An input or output of a network."""

    name: str = Field(description="Name of the tensor in the file.")
    dtype: str = Field(description="Number format of the tensor.")
    shape: list[int | str | None] | None = Field(
        description="Sizes; a name or null where any size goes. Null: unknown."
    )


class OutputInfo(TensorInfo):
    """An output of a network."""

    activation: Literal["sigmoid", "softmax", "log_softmax", "probabilities", "log_probabilities"] | None = (
        Field(
            default=None,
            description="Activation that the output ends in, where its numbers are probabilities or their "
            "logarithms; jobs then train and score on the logits. Null: values or logits.",
        )
    )


class LayerInfo(BaseModel):
    """A layer of the network, under the name that jobs use for it."""

    name: str = Field(description="Name of the layer, as jobs use it.")
    op: str = Field(description="Operation of the layer, as PyTorch names it.")
    kind: Literal["analog", "digital"] = Field(description="Whether the layer can lie on tiles.")
    weight_shape: list[int] | None = Field(
        default=None, description="Shape of the weight; null for a layer without one."
    )
    reason: str | None = Field(default=None, description="Why the layer is not analog.")
    groups: int = Field(default=1, description="Groups of a convolution.")
    bias: bool = Field(default=False, description="Whether the layer has a bias.")
    matrices: list[list[int]] | None = Field(
        default=None, description="Shapes of a recurrent layer's matrices: input and hidden, every direction."
    )
    positions: int | None = Field(
        default=None,
        description="Applications of the layer's matrix to one sample; null where they depend on the input.",
    )


class ModelWarning(BaseModel):
    """Something about the file that is worth knowing."""

    code: str = Field(description="What is wrong, as a word that stays the same.")
    message: str = Field(description="What is wrong, in words.")


class VerificationState(StrEnum):
    """Whether the import was compared with a reference."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"


class Verification(BaseModel):
    """The comparison of the imported network with a reference, on training samples of the first job on it."""

    state: VerificationState = Field(
        description="`pending` until a worker has compared; then `passed` or `failed`."
    )
    max_rel_diff: float | None = Field(
        description="Largest difference relative to max |y|, of the output, or of the node that differs most "
        "given equal inputs where the whole differs; above 1e-4 a warning, above 1e-3 a failure."
    )


class ModelQuery(NameQuery):
    """Name and outputs of an uploaded model."""

    outputs: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1000,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="Names of the outputs to keep, commas between them; what leads to no other is left "
            "out. The same file with other outputs is another model. Absent: all outputs, or those that hold "
            "floating-point numbers and are made of supported operators, if others are not.",
            examples=["probabilities"],
        ),
    ] = None


class ModelView(BaseModel):
    """An uploaded model."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str = Field(description="Id of this model, a UUID of version 7.")
    name: str = Field(description="Name of this model, for people.")
    sha256: str = Field(description="SHA-256 of the file.")
    size_bytes: int = Field(description="Size of the file.")
    opset: int = Field(description="Version of the ONNX operators that the file uses.")
    producer: str | None = Field(description="What wrote the file.")
    inputs: list[TensorInfo] = Field(description="The model's inputs.")
    outputs: list[OutputInfo] = Field(description="The model's outputs.")
    parameters: int = Field(description="Number of weights.")
    layers: list[LayerInfo] = Field(description="The layers with weights, and whether they go on tiles.")
    warnings: list[ModelWarning] = Field(
        description="What is probably not intended, each with code and message."
    )
    verification: Verification = Field(
        description="Whether the imported model computes what the file computes."
    )
    created_at: datetime = Field(description="When this model was made.")

    @classmethod
    def of(cls, model: Model) -> ModelView:
        """Return a stored model as clients see it."""
        report = model.report
        return cls(
            id=model.id,
            name=model.name,
            sha256=report["sha256"],
            size_bytes=model.size_bytes,
            opset=report["opset"],
            producer=report["producer"],
            inputs=report["inputs"],
            outputs=report["outputs"],
            parameters=report["parameters"],
            layers=report["layers"],
            warnings=report.get("warnings", []),
            verification=Verification(
                state=VerificationState(model.verification_state),
                max_rel_diff=model.verification_max_rel_diff,
            ),
            created_at=model.created_at,
        )
