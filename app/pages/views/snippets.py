"""How to send a job again: as curl, as Python, as JSON."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pprint import pformat
from typing import Any

from pydantic import ValidationError

from app.jobs.schemas import JobCreate

_WIDTH = 88
_IS_JSON = "-H 'Content-Type: application/json'"


@dataclass(frozen=True)
class Snippets:
    """The same request in three languages."""

    curl: str
    python: str
    json: str


def snippets(spec: dict[str, Any], api_url: str) -> Snippets:
    """Return how to send a job's specification again, without what is a default anyway."""
    body = _without_defaults(spec)
    text = json.dumps(body, indent=2, ensure_ascii=False)
    return Snippets(
        curl=f"curl {shlex.quote(api_url + '/v1/jobs')} {_IS_JSON} -d {shlex.quote(text)}",
        python=(
            "from driftline import Driftline\n\n"
            f"dl = Driftline({api_url!r})\n"
            f"job = dl.submit({pformat(body, width=_WIDTH, sort_dicts=False)})\n"
            "job.wait()\n"
            "print(job.summary())"
        ),
        json=text,
    )


def _without_defaults(spec: dict[str, Any]) -> dict[str, Any]:
    try:
        request = JobCreate.model_validate_json(json.dumps(spec))
    except ValidationError:  # it was submitted to a version with other limits
        return spec
    return request.model_dump(mode="json", exclude_defaults=True)
