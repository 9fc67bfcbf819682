"""What a deployment may set, read from the environment once, at start.

`DATABASE_URL` and `REDIS_URL` go by their usual names; everything else is `DRIFTLINE_<NAME>`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


def _default_threads() -> int:
    return max(1, min(4, os.cpu_count() or 1))


class Settings(BaseSettings):
    """Every setting of the service, with its default."""

    model_config = SettingsConfigDict(env_prefix="DRIFTLINE_", extra="ignore", populate_by_name=True)

    data_dir: Annotated[
        Path, Field(description="Folder of the blobs, the SQLite database and the embedded broker.")
    ] = Path(".driftline")
    database_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("DATABASE_URL", "database_url"),
            description="SQLAlchemy URL; SQLite in the data folder when unset.",
        ),
    ] = None
    redis_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("REDIS_URL", "redis_url"),
            description="Redis or Valkey URL of the broker; an embedded one when unset.",
        ),
    ] = None

    host: Annotated[str, Field(description="Address that `make run` listens on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Its port; 0 is any free one.")] = 8000

    max_upload_bytes: Annotated[int, Field(gt=0, description="Largest model or dataset file.")] = 256 * MIB
    max_json_bytes: Annotated[int, Field(gt=0, description="Largest JSON body.")] = MIB
    upload_read_timeout_s: Annotated[
        float, Field(gt=0, description="An upload that sends nothing for so long is dropped.")
    ] = 30.0
    refusal_linger_s: Annotated[
        float,
        Field(
            ge=0,
            description="What is left of a refused body is read for so long, so that the answer is seen.",
        ),
    ] = 10.0
    inspection_timeout_s: Annotated[
        float, Field(gt=0, description="Wall-clock limit of a file's inspection.")
    ] = 60.0
    max_cells_per_job: Annotated[int, Field(gt=0, description="Variants x repeats x times of one job.")] = (
        200_000
    )

    watch_interval_s: Annotated[
        float, Field(gt=0, description="How often the database is asked for those who wait for a change.")
    ] = 0.2
    stream_heartbeat_s: Annotated[
        float, Field(gt=0, description="An event stream sends a comment after so long without an event.")
    ] = 15.0
    stream_lifetime_s: Annotated[
        float,
        Field(gt=0, description="An event stream ends after so long; clients come again by themselves."),
    ] = 900.0

    lease_s: Annotated[
        float, Field(gt=0, description="A work item whose worker is silent for so long goes to another.")
    ] = 20.0
    heartbeat_s: Annotated[float, Field(gt=0, description="How often leases are renewed.")] = 4.0
    sweep_s: Annotated[
        float, Field(gt=0, description="How often workers look for items nobody took or whose lease ran out.")
    ] = 5.0
    item_timeout_s: Annotated[
        float, Field(gt=0, description="Wall-clock limit of one attempt at a work item.")
    ] = 24 * 3600.0
    item_silence_s: Annotated[
        float,
        Field(
            gt=0,
            description="A runner that gives no sign of life for so long is killed; an attempt is spent.",
        ),
    ] = 1800.0
    item_memory_bytes: Annotated[
        int | None,
        Field(description="Memory limit of a work item's process (Linux, data segment); unset: none."),
    ] = None
    max_attempts: Annotated[
        int,
        Field(
            ge=1,
            description="Attempts in a row at a work item that make no progress before the job fails.",
        ),
    ] = 3
    cancel_grace_s: Annotated[
        float,
        Field(gt=0, description="Seconds from asking a runner to stop to SIGTERM, and again to SIGKILL."),
    ] = 10.0
    threads_per_item: Annotated[
        int, Field(ge=1, description="CPU threads of one work item; stored with each job at submission.")
    ] = Field(default_factory=_default_threads)
    loops: Annotated[
        Literal["compiled", "plain"],
        Field(
            description="How the CPU computes: loops that numba compiles, or plain torch, which is several "
            "times slower; stored with each job at submission, since sums differ in the last bits."
        ),
    ] = "compiled"
    repeats_per_shard: Annotated[
        int, Field(ge=1, description="At least so many chip instances in one evaluation work item.")
    ] = 5
    worker_concurrency: Annotated[
        int | None, Field(ge=1, description="Work items at once on one worker; unset: cores / threads.")
    ] = None

    webhook_allow_private: Annotated[
        bool, Field(description="Whether webhooks may point to private, loopback and link-local addresses.")
    ] = False
    webhook_timeout_s: Annotated[
        float,
        Field(gt=0, description="Time for one attempt at a webhook's message, to the answer's headers."),
    ] = 15.0
    webhook_retry_s: Annotated[
        float, Field(gt=0, description="First wait before a message is sent again; each is twice the last.")
    ] = 5.0
    webhook_give_up_s: Annotated[
        float, Field(gt=0, description="A message that was not taken for so long is given up.")
    ] = 24 * 3600.0
    webhook_disable_after_s: Annotated[
        float, Field(gt=0, description="A webhook that has failed for so long is disabled.")
    ] = 5 * 24 * 3600.0

    @property
    def resolved_database_url(self) -> str:
        """The database URL, with the driver that this project uses spelled out."""
        url = self.database_url
        if url is None:
            return f"sqlite:///{(self.data_dir / 'driftline.db').absolute()}"
        for prefix in ("postgresql://", "postgres://"):
            if url.startswith(prefix):
                return "postgresql+psycopg://" + url.removeprefix(prefix)
        return url

    @property
    def concurrency(self) -> int:
        """Work items that one worker runs at once."""
        return self.worker_concurrency or max(1, (os.cpu_count() or 1) // self.threads_per_item)

    @property
    def worker_silence_s(self) -> float:
        """A worker that has said nothing for so long is taken for dead; it speaks with every sweep."""
        return 4 * self.sweep_s

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables that give a child process the same settings."""
        names = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}
        values = {**self.model_dump(), "data_dir": self.data_dir.absolute()}
        values["database_url"] = self.resolved_database_url
        return {
            names.get(name, f"DRIFTLINE_{name.upper()}"): str(value)
            for name, value in values.items()
            if value is not None
        }
