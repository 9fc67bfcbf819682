"""The rules of hardware profiles and of costs that clients ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.configs.repository import ConfigRepository
from app.configs.service import meaning_of
from app.cost.pricing import cost_of, not_priced
from app.cost.requests import CostCreate
from app.cost.schemas import CheckedProfile, PeakView, ProfileView
from app.cost.sizes import SizeReader
from app.engine.specification import dataset_report
from app.kit.faults import from_pydantic
from app.kit.problems import Fault, InvalidRequest
from app.models.repository import ModelRepository
from simulator.config import LayerRules
from simulator.config.compatibility import input_faults
from simulator.cost import (
    BitsNotPricedError,
    HardwareProfile,
    peak_json,
    profile_names,
    resolve_hardware,
    shipped_profile,
)


def profiles() -> list[ProfileView]:
    """Return the profiles that ship."""
    found = []
    for name in profile_names():
        profile = shipped_profile(name)
        effective = profile.model_dump(mode="json")
        found.append(
            ProfileView(
                name=name,
                description=profile.description,
                node_nm=profile.node_nm,
                peak=PeakView.model_validate(peak_json(profile)),
                sources=list(dict.fromkeys(_sources(effective))),
                effective=effective,
            )
        )
    return found


def checked_profile(spec: dict[str, Any]) -> CheckedProfile:
    """Return what a profile means.

    Raises:
        InvalidRequest: with every fault, located in the body.
    """
    try:
        profile = resolve_hardware(spec)
    except ValidationError as error:
        faults = from_pydantic(error.errors(include_url=False), spec)
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise InvalidRequest(f"the hardware profile has {count}", errors=faults) from None
    return CheckedProfile(effective=profile.model_dump(mode="json"), peak=_peak(profile))


def _peak(profile: HardwareProfile) -> PeakView | None:
    try:
        return PeakView.model_validate(peak_json(profile))
    except BitsNotPricedError:
        return None


def _sources(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "source" in part:
            yield part["source"]
        for value in part.values():
            yield from _sources(value)


class CostService:
    """Finds what costs are asked for. It reads only."""

    def __init__(self, session: Session, sizes: SizeReader) -> None:
        self._session = session
        self._sizes = sizes
        self._models = ModelRepository(session)
        self._configs = ConfigRepository(session)

    def cost(self, request: CostCreate) -> dict[str, Any]:
        """Return what an inference of a model costs.

        Raises:
            InvalidRequest: with every fault: model or dataset are not known or do not fit, patterns match
                nothing, an override does not fit, bits have no price.
        """
        faults: list[Fault] = []
        dataset = self._dataset(request, faults)
        model = self._models.get(request.model)
        if model is None:
            faults.append(
                Fault(
                    pointer="/model",
                    code="unknown_model",
                    message=f"there is no model {request.model[:100]!r}",
                    hint="upload it with POST /v1/models, or see GET /v1/models",
                )
            )
        config, more = meaning_of(request.rpu_config, self._configs.get, ("rpu_config",))
        faults += more
        rules = request.layers or LayerRules()
        if model is not None:
            names = [layer["name"] for layer in model.report["layers"] if layer["kind"] == "analog"]
            faults += [
                Fault(pointer=f"/layers{one.pointer}", code=one.code, message=one.message, hint=one.hint)
                for one in rules.unmatched(names)
            ]
            if dataset is not None:
                faults += _misfits(model.report, dataset)
        if faults or model is None or config is None:
            raise InvalidRequest("the cost cannot be estimated as it was asked for", errors=faults)
        report = model.report
        if dataset is not None:
            report, _ = self._sizes.report_of(model, dataset)
        try:
            return cost_of(report, config, rules, request.hardware)
        except BitsNotPricedError as error:
            raise InvalidRequest("the profile has no such price", errors=[not_priced(error)]) from None
        except ValidationError as error:
            faults = from_pydantic(error.errors(include_url=False), rules.model_dump(), ("layers",))
            raise InvalidRequest("an override of a layer does not fit", errors=faults) from None

    def _dataset(self, request: CostCreate, faults: list[Fault]) -> dict[str, Any] | None:
        """Return the report of the dataset that says sizes, if one is named; a fault if it is not known."""
        if request.dataset is None:
            return None
        report = dataset_report(self._session, request.dataset)
        if report is None:
            faults.append(
                Fault(
                    pointer="/dataset",
                    code="unknown_dataset",
                    message=f"there is no dataset {request.dataset[:100]!r}",
                    hint="see GET /v1/datasets",
                )
            )
        return report


def _misfits(report: dict[str, Any], dataset: dict[str, Any]) -> Iterator[Fault]:
    for one in input_faults(report["inputs"], dataset["inputs"]):
        yield Fault(pointer=one.pointer, code=one.code, message=one.message, hint=one.hint)
