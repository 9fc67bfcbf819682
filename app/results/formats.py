"""In which forms results come, as clients ask for it: `?format=`, else `Accept`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from app.kit.negotiation import accept_of, preferred
from app.kit.problems import NotAcceptable


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
variant,t_inference,repeats,mean,std,ci95_low,ci95_high,p05,p95,min,max,loss_mean,mae_mean,r2_mean,top5_mean
direct,3600.0,25,0.951,0.006,0.9485,0.9535,0.941,0.959,0.94,0.96,0.17,,,0.998
"""
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


def _results_format(
    request: Request,
    file_format: Annotated[
        ResultsFormat | None, Query(alias="format", description="Wins over `Accept`.")
    ] = None,
) -> ResultsFormat:
    chosen = file_format or preferred(accept_of(request), RESULTS_MEDIA_TYPES)
    if chosen is None:
        raise NotAcceptable(f"results come as {', '.join(RESULTS_MEDIA_TYPES)}")
    return chosen


ResultsFormatDep = Annotated[ResultsFormat, Depends(_results_format)]


class LifetimeFormat(StrEnum):
    """How a lifetime is written."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"
    PNG = "png"


_LIFETIME_MEDIA_TYPES = {MEDIA_TYPE_OF[ResultsFormat(one)]: one for one in LifetimeFormat}
LIFETIME_CONTENT: dict[str, Any] = {
    "content": {
        "text/csv": {
            "schema": _TEXT,
            "example": "variant,t_inference,share,ci95_low,ci95_high\ndirect,3600.0,0.96,0.804,0.993\n",
        },
        "image/svg+xml": {"schema": _TEXT},
        "image/png": {"schema": _BINARY},
    }
}


def _lifetime_format(
    request: Request,
    file_format: Annotated[
        LifetimeFormat | None, Query(alias="format", description="Wins over `Accept`.")
    ] = None,
) -> LifetimeFormat:
    chosen = file_format or preferred(accept_of(request), _LIFETIME_MEDIA_TYPES)
    if chosen is None:
        raise NotAcceptable(f"a lifetime comes as {', '.join(_LIFETIME_MEDIA_TYPES)}")
    return chosen


LifetimeFormatDep = Annotated[LifetimeFormat, Depends(_lifetime_format)]
