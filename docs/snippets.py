"""Run the code of the documents: `python -m docs.snippets [page ...]`, with a service of its own.

What stands between `<!-- run -->` and `<!-- end of run -->` is run as a reader would, page by page: Python
blocks of one such stretch as one script, shell blocks as another.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.settings import Settings
from worker.local import LocalService

ROOT: Final = Path(__file__).parents[1]
_STRETCH: Final = re.compile(r"<!-- run -->(.*?)<!-- end of run -->", re.DOTALL)
_BLOCK: Final = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LONGEST_S: Final = 400


@dataclass(frozen=True)
class Snippet:
    """Code of a page that is run as one script.

    Attributes:
        page: its name.
        language: `python` or `sh`.
        code: the script.
    """

    page: str
    language: str
    code: str


def snippets(folder: Path) -> Iterator[Snippet]:
    """Yield what there is to run in the pages of a folder."""
    for page in sorted(folder.glob("*.md")):
        for stretch in _STRETCH.findall(page.read_text(encoding="utf-8")):
            for language in ("python", "sh"):
                parts = [code for found, code in _BLOCK.findall(stretch) if found == language]
                if parts:
                    yield Snippet(page.name, language, "\n".join(parts))


def run(snippet: Snippet, folder: Path, url: str) -> None:
    """Run a script in a folder that has the examples; CalledProcessError if it fails."""
    command = [sys.executable, "-c"] if snippet.language == "python" else ["bash", "-euo", "pipefail", "-c"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "DRIFTLINE_URL": url,
        "PATH": path,
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run(
        [*command, snippet.code], cwd=folder, env=environment, check=True, timeout=_LONGEST_S,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def main() -> None:
    """Run everything, and say how long it took."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(ROOT / "examples", folder / "examples")
        settings = Settings(data_dir=folder / "data", port=0, threads_per_item=1)
        with LocalService(settings) as service:
            for snippet in snippets(Path(__file__).parent):
                if sys.argv[1:] and snippet.page not in sys.argv[1:]:
                    continue
                begun = time.monotonic()
                print(f"== {snippet.page}, {snippet.language}", flush=True)
                run(snippet, folder, service.url)
                print(f"   {time.monotonic() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
