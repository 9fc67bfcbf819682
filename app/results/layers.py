"""What a job found about its layers: `conversion.json`, whole or one layer, as JSON or as a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from app.db.blobs import BlobStore
from app.kit.problems import Fault, InvalidRequest, NotFound
from app.results.reader import find_job
from app.results.repository import ResultRepository
from driftline import plots
from simulator.config.base import nearest

CONVERSION: Final = "conversion.json"
_NAMED = 10  # layers, in a hint


@dataclass(frozen=True)
class Layers:
    """What was found about layers.

    Attributes:
        title: of pictures.
        sha256: of the artifact.
        content: the artifact; of one layer, its entry.
        name: of the one layer; None for all.
    """

    title: str
    sha256: str
    content: dict[str, Any]
    name: str | None

    def picture(self, file_format: str) -> bytes:
        """Return the picture of all layers, or of the one."""
        draw = plots.layers if self.name is None else plots.layer
        return plots.to_bytes(draw(self.content, self.title), file_format)


def find(session: Session, blobs: BlobStore, job_id: str, name: str | None) -> Layers:
    """Return what a job found about its layers.

    Args:
        session: reads the job.
        blobs: has its files.
        job_id: the job.
        name: of one layer; None for all.

    Raises:
        NotFound: there is no such job, or it has not described its layers.
        InvalidRequest: the job has no such analog layer.
    """
    job = find_job(session, job_id)
    artifact = ResultRepository(session).artifact(job_id, CONVERSION)
    if artifact is None:
        raise NotFound("the job has not described its layers; it does so after its first evaluations")
    content = read_conversion(blobs, artifact.blob_key)
    if content is None:
        raise NotFound("the file is gone")
    title = job.name or f"job {job.id}"
    if name is None:
        return Layers(title, artifact.sha256, content, None)
    layers = {one["name"]: one for one in content["layers"]}
    if name not in layers:
        raise _unknown(name, list(layers))
    return Layers(f"{title}: {name}", artifact.sha256, layers[name], name)


def read_conversion(blobs: BlobStore, key: str) -> dict[str, Any] | None:
    """Return a job's `conversion.json`; None where the file is gone, or is not what was stored."""
    try:
        found: dict[str, Any] = json.loads(blobs.read(key))
    except FileNotFoundError:
        return None
    return found


def _unknown(name: str, known: list[str]) -> InvalidRequest:
    guess = nearest(name, known)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    hint = f"{f'did you mean {guess!r}? ' if guess else ''}The layers are {', '.join(known[:_NAMED])}{more}"
    fault = Fault(
        pointer="/query/layer",
        code="unknown_layer",
        message=f"the job has no analog layer {name[:100]!r}",
        hint=hint,
    )
    return InvalidRequest("there is no such layer", errors=[fault])
