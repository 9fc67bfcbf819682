"""In which forms a cost comes."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from app.cost.schemas import CostView, TaggedCosts
from app.kit.query import QueryModel
from app.results import tabular
from app.results.formats import MEDIA_TYPE_OF, ResultsFormat
from app.results.tabular import Column


class CostFormat(StrEnum):
    """How a cost is written."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"
    PNG = "png"


COST_MEDIA_TYPES = {MEDIA_TYPE_OF[ResultsFormat(one)]: one for one in CostFormat}
COST_CONTENT: dict[str, Any] = {
    "content": {
        "text/csv": {
            "schema": {"type": "string"},
            "example": "layer,op,kind,component,group,energy_j_low,energy_j,energy_j_high\n"
            "conv1,Conv2d,analog,tile,analog,6.04e-06,9.06e-06,1.36e-05\n",
        },
        "image/svg+xml": {"schema": {"type": "string"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
    }
}
TAGGED_CONTENT: dict[str, Any] = {
    "content": {
        "text/csv": {
            "schema": {"type": "string"},
            "example": "job,name,profile,energy_j_low,energy_j,energy_j_high,latency_s_low,latency_s,"
            "latency_s_high,area_mm2_low,area_mm2,area_mm2_high,variant,t_inference,mean,ci95_low,ci95_high\n"
            "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10,Digits,HERMES14nm,0.000102,0.000153,0.00023,0.0008,"
            "0.0013,0.0019,16,24,36,hwa,86400.0,0.951,0.9485,0.9535\n",
        },
        "image/svg+xml": {"schema": {"type": "string"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
    }
}
_COLUMNS: Final = (
    Column("layer", "text", "name of the layer, or of the operator"),
    Column("op", "text", "operation of the layer"),
    Column("kind", "text", "analog or digital"),
    Column("component", "text", "of the hardware profile"),
    Column("group", "text", "whether the component is analog, digital or static"),
    Column("energy_j_low", "real", "energy of an inference in J, lower end of the band"),
    Column("energy_j", "real", "energy of an inference in J"),
    Column("energy_j_high", "real", "energy of an inference in J, upper end of the band"),
)


class CostQuery(QueryModel):
    """By which hardware a client wants a job's cost, and in which form."""

    profile: Annotated[
        str | None,
        Field(max_length=100, description="A profile that ships, in the place of the job's own hardware."),
    ] = None
    format: Annotated[
        CostFormat | None, Field(description="Format of the answer; it takes precedence over `Accept`.")
    ] = None


class TagQuery(QueryModel):
    """The jobs of which tag a client wants to see by cost and accuracy, and in which form."""

    tag: Annotated[str, Field(min_length=1, max_length=64, description="Tag of the jobs.")]
    limit: Annotated[
        int, Field(ge=1, le=100, description="How many jobs are looked at, the newest first.")
    ] = 50
    format: Annotated[
        CostFormat | None, Field(description="Format of the answer; it takes precedence over `Accept`.")
    ] = None


_TAGGED_COLUMNS: Final = (
    Column("job", "text", "id of the job"),
    Column("name", "text", "name of the job"),
    Column("profile", "text", "name of the hardware profile"),
    *(
        Column(f"{name}{end}", "real", f"{meaning}{said}")
        for name, meaning in (
            ("energy_j", "energy in J"),
            ("latency_s", "time in s"),
            ("area_mm2", "area in mm2"),
        )
        for end, said in (("_low", ", lower end"), ("", ""), ("_high", ", upper end"))
    ),
    Column("variant", "text", "hwa, direct or control"),
    Column("t_inference", "real", "s after programming"),
    Column("mean", "real", "mean of the metric over chips"),
    Column("ci95_low", "real", "Student's t interval of the mean over chips, lower end"),
    Column("ci95_high", "real", "Student's t interval of the mean over chips, upper end"),
)


def tagged_csv(costs: TaggedCosts) -> bytes:
    """Return the jobs of a tag as CSV."""
    block = tabular.block_of(_TAGGED_COLUMNS, _tagged_rows(costs))
    return b"".join(tabular.csv_chunks(_TAGGED_COLUMNS, [block]))


def _tagged_rows(costs: TaggedCosts) -> Iterator[dict[str, Any]]:
    for item in costs.items:
        row = item.model_dump()
        for name in ("energy_j", "latency_s", "area_mm2"):
            band = row[name] or {"low": None, "nominal": None, "high": None}
            row |= {f"{name}_low": band["low"], name: band["nominal"], f"{name}_high": band["high"]}
        row["ci95_low"], row["ci95_high"] = item.ci95 or (None, None)
        yield row


def written(cost: CostView, form: CostFormat) -> bytes:
    """Return a cost as JSON, or its energies as CSV."""
    if form is CostFormat.JSON:
        return cost.model_dump_json().encode()
    block = tabular.block_of(_COLUMNS, _rows(cost))
    return b"".join(tabular.csv_chunks(_COLUMNS, [block]))


def _rows(cost: CostView) -> Iterator[dict[str, Any]]:
    for layer in cost.layers:
        for component, band in layer.components.items():
            yield {
                "layer": layer.name,
                "op": layer.op,
                "kind": layer.kind,
                "component": component,
                "group": cost.groups[component],
                "energy_j_low": band.low,
                "energy_j": band.nominal,
                "energy_j_high": band.high,
            }
