"""The files that pages load."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from app.pages.assets import assets

ROOT = Path(__file__).parents[4]
OURS = [name for name in assets().files if not name.startswith("vendor/")]


def test_every_file_is_served_for_a_year_and_compressed(client):
    for name, content in assets().files.items():
        answer = client.get(f"/{assets().path(name)}", headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, name
        assert answer.content == content, name
        assert "immutable" in answer.headers["cache-control"], name
        assert answer.headers.get("content-encoding") == ("gzip" if len(content) > 1000 else None), name
        same = client.get(f"/{assets().path(name)}", headers={"If-None-Match": answer.headers["etag"]})
        assert same.status_code == 304, name


def test_another_version_is_not_kept(client):
    answer = client.get("/static/000000000000/js/page.js")
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/static/x/nothing.js", "/static/x/../../settings.py", "/static/x/%2e%2e/words.py"]
)
def test_only_listed_files_are_served(client, path):
    assert client.get(path).status_code == 404


def test_modules_import_what_is_there():
    for name in OURS:
        for imported in re.findall(r'from "([^"]+)"', assets().files[name].decode()):
            there = str(PurePosixPath(name).parent / imported)
            assert there in assets().files, (name, imported)


def test_our_files_need_no_other_host_and_evaluate_no_text():
    for name in OURS:
        text = assets().files[name].decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, name
        assert "https://" not in text, name
        assert not re.search(r"\beval\(|new Function|insertAdjacentHTML|document\.write", text), name


def test_an_installed_package_has_every_file(tmp_path):
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "app", source / "app", ignore=shutil.ignore_patterns("__pycache__"))
    wheels.mkdir()
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(wheels)!r})"
    built = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    [wheel] = wheels.iterdir()
    packed = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "app" / "pages"
    needed = {
        path.relative_to(ROOT).as_posix()
        for folder in ("templates", "static")
        for path in (package / folder).rglob("*")
        if path.is_file()
    }
    assert needed <= packed
    assert "app/pages/static/vendor/uplot/LICENSE.txt" in packed
