"""What the guide to the client and the README show works as it is written there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartService

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str, after: str = "") -> list[str]:
    """Return the code blocks of a page in a language, those after a line of it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text[text.index(after) :], re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a reader has it, with the examples and a `driftline` on the path."""
    folder = tmp_path / "reader"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    command = folder / "bin" / "driftline"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m driftline "$@"\n')
    command.chmod(0o755)
    return folder


def run(folder: Path, url: str, *command: str) -> str:
    environment = {
        **os.environ, "DRIFTLINE_URL": url, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }  # fmt: skip
    found = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_guides_python_works(start_service: StartService, folder: Path) -> None:
    code = "\n".join(blocks("docs/client.md", "python"))
    with start_service() as (service, _):
        out = run(folder, service.url, sys.executable, "-c", code)
    assert "Digital" in out
    assert "/rpu_config/overrides/forward/out_noize" in out
    assert (folder / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "finetuned.onnx").is_file()


def test_the_guides_commands_and_the_readmes_lines_work(start_service: StartService, folder: Path) -> None:
    commands = "\n".join(blocks("docs/client.md", "sh", after="## The command line"))
    lines = "\n".join(blocks("README.md", "python", after="## From a notebook")[:1])
    with start_service() as (service, _):
        out = run(folder, service.url, "bash", "-euc", commands)
        assert "Noisy outputs" in out
        assert out.endswith("\n1\n")
        assert (folder / "accuracy.svg").is_file()
        assert (folder / "files" / "provenance.json").is_file()
        assert "Digital" in run(folder, service.url, sys.executable, "-c", lines)
