"""In which forms results come, as clients ask for it: `?format=`, else `Accept`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from app.kit.query import QueryModel
from app.results.thresholds import ThresholdQuery


class ResultsFormat(StrEnum):
    """How results are written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    SVG = "svg"
    PNG = "png"


PICTURES = frozenset({ResultsFormat.SVG, ResultsFormat.PNG})
RESULTS_MEDIA_TYPES: dict[str, ResultsFormat] = {
    "application/json": ResultsFormat.JSON,
    "text/csv": ResultsFormat.CSV,
    "application/vnd.apache.parquet": ResultsFormat.PARQUET,
    "image/svg+xml": ResultsFormat.SVG,
    "image/png": ResultsFormat.PNG,
}
MEDIA_TYPE_OF = {name: media_type for media_type, name in RESULTS_MEDIA_TYPES.items()}


_POINTS_CSV = """\
variant,t_inference,repeats,mean,std,ci95_low,ci95_high,ci95_adaptive_low,ci95_adaptive_high,goal_reached,p05,p95,min,max,loss_mean,mae_mean,r2_mean,top5_mean
direct,3600.0,25,0.951,0.006,0.9485,0.9535,,,,0.941,0.959,0.94,0.96,0.17,,,0.998
"""
_FORMAT = "Format of the answer; it takes precedence over `Accept`."
_TEXT = {"type": "string"}
_BINARY = {"type": "string", "format": "binary"}
# What the OpenAPI document says of the forms besides JSON.
RESULTS_CONTENT: dict[str, Any] = {
    "content": {
        "text/csv": {"schema": _TEXT, "example": _POINTS_CSV},
        "application/vnd.apache.parquet": {"schema": _BINARY},
        "image/svg+xml": {"schema": _TEXT},
        "image/png": {"schema": _BINARY},
    }
}


class FormatQuery(QueryModel):
    """In which form a client wants an answer that comes in several."""

    format: Annotated[ResultsFormat | None, Field(description=_FORMAT)] = None


class ResultsQuery(FormatQuery):
    """What a client wants of a job's results."""

    cells: Annotated[
        bool, Field(description="Include every cell; CSV and Parquet then have the cells alone.")
    ] = False
    test_set_ci: Annotated[bool, Field(description="Include Wilson's interval for the finite test set.")] = (
        False
    )


class LifetimeFormat(StrEnum):
    """How a lifetime is written."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"
    PNG = "png"


LIFETIME_MEDIA_TYPES = {MEDIA_TYPE_OF[ResultsFormat(one)]: one for one in LifetimeFormat}
LIFETIME_CONTENT: dict[str, Any] = {
    "content": {
        "text/csv": {
            "schema": _TEXT,
            "example": (
                "variant,t_inference,share,ci95_low,ci95_high,ci95_adaptive_low,ci95_adaptive_high\n"
                "direct,3600.0,0.96,0.804,0.993,,\n"
            ),
        },
        "image/svg+xml": {"schema": _TEXT},
        "image/png": {"schema": _BINARY},
    }
}


class DrawnFormat(StrEnum):
    """How an answer is written that comes as JSON and as a picture."""

    JSON = "json"
    SVG = "svg"
    PNG = "png"


DRAWN_MEDIA_TYPES = {MEDIA_TYPE_OF[ResultsFormat(one)]: one for one in DrawnFormat}
DRAWN_CONTENT: dict[str, Any] = {
    "content": {"image/svg+xml": {"schema": _TEXT}, "image/png": {"schema": _BINARY}}
}


class LayersQuery(QueryModel):
    """Which layers a client wants to see, and in which form."""

    layer: Annotated[
        str | None, Field(max_length=1000, description="One layer by its name; all layers without it.")
    ] = None
    format: Annotated[DrawnFormat | None, Field(description=_FORMAT)] = None


class LifetimeQuery(ThresholdQuery):
    """Which threshold chips have to hold, and in which form a client wants the answer."""

    format: Annotated[LifetimeFormat | None, Field(description=_FORMAT)] = None
