"""HTTP of webhooks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from app.kit.etag import NOT_MODIFIED, ConditionalDep, PreconditionDep, etag_of
from app.kit.fields import IdPath, known_id
from app.kit.idempotency import IDEMPOTENCY_PROBLEMS, REPLAYED_HEADER, OnceDep, json_answer
from app.kit.pagination import PAGE_HEADERS, Page, PageQuery, cut, link_next
from app.kit.problems import (
    Conflict,
    InvalidJson,
    NotFound,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    problem_responses,
)
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession, WriteSession
from app.services import ServicesDep
from app.webhooks.schemas import DeliveryView, WebhookChange, WebhookCreate, WebhookCreated, WebhookView
from app.webhooks.service import WebhookService

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=StrictRoute)

_LISTING = "webhooks"
_DELIVERIES = "deliveries"


async def _for_reading(session: ReadSession, services: ServicesDep) -> WebhookService:
    return WebhookService(session, services.settings)


async def _for_writing(session: WriteSession, services: ServicesDep) -> WebhookService:
    return WebhookService(session, services.settings)


Reader = Annotated[WebhookService, Depends(_for_reading, scope="function")]
Writer = Annotated[WebhookService, Depends(_for_writing, scope="function")]


@router.post(
    "",
    status_code=201,
    summary="Make a webhook",
    response_model=WebhookCreated,
    responses={
        201: {"headers": REPLAYED_HEADER},
        **problem_responses(*IDEMPOTENCY_PROBLEMS, InvalidJson, TooLarge, UnsupportedMediaType),
    },
)
def create_webhook(request: Annotated[WebhookCreate, Body()], service: Writer, once: OnceDep) -> Response:
    """Have the states that jobs come to posted to a URL, signed with a secret that is shown this once.

    Messages and signatures are those of Standard Webhooks.
    """

    def create() -> Response:
        webhook, secret = service.create(request)
        view = WebhookCreated(**WebhookView.of(webhook).model_dump(), secret=secret)
        return json_answer(view, 201, {"Location": f"/v1/webhooks/{webhook.id}"})

    return once.do(create, find=service.webhooks.get)


@router.get("", summary="List webhooks", responses=PAGE_HEADERS)
def list_webhooks(
    request: Request, response: Response, service: Reader, page: Annotated[PageQuery, Query()]
) -> Page[WebhookView]:
    """List webhooks, newest first."""
    after = page.last_key(_LISTING, (str,))
    rows = service.webhooks.listing(before_id=None if after is None else str(after[0]), limit=page.limit + 1)
    rows, next_cursor = cut(rows, page, listing=_LISTING, key=lambda webhook: (webhook.id,))
    link_next(request, response, next_cursor)
    return Page(items=[WebhookView.of(webhook) for webhook in rows], next_cursor=next_cursor)


@router.get(
    "/{webhook_id}",
    summary="Get a webhook",
    response_model=WebhookView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def get_webhook(webhook_id: IdPath, response: Response, service: Reader, conditional: ConditionalDep) -> Any:
    """Return a webhook, and whether it works."""
    view = WebhookView.of(service.get(known_id("webhook", webhook_id)))
    return conditional.not_modified(etag_of(view), response) or view


@router.patch(
    "/{webhook_id}", summary="Change a webhook", responses=problem_responses(NotFound, PreconditionFailed)
)
def change_webhook(
    webhook_id: IdPath,
    request: Annotated[WebhookChange, Body()],
    response: Response,
    service: Writer,
    precondition: PreconditionDep,
) -> WebhookView:
    """Change what the body sets; messages that wait go where the webhook points when they are sent."""
    known_id("webhook", webhook_id)
    precondition.require(lambda: etag_of(WebhookView.of(service.locked(webhook_id))))
    view = WebhookView.of(service.change(known_id("webhook", webhook_id), request))
    response.headers["ETag"] = etag_of(view)
    return view


@router.delete(
    "/{webhook_id}",
    status_code=204,
    summary="Delete a webhook",
    responses=problem_responses(NotFound, PreconditionFailed),
)
def delete_webhook(webhook_id: IdPath, service: Writer, precondition: PreconditionDep) -> None:
    """Delete a webhook with its log; messages that wait are not sent."""
    known_id("webhook", webhook_id)
    precondition.require(lambda: etag_of(WebhookView.of(service.locked(webhook_id))))
    service.delete(known_id("webhook", webhook_id))


@router.get(
    "/{webhook_id}/deliveries",
    summary="List deliveries",
    responses={**PAGE_HEADERS, **problem_responses(NotFound)},
)
def list_webhook_deliveries(
    webhook_id: IdPath,
    request: Request,
    response: Response,
    service: Reader,
    page: Annotated[PageQuery, Query()],
) -> Page[DeliveryView]:
    """List the messages for a webhook with every attempt, newest first; kept for 30 days."""
    webhook = service.get(known_id("webhook", webhook_id))
    after = page.last_key(_DELIVERIES, (str,))
    rows = service.webhooks.deliveries(
        webhook.id, before_id=None if after is None else str(after[0]), limit=page.limit + 1
    )
    rows, next_cursor = cut(rows, page, listing=_DELIVERIES, key=lambda delivery: (delivery.id,))
    link_next(request, response, next_cursor)
    return Page(items=[DeliveryView.of(delivery) for delivery in rows], next_cursor=next_cursor)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    summary="Test a webhook",
    responses=problem_responses(NotFound, Conflict),
)
def test_webhook(webhook_id: IdPath, service: Writer) -> DeliveryView:
    """Send a message of type `webhook.test`, once; its delivery shows what became of it."""
    return DeliveryView.of(service.test(known_id("webhook", webhook_id)))


@router.post(
    "/{webhook_id}/rotate",
    summary="Give a webhook a new secret",
    responses=problem_responses(NotFound),
)
def rotate_webhook_secret(webhook_id: IdPath, service: Writer) -> WebhookCreated:
    """Return the webhook with a new secret, which is shown this once.

    For a day messages carry two signatures, by the new secret and by the old one.
    """
    webhook, secret = service.rotate(known_id("webhook", webhook_id))
    return WebhookCreated(**WebhookView.of(webhook).model_dump(), secret=secret)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    summary="Send a message again",
    responses=problem_responses(NotFound, Conflict),
)
def redeliver_webhook_message(webhook_id: IdPath, delivery_id: IdPath, service: Writer) -> DeliveryView:
    """Queue a message that was delivered or given up again: same `webhook-id`, same body, a new signature."""
    found = service.redeliver(known_id("webhook", webhook_id), known_id("delivery", delivery_id))
    return DeliveryView.of(found)
