"""What each process does first: read the settings, and say all that is wrong with them at once."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import fsspec
from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from app.monitoring import logs
from app.settings import Settings

log = logging.getLogger(__name__)

_PREFIX = "DRIFTLINE_"
_OWN_NAMES = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}
# Variables of the client, the tests and the containers, which the service does not read.
_OF_OTHERS = ("URL", "API_KEY", "KEY", "BIND", "TEST_", "COMPLETE")
_BROKERS = ("redis", "rediss", "unix")
_DATABASES = ("sqlite", "postgresql")


class SettingsError(SystemExit):
    """Settings that the service cannot start with: it ends the process, and Python prints its message.

    Attributes:
        faults: each in words.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        lines = "".join(f"\n- {one}" for one in faults)
        super().__init__(f"Driftline cannot start with these settings:{lines}")
        self.faults = faults


def load_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        SettingsError: some are not right.
    """
    try:
        settings = Settings()
        faults = list(faults_of(settings))
    except ValidationError as error:
        faults = [
            f"{variable(str(one['loc'][-1]) if one['loc'] else '')}={one['input']!r}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
    if faults:
        raise SettingsError(faults)
    return settings


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    known = name.lower()
    return _OWN_NAMES.get(known, name if name.isupper() else _PREFIX + name.upper())


def faults_of(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with settings that are well-formed one by one."""
    yield from _database_faults(settings.resolved_database_url)
    if settings.redis_url is not None and urlsplit(settings.redis_url).scheme not in _BROKERS:
        yield "REDIS_URL is not the URL of a broker: write redis://host:6379/0, or unix:///path/to/socket"
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        yield f"DRIFTLINE_DATA_DIR: {settings.data_dir} is not a folder"
    if settings.blob_url is not None:
        try:
            fsspec.get_filesystem_class(urlsplit(settings.blob_url).scheme)
        except (ImportError, ValueError) as error:
            yield f"DRIFTLINE_BLOB_URL: {error}; pip install 'driftline[s3]' for S3"
    try:
        settings.sealer  # noqa: B018 - it reads the keys
    except ValueError as error:
        yield f"DRIFTLINE_ENCRYPTION_KEYS: {error}; `driftline secrets --new-key` makes one"
    if settings.lease_s < 2 * settings.heartbeat_s:
        yield (
            f"DRIFTLINE_LEASE_S={settings.lease_s:g} must be at least twice DRIFTLINE_HEARTBEAT_S="
            f"{settings.heartbeat_s:g}, or leases run out between two renewals"
        )
    ports = [settings.port, settings.metrics_port, settings.worker_metrics_port]
    taken = [port for port in ports if port]
    if len(set(taken)) < len(taken):
        yield "DRIFTLINE_PORT, DRIFTLINE_METRICS_PORT and DRIFTLINE_WORKER_METRICS_PORT must differ"


def _database_faults(url: str) -> Iterator[str]:
    try:
        parsed = make_url(url)
    except ArgumentError:
        yield "DATABASE_URL is not the URL of a database: write postgresql://user:password@host/name"
        return
    name = parsed.get_backend_name()
    if name not in _DATABASES:
        yield f"DATABASE_URL: {name} is not supported; use PostgreSQL, or unset it for SQLite"
        return
    try:
        parsed.get_dialect().import_dbapi()
    except (ImportError, NoSuchModuleError) as error:
        yield f"DATABASE_URL: {error}; pip install 'driftline[postgres]' for PostgreSQL"


def strangers(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what is said about variables that look like settings and are none."""
    known = {variable(name) for name in Settings.model_fields}
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name in known or name.removeprefix(_PREFIX).startswith(_OF_OTHERS):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        yield f"the environment variable {name} is not a setting and has no effect{meant}"


def start_log(settings: Settings) -> None:
    """Send the log of this process where the settings say, and name variables that are no settings."""
    logs.configure(settings.log_format, settings.log_level)
    for line in strangers(os.environ):
        log.warning(line)


def product_version() -> str:
    """Return the version of the product that this process runs."""
    try:
        return version("driftline")
    except PackageNotFoundError:  # run from the source tree, without installing
        return "0.0.0"
