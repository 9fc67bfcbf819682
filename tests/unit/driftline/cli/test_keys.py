"""`driftline keys` and `driftline whoami`, against a real API and on its database."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from driftline import AsyncDriftline, Driftline, errors

ROOT = Path(__file__).parents[4]


@pytest.fixture
def cli(server, settings, tmp_path):
    """Run the command line with a key, or without one."""

    def run(*arguments: str, key: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        found = {
            **os.environ, "DRIFTLINE_URL": server.url, "PYTHONPATH": str(ROOT), "COLUMNS": "160",
            "DATABASE_URL": str(settings.database_url), **environment,
        }  # fmt: skip
        found.pop("DRIFTLINE_API_KEY", None)
        if key is not None:
            found["DRIFTLINE_API_KEY"] = key
        done = subprocess.run(
            [sys.executable, "-m", "driftline", *arguments],
            env=found, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def server(settings):
    from tests.contract.conftest import running

    with running(settings) as server:
        yield server


@pytest.fixture
def settings(sqlite_url, tmp_path):
    from app.settings import Settings

    return Settings(data_dir=tmp_path, database_url=sqlite_url, redis_url=None)


def test_an_admin_makes_lists_rotates_and_withdraws_keys(cli, server):
    admin = cli("keys", "--local", "add", "first", "--scope", "admin").stdout.strip()
    server.services.access.forget()
    made = cli("keys", "add", "notebooks", "--project", "lab", key=admin)
    key = made.stdout.strip()
    assert (made.returncode, key[:3]) == (0, "dl_")
    told = cli("whoami", key=key).stdout
    assert told == "notebooks: project lab, may read, submit\n"
    listed = json.loads(cli("keys", "list", "--project", "*", "--json", key=admin).stdout)
    assert [one["name"] for one in listed] == ["notebooks", "first"]
    assert "lab" in cli("keys", "list", "--project", "lab", key=admin).stdout
    rotated = cli("keys", "rotate", key[:11], "--grace", "60", key=admin).stdout.strip()
    assert cli("whoami", key=key).returncode == cli("whoami", key=rotated).returncode == 0
    assert cli("keys", "withdraw", rotated[:11], key=admin).returncode == 0
    refused = cli("jobs", key=rotated)
    assert (refused.returncode, "not known" in refused.stderr) == (2, True)


def test_who_may_not_is_told_what_is_missing(cli, server):
    key = cli("keys", "--local", "add", "reader", "--scope", "read").stdout.strip()
    server.services.access.forget()
    no_key = cli("jobs")
    assert (no_key.returncode, "driftline keys add" in no_key.stderr) == (2, True)
    no_scope = cli("keys", "list", key=key)
    assert (no_scope.returncode, "admin" in no_scope.stderr) == (2, True)


def test_a_key_in_a_file_is_sent(cli, server, tmp_path):
    file = tmp_path / "key"
    file.write_text(cli("keys", "--local", "add", "of the file").stdout)
    server.services.access.forget()
    assert cli("whoami", DRIFTLINE_API_KEY_FILE=str(file)).stdout.startswith("of the file")
    missing = cli("whoami", DRIFTLINE_API_KEY_FILE=str(tmp_path / "none"))
    assert (missing.returncode, "DRIFTLINE_API_KEY_FILE" in missing.stderr) == (2, True)


def test_both_clients_work_with_keys(server):
    with Driftline(server.url) as first:
        admin = first.add_key("admin", project="default", scopes=["admin"])["key"]
    with Driftline(server.url) as stranger, pytest.raises(errors.Unauthorized):
        stranger.jobs()
    with Driftline(server.url, api_key=admin) as driftline:
        key = driftline.add_key("lab", project="lab", scopes=["read"])
        assert driftline.keys(project="lab")[0].prefix == key.prefix
        with Driftline(server.url, api_key=key["key"]) as lab, pytest.raises(errors.Forbidden):
            lab.delete_model("0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10")
        new = driftline.rotate_key(key.id)["key"]

    async def ask() -> tuple[str | None, list[str]]:
        async with AsyncDriftline(server.url, api_key=new) as lab:
            found = await lab.whoami()
        async with AsyncDriftline(server.url, api_key=admin) as driftline:
            await driftline.withdraw_key(key.id)
            kept = await driftline.keys(project="*")
        return found.project, [one.name for one in kept if one.withdrawn_at]

    assert asyncio.run(ask()) == ("lab", ["lab"])
