"""Golden cases: how they are read, and what a comparison with one of them says.

A directory holds `<section>.json` with `{"meta", "cases"}`; a value `{"npz": key}` stands for the array `key`
of `<section>.npz`, and non-finite numbers are the strings "nan", "inf" and "-inf". A check takes one case and
its section's `Arrays` and returns a `Verdict`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

Case = dict[str, Any]

GOLDEN_DIRECTORY = Path(__file__).resolve().parent / "data"
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Status(StrEnum):
    """How a case ends: as the reference has it, as our documented decision has it, or wrong."""

    MATCH = "match"
    DEVIATES = "deviates"
    FAIL = "fail"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one case.

    `figure` is the worst deviation in units that `tolerance` has too: it passes when figure <= tolerance.
    A deviation carries the number of its quirk, and its figure compares with our own meaning's closed form.
    """

    status: Status
    figure: float
    tolerance: float
    quirk: int | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the case is anything but a failure."""
        return self.status is not Status.FAIL

    def __str__(self) -> str:
        status = f"deviates (quirk {self.quirk})" if self.status is Status.DEVIATES else self.status.value
        text = f"{self.figure:.3g}  {self.tolerance:.3g}  {status}"
        return f"{text}  {self.detail}" if self.detail else text


def judge(figure: float, tolerance: float, *, quirk: int | None = None, detail: str = "") -> Verdict:
    """Compare a figure with its tolerance; NaN fails. With a quirk, success is a deviation."""
    if not figure <= tolerance:
        return Verdict(Status.FAIL, figure, tolerance, quirk, detail)
    status = Status.MATCH if quirk is None else Status.DEVIATES
    return Verdict(status, figure, tolerance, quirk, detail)


def fail(detail: str) -> Verdict:
    """A failure without a figure."""
    return Verdict(Status.FAIL, math.nan, 0.0, None, detail)


def worst(*verdicts: Verdict) -> Verdict:
    """The verdict on a case with several quantities: failures come first, then deviations, then the figure.

    Of several quirks the first one names the case: figures are rounding, which differs between processors.
    """

    def badness(verdict: Verdict) -> tuple[int, int, float]:
        relative = verdict.figure / verdict.tolerance if verdict.tolerance > 0 else verdict.figure
        rank = list(Status).index(verdict.status)
        return rank, -(verdict.quirk or 0), math.inf if math.isnan(relative) else relative

    return max(verdicts, key=badness)


def excess(ours: Any, reference: Any, allowed: Any) -> float:
    """The worst |ours - reference| / allowed, elementwise: passes up to 1. NaN where either is NaN alone."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if ours.shape != reference.shape:
        return math.inf
    if ours.size == 0:
        return 0.0
    difference = np.abs(ours - reference)
    return float(np.max(np.where(difference == 0, 0.0, difference / np.maximum(allowed, 1e-300))))


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of one section, read when they are first asked for; knows the directory they lie in."""

    def __init__(self, directory: Path, section: str) -> None:
        self.directory = directory
        self.section = section

    @cached_property
    def _npz(self) -> Mapping[str, np.ndarray]:
        path = self.directory / f"{self.section}.npz"
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as npz:
            return {key: npz[key] for key in npz.files}

    def __getitem__(self, key: str) -> np.ndarray:
        return self._npz[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._npz)

    def __len__(self) -> int:
        return len(self._npz)

    def resolve(self, node: Any) -> Any:
        """Return a JSON node with its array references and non-finite numbers filled in."""
        if isinstance(node, dict):
            if set(node) == {"npz"}:
                return self[node["npz"]]
            return {key: self.resolve(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.resolve(value) for value in node]
        if isinstance(node, str):
            return _NON_FINITE.get(node, node)
        return node


Check = Callable[[Case, Arrays], Verdict]


@dataclass(frozen=True)
class Section:
    """One file of cases."""

    name: str
    meta: dict[str, Any]
    cases: list[Case]
    arrays: Arrays


def load_section(path: Path) -> Section:
    """Read `<section>.json`; its arrays are read when they are needed."""
    content = json.loads(path.read_text())
    return Section(path.stem, content["meta"], content["cases"], Arrays(path.parent, path.stem))


def load_sections(directory: Path) -> list[Section]:
    """Read every file of cases in a directory, in the order of their names."""
    return [load_section(path) for path in sorted(directory.glob("*.json"))]


def cases_of(*kinds: str, directory: Path = GOLDEN_DIRECTORY) -> list[tuple[Case, Arrays]]:
    """Return the cases of the given kinds with their arrays: what a parametrised test runs over."""
    return [
        (case, section.arrays)
        for section in load_sections(directory)
        for case in section.cases
        if case["kind"] in kinds
    ]


def case_id(value: object) -> str:
    """The name of a parametrised case."""
    return str(value["id"]) if isinstance(value, dict) else ""


def rpu_config(node: Mapping[str, Any]) -> Any:
    """Build our configuration from a case's: labels of the reference go, field names stay."""
    from simulator.config.rpu import InferenceRPUConfig

    return InferenceRPUConfig.model_validate({k: v for k, v in node.items() if k not in ("class", "preset")})


def is_torch_tile(case: Case) -> bool:
    """Whether the case was recorded with the reference's torch tile."""
    return bool(case["config"].get("class") == "TorchInferenceRPUConfig")
