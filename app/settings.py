"""The settings of a deployment, read from the environment once, at the start of a process.

`DATABASE_URL` and `REDIS_URL` have their usual names; every other setting is `DRIFTLINE_<NAME>`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.db.blobs.opening import Place
from app.db.sealing import Sealer
from app.monitoring.logs import LogFormat, LogLevel

MIB = 1024 * 1024


def _default_threads() -> int:
    return max(1, min(4, os.cpu_count() or 1))


_Kept = Annotated[float | None, Ge(0)]  # None: without limit


class Settings(BaseSettings):
    """Every setting of the service, with its default."""

    model_config = SettingsConfigDict(env_prefix="DRIFTLINE_", extra="ignore", populate_by_name=True)

    data_dir: Annotated[
        Path, Field(description="Folder that holds the blobs, the SQLite database and the embedded broker.")
    ] = Path(".driftline")
    database_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("DATABASE_URL", "database_url"),
            description="SQLAlchemy URL of the database. Unset: SQLite in the data folder.",
        ),
    ] = None
    redis_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("REDIS_URL", "redis_url"),
            description="URL of the broker, Redis or Valkey. Unset: an embedded broker.",
        ),
    ] = None

    blob_url: Annotated[
        str | None,
        Field(
            pattern="^[a-z][a-z0-9+.-]*://",
            description="Storage of files that all machines reach, such as `s3://bucket/driftline`; "
            "credentials and endpoint come from its usual variables. Unset: `blobs` in the data folder.",
        ),
    ] = None
    blob_cache_bytes: Annotated[
        int, Field(ge=0, description="Size of each machine's cache of files of `DRIFTLINE_BLOB_URL`.")
    ] = 10 * 1024 * MIB

    host: Annotated[
        str,
        Field(
            description="Address that the service listens on. Where it is not a loopback address, the "
            "service wants keys, and does not start without one."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="Port that `make run` listens on. 0: any free port.")
    ] = 8000

    admin_key: Annotated[
        SecretStr | None,
        Field(
            min_length=32, description="A key of an admin in project `default`, beside those in the database."
        ),
    ] = None
    encryption_keys: Annotated[
        SecretStr | None,
        Field(
            description="Keys that encrypt the secrets of webhooks in the database, with commas between "
            "them, the newest first; `driftline secrets --new-key` makes one. All processes need them. "
            "Unset: whoever reads the database reads these secrets.",
        ),
    ] = None
    allowed_hosts: Annotated[
        str,
        Field(
            description="Names in `Host` that the service answers to, with commas between them, besides "
            "those of loopback; `.example.org` is every name under it. Unset, on another address: any."
        ),
    ] = ""
    allowed_origins: Annotated[
        str,
        Field(
            description="Other sites whose pages may use the service with a key (CORS), with commas between "
            "them, such as `https://lab.example.org`."
        ),
    ] = ""

    quota_jobs: Annotated[
        int | None,
        Field(ge=0, description="Jobs of one project that are queued or running at a time. Unset: no limit."),
    ] = None
    quota_seconds_a_day: Annotated[
        float | None,
        Field(ge=0, description="Estimated seconds of one project's jobs within 24 hours. Unset: no limit."),
    ] = None
    quota_bytes: Annotated[
        int | None,
        Field(ge=0, description="Bytes of one project's models, datasets and artifacts. Unset: no limit."),
    ] = None
    quota_requests_a_second: Annotated[
        float | None,
        Field(
            gt=0,
            description="Requests of one project per second that each API process takes in the long run; ten "
            "seconds' worth may come at once. Unset: no limit.",
        ),
    ] = None

    max_upload_bytes: Annotated[
        int, Field(gt=0, description="Size of the largest model or dataset file that is accepted.")
    ] = 256 * MIB
    max_json_bytes: Annotated[
        int, Field(gt=0, description="Size of the largest JSON body that is accepted.")
    ] = MIB
    max_uploads_at_once: Annotated[
        int,
        Field(
            gt=0,
            description="Uploads that one API process receives and inspects at a time, which may need this "
            "times `MAX_UPLOAD_BYTES` of disk; more wait half of `UPLOAD_READ_TIMEOUT_S`, then get a 503.",
        ),
    ] = 16
    upload_read_timeout_s: Annotated[
        float,
        Field(
            gt=0,
            description="The service drops a body that sends no data for this long, or, after this time, "
            "less than 1 KiB a second on average.",
        ),
    ] = 30.0
    refusal_linger_s: Annotated[
        float,
        Field(
            ge=0,
            description="The service reads the rest of a refused body for this long, so that the client sees "
            "the answer.",
        ),
    ] = 10.0
    inspection_timeout_s: Annotated[
        float, Field(gt=0, description="Wall-clock limit of a file's inspection.")
    ] = 60.0
    max_cells_per_job: Annotated[
        int, Field(gt=0, description="Largest number of cells (variants x repeats x times) of one job.")
    ] = 200_000

    log_format: Annotated[
        LogFormat, Field(description="`text` for people, or `json`: one object a line, for machines.")
    ] = "text"
    log_level: Annotated[LogLevel, Field(description="Lines of this level and above are logged.")] = "info"
    metrics_host: Annotated[
        str, Field(description="Address of the ports that serve metrics and nothing else.")
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="Port for the API's metrics alone. Unset: they are at `/metrics`, beside the API.",
        ),
    ] = None
    worker_metrics_port: Annotated[
        int | None,
        Field(ge=0, le=65535, description="Port for a worker's metrics. Unset: a worker serves none."),
    ] = None
    traces_url: Annotated[
        str | None,
        Field(
            pattern="^https?://",
            description="OTLP receiver over HTTP that gets traces, such as "
            "`http://collector:4318/v1/traces`. Unset: no traces.",
        ),
    ] = None

    watch_interval_s: Annotated[
        float, Field(gt=0, description="Time between two looks for changes that clients wait for.")
    ] = 0.2
    stream_heartbeat_s: Annotated[
        float, Field(gt=0, description="An event stream without events sends a comment after this time.")
    ] = 15.0
    stream_lifetime_s: Annotated[
        float,
        Field(gt=0, description="An event stream ends after this time; clients reconnect by themselves."),
    ] = 900.0

    lease_s: Annotated[
        float,
        Field(
            gt=0, description="A work item whose worker is silent for this long is given to another worker."
        ),
    ] = 20.0
    heartbeat_s: Annotated[float, Field(gt=0, description="Time between two renewals of a lease.")] = 4.0
    sweep_s: Annotated[
        float,
        Field(
            gt=0,
            description="Time between two looks of a worker for items that wait or whose lease ran out.",
        ),
    ] = 5.0
    item_timeout_s: Annotated[
        float, Field(gt=0, description="Wall-clock limit of one attempt at a work item.")
    ] = 24 * 3600.0
    item_silence_s: Annotated[
        float,
        Field(
            gt=0,
            description="A runner without a sign of life for this long is killed, which spends an attempt.",
        ),
    ] = 1800.0
    item_memory_bytes: Annotated[
        int | None,
        Field(description="Memory limit of a runner (data segment; Linux only). Unset: no limit."),
    ] = None
    max_attempts: Annotated[
        int,
        Field(
            ge=1,
            description="A job fails after this many attempts in a row at a work item without progress.",
        ),
    ] = 3
    cancel_grace_s: Annotated[
        float,
        Field(
            gt=0,
            description="A runner that should stop gets SIGTERM after this time, and SIGKILL after the same "
            "time again.",
        ),
    ] = 10.0
    threads_per_item: Annotated[
        int,
        Field(
            ge=1,
            description="CPU threads of one work item. A job keeps the number at its submission.",
        ),
    ] = Field(default_factory=_default_threads)
    loops: Annotated[
        Literal["compiled", "plain"],
        Field(
            description="Loops on the CPU: `compiled` by numba, or `plain` torch, which is several times "
            "slower. A job keeps the kind at its submission, since sums differ in the last bits."
        ),
    ] = "compiled"
    repeats_per_shard: Annotated[
        int, Field(ge=1, description="Smallest number of chips in one evaluation item.")
    ] = 5
    worker_concurrency: Annotated[
        int | None,
        Field(ge=1, description="Work items that one worker does at once. Unset: cores / threads per item."),
    ] = None

    keep_jobs_s: _Kept = Field(default=None, description="Jobs are removed this long after their end.")
    keep_artifacts_s: _Kept = Field(
        default=None, description="A job's files are removed this long after its end; its results stay."
    )
    keep_artifact_bytes: Annotated[
        int | None,
        Field(ge=0, description="Above this size of all files of jobs, the oldest jobs' are removed."),
    ] = None
    keep_uploads_s: _Kept = Field(
        default=None, description="Models and datasets that no job uses are removed after this time."
    )
    keep_events_s: _Kept = Field(
        default=None, description="The events of a job are removed this long after its end."
    )
    keep_deliveries_s: _Kept = Field(
        default=None, description="The log of webhooks' messages is kept for this long."
    )

    webhook_allow_private: Annotated[
        bool, Field(description="Allow webhooks to private, loopback and link-local addresses.")
    ] = False
    webhook_timeout_s: Annotated[
        float,
        Field(
            gt=0,
            description="Time limit of one delivery of a message, up to the headers of the answer.",
        ),
    ] = 15.0
    webhook_retry_s: Annotated[
        float, Field(gt=0, description="Wait before the first repetition of a message; it doubles each time.")
    ] = 5.0
    webhook_give_up_s: Annotated[
        float,
        Field(gt=0, description="A message that the receiver has not accepted for this long is given up."),
    ] = 24 * 3600.0
    webhook_disable_after_s: Annotated[
        float, Field(gt=0, description="A webhook whose deliveries have failed for this long is disabled.")
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
    def blobs(self) -> Place:
        """Where the blobs are."""
        return Place(str(self.data_dir.absolute()), self.blob_url, self.blob_cache_bytes)

    @property
    def sealer(self) -> Sealer:
        """What encrypts secrets at rest; ValueError where a key is none."""
        given = "" if self.encryption_keys is None else self.encryption_keys.get_secret_value()
        return Sealer([key.strip() for key in given.split(",") if key.strip()])

    @property
    def concurrency(self) -> int:
        """Work items that one worker runs at once."""
        return self.worker_concurrency or max(1, (os.cpu_count() or 1) // self.threads_per_item)

    @property
    def worker_silence_s(self) -> float:
        """A worker that is silent for this long counts as dead; it reports with every sweep."""
        return 4 * self.sweep_s

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables that give the same settings to a child process."""
        names = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}
        values = {**self.model_dump(), "data_dir": self.data_dir.absolute()}
        values["database_url"] = self.resolved_database_url
        return {
            names.get(name, f"DRIFTLINE_{name.upper()}"): (
                value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            )
            for name, value in values.items()
            if value is not None
        }
