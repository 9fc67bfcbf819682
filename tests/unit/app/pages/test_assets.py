"""The files that pages load."""

from __future__ import annotations

import re
import tomllib
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


def test_an_installed_package_has_every_file():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    package = ROOT / "app" / "pages"
    packed = {
        path
        for pattern in tools["setuptools"]["package-data"]["app.pages"]
        for path in package.glob(pattern)
        if path.is_file()
    }
    needed = {
        path for folder in ("templates", "static") for path in (package / folder).rglob("*") if path.is_file()
    }
    assert needed <= packed
    assert any(path.name == "LICENSE.txt" for path in packed)
