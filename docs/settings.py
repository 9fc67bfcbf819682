"""Write the table of settings into `docs/operation.md`: `python -m docs.settings`."""

from __future__ import annotations

from pathlib import Path

from app.settings import Settings

PAGE = Path(__file__).with_name("operation.md")
_BEGIN, _END = "<!-- settings -->", "<!-- end of settings -->"


def table() -> str:
    """Return the settings as a Markdown table."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "cores, at most 4" if field.default_factory else field.default
        shown = "" if default is None else f"`{default}`"
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """Return the page with a new table."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
