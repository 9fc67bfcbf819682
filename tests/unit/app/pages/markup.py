"""What a page holds, as a browser would see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "input", "img", "br"}
_APART = {"td", "th", "p", "li", "div", "button", "pre", "dd", "dt", "summary", "caption"}


@dataclass
class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    source: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    inline_scripts: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in _APART:
            self.text += " "
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            self.inline_scripts += [data] if data.strip() else []
            return
        self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of all tags of a name that have these attributes."""
        return [
            found
            for name, found in self.tags
            if name == tag and all(found.get(key) == value for key, value in wanted.items())
        ]

    @property
    def addresses(self) -> list[str]:
        """Everything that the page loads or links to."""
        names = ("href", "src", "action", "srcset", "data", "poster")
        return [found[name] for _, found in self.tags for name in names if name in found]
