"""What the documents' site needs beside the pages in this folder: the project's own files that pages lead to.

mkdocs calls these functions (`hooks` in mkdocs.yml). A link out of the folder, `../SECURITY.md`, leads to a
copy under `project/` on the site, and links in that copy lead back.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[1]
_PAGES: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
_FOLDER: Final = "project"
_LINK: Final = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the project's pages, and the files that pages lead to."""
    for name in _PAGES:
        files.append(File.generated(config, f"{_FOLDER}/{name}", content=(ROOT / name).read_text("utf-8")))
    linked = {target for page in files.documentation_pages() for target in _outside(page)}
    for target in sorted(linked - set(_PAGES)):
        files.append(File.generated(config, f"{_FOLDER}/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Let links lead to where things are on the site."""
    source = page.file.src_uri
    place = posixpath.dirname(source)

    def moved(link: re.Match[str]) -> str:
        target = _target(source, link[2])
        if target is None:
            return link[0]
        on_site = target.removeprefix("docs/") if target.startswith("docs/") else f"{_FOLDER}/{target}"
        return f"{link[1]}{posixpath.relpath(on_site, place or '.')}{link[3] or ''}{link[4]}"

    return _LINK.sub(moved, markdown)


def _target(source: str, link: str) -> str | None:
    """Return what a link leads to, from the project's root; None within the folder and elsewhere."""
    if "://" in link or link.startswith(("mailto:", "/")):
        return None
    is_project = source.startswith(f"{_FOLDER}/")
    place = posixpath.dirname(source.removeprefix(f"{_FOLDER}/") if is_project else f"docs/{source}")
    target = posixpath.normpath(posixpath.join(place, link))
    return target if is_project or not target.startswith("docs/") else None


def _outside(page: File) -> set[str]:
    found = (_target(page.src_uri, link[2]) for link in _LINK.finditer(page.content_string))
    return {
        one for one in found if one is not None and not one.startswith("docs/") and (ROOT / one).is_file()
    }
