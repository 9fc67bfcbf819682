"""Templates become answers: what all pages have in common, and the headers that keep them safe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from app.kit.access import Caller, current_caller
from app.kit.transactions import ReadSession
from app.pages import words
from app.pages.assets import assets
from app.pages.views.service_state import ServiceState, service_state
from app.results.services import what_was_done
from app.services import Services, ServicesDep

# Nothing from other hosts, nothing inline, no frames around a page.
POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        auto_reload=False,  # a process goes on with the templates that fit its code
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=words.duration,
        about=words.about,
        exact=words.exact,
        metric=words.metric,
        interval=words.interval,
        mean_interval=words.mean_interval,
        difference=words.difference,
        width=words.width,
        count=words.count,
        plural=words.plural,
        size=words.size,
        shape=words.shape,
        moment=words.moment,
        value=words.value,
        field=words.field,
        pretty=pretty,
        prose=prose,
        what_was_done=what_was_done,
    )
    environment.globals.update(VARIANT_MEANINGS=words.VARIANT_MEANINGS, inf=math.inf)
    environment.globals["ui"] = environment.get_template("parts/macros.html").module
    return environment


def pretty(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def prose(text: str) -> Markup:
    """Return a text with what stands between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    marked = (f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
    return Markup("".join(marked))  # noqa: S704 - every part is escaped


def path_of(request: Request) -> str:
    """Return the path of a request below the application's root."""
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def root_of(request: Request) -> str:
    """Return the relative address of the application's root, whatever prefix a proxy puts before it."""
    depth = path_of(request).count("/") - 1
    return "../" * depth or "./"


def render(
    request: Request,
    template: str,
    model: Mapping[str, Any],
    *,
    service: ServiceState | None,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Return a page.

    Args:
        request: what it answers.
        template: its file.
        model: what the template shows.
        service: the state of the service for the page's header; None where it is not known.
        status_code: of the answer.
        headers: more of them.
    """
    root = root_of(request)
    found = _environment().get_template(template)
    content = found.render(
        **model,
        root=root,
        asset=lambda name: root + assets().path(name),
        service=service,
        signed_in=_signed_in(),
        asked=request.query_params.get("q", ""),
        api_url=str(request.base_url).rstrip("/"),
    )
    return HTMLResponse(content, status_code, headers={**_HEADERS, **(headers or {})})


def _signed_in() -> Caller | None:
    """Return who has signed in on this browser; None where the service knows nobody, or wants no key."""
    try:
        caller = current_caller()
    except LookupError:
        return None
    return caller if caller.is_session else None


class Pages:
    """What an endpoint of a page works with: the request's snapshot of the database, and its answer."""

    def __init__(self, request: Request, session: Session, services: Services) -> None:
        self.request = request
        self.session = session
        self.services = services

    def address_with(self, **changes: str | None) -> str:
        """Return the page's own address with parameters replaced; None takes one away."""
        kept = [pair for pair in self.request.query_params.multi_items() if pair[0] not in changes]
        return "?" + urlencode(kept + [(name, value) for name, value in changes.items() if value is not None])

    def show(
        self,
        template: str,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        **model: Any,
    ) -> HTMLResponse:
        """Return a page with the state of the service in its header."""
        state = service_state(self.session, self.services.settings)
        return render(self.request, template, model, service=state, status_code=status_code, headers=headers)


async def _pages(request: Request, session: ReadSession, services: ServicesDep) -> Pages:
    return Pages(request, session, services)


PagesDep = Annotated[Pages, Depends(_pages)]
