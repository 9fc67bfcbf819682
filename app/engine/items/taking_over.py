"""An evaluation item takes over the chips of the next one, which saves that its start."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import WorkItem
from app.engine import turns
from app.engine.items.changes import end
from app.engine.items.leases import Lease, hold
from app.engine.states import ItemState, JobState, record


def take_over(session: Session, lease: Lease) -> tuple[list[list[int]], int]:
    """Let an evaluation item take over the chips of the next item, if that evaluates the same variant.

    The next item is the one that `claim` would give, if it evaluates the same variant of the same job. A
    runner that has all loaded saves its start. What was taken over is in the item's payload, so another
    attempt at it goes on with that, too.

    Returns:
        All ranges of chips that the item has now, and the progress of what was taken over, in
        sample-forwards.
    """
    job, item = hold(session, lease)
    turn = next(turns.in_turn(session), None)
    first = turns.items_of(session, job.id)[:1] if turn is not None and turn.job_id == job.id else []
    other = session.get(WorkItem, first[0], populate_existing=True) if first else None
    if (
        other is None
        or job.state != JobState.RUNNING
        or (other.kind, other.payload.get("variant")) != (item.kind, item.payload.get("variant"))
    ):
        return repeats_of(item.payload), 0
    turns.charge(session, job, other)
    turns.pass_on(other, item)
    done = other.progress_done
    taken_over = [*item.payload.get("taken_over", []), *repeats_of(other.payload)]
    item.payload = {**item.payload, "taken_over": taken_over}
    item.progress_total += other.progress_total
    item.progress_done += done
    other.progress_total = other.progress_done = 0
    end(other, ItemState.SUCCEEDED)
    record(session, job, "item.succeeded", {"item": other.key, "taken_over_by": item.key})
    return repeats_of(item.payload), done


def repeats_of(payload: dict[str, Any]) -> list[list[int]]:
    """Return the ranges of chips of an evaluation item: its own, and those that it took over."""
    return [payload["repeats"], *payload.get("taken_over", [])]
