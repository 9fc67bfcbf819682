"""A row of a job, for the tests of what jobs hold on to."""

from app.db.tables import Job


def job_on(model_id, *, dataset_id=None, state="queued") -> Job:
    return Job(
        tags=[],
        state=state,
        spec={},
        effective_config={},
        config_hash="0" * 64,
        execution={},
        seed=0,
        model_id=model_id,
        dataset_ref=dataset_id or "builtin:digits",
        dataset_id=dataset_id,
        warnings=[],
    )
