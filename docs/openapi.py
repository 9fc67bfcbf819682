"""Write the HTTP contract into `docs/openapi.json`, which a test watches: `python -m docs.openapi`."""

from __future__ import annotations

import json
from pathlib import Path

from app.main import create_app
from app.settings import Settings

PAGE = Path(__file__).with_name("openapi.json")


def text() -> str:
    """Return the application's OpenAPI document."""
    document = create_app(Settings()).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
