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
from app.kit.faults import from_pydantic
from app.kit.problems import Fault, InvalidRequest
from app.models.repository import ModelRepository
from simulator.config import LayerRules
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

    def __init__(self, session: Session) -> None:
        self._models = ModelRepository(session)
        self._configs = ConfigRepository(session)

    def cost(self, request: CostCreate) -> dict[str, Any]:
        """Return what an inference of a model costs.

        Raises:
            InvalidRequest: with every fault: the model is not known, patterns match nothing, an override does
                not fit, bits have no price.
        """
        faults: list[Fault] = []
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
        if faults or model is None or config is None:
            raise InvalidRequest("the cost cannot be estimated as it was asked for", errors=faults)
        try:
            return cost_of(model.report, config, rules, request.hardware)
        except BitsNotPricedError as error:
            raise InvalidRequest("the profile has no such price", errors=[not_priced(error)]) from None
        except ValidationError as error:
            faults = from_pydantic(error.errors(include_url=False), rules.model_dump(), ("layers",))
            raise InvalidRequest("an override of a layer does not fit", errors=faults) from None
