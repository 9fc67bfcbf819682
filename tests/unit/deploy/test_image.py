"""What the Dockerfile copies is there, is let through, and is all that the package has; .ci/image builds it for real."""

import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from app.settings import Settings
from app.start import variable

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ("migrate", "api", "worker")
# What the images that are built take from the checkout; the last word of each line is where it goes.
COPIED = [
    source
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    for source in line.split()[:-1]
]


def let_through(name: str) -> bool:
    """Whether .dockerignore lets a file or folder of the checkout's root through: the last line that fits decides."""
    through = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if fnmatchcase(name, line.removeprefix("!")):
            through = line.startswith("!")
    return through


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_is_there_and_let_through(source):
    assert (ROOT / source).exists()
    assert let_through(source)


def test_nothing_else_is_let_through():
    assert {path.name for path in ROOT.iterdir() if let_through(path.name)} == set(COPIED)


def test_every_package_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {
        name.removesuffix("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    assert packages == {source for source in COPIED if (ROOT / source).is_dir()}


def test_commands_are_modules_that_there_are():
    commands = re.findall(r'"-m", "([\w.]+)"', DOCKERFILE + json.dumps(COMPOSE))
    assert {"app", "app.db.migrate", "worker", "worker.health"} <= set(commands)
    for module in commands:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_every_setting_is_one_of_the_service():
    known = {variable(name) for name in Settings.model_fields}
    said = set(re.findall(r"\b(DRIFTLINE_\w+)=", DOCKERFILE))
    for name in OURS:
        said |= set(COMPOSE["services"][name]["environment"])
    said -= {"FORWARDED_ALLOW_IPS"}  # uvicorn's
    assert {"DATABASE_URL", "REDIS_URL", "DRIFTLINE_ADMIN_KEY"} <= said
    assert said <= known


def test_the_database_is_healthy_only_where_others_reach_it():
    # While its image makes the database, a server answers on the socket alone, and then ends.
    assert "-h 127.0.0.1" in COMPOSE["services"]["postgres"]["healthcheck"]["test"][1]
