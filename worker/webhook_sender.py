"""Sends what waits in the outbox of webhooks. Every worker does; a lease keeps two from sending the same.

The receiver's name is looked up first and the connection made to an address that was checked, so that no
name can lead into the service's own network. Redirects are not followed, proxies of the environment not used.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from ssl import SSLContext

import anyio
import httpx

from app.db.sealing import SealedError
from app.db.session import Database
from app.engine.outage import Outage
from app.engine.webhooks import outbox
from app.engine.webhooks.addresses import is_public
from app.engine.webhooks.outbox import Claim, Outcome, Patience
from app.engine.webhooks.signing import signatures
from app.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 8
_LOOK_S = 1.0
_TIDY_S = 600.0
_LEASE_MARGIN_S = 30.0
_ADDRESSES_TRIED = 3
_USER_AGENT = "Driftline-Webhooks/1"


class RefusedAddressError(OSError):
    """A receiver's name leads to no address that may be reached."""


class WebhookSender:
    """Claims messages that are due and posts them, some at once."""

    def __init__(self, settings: Settings, database: Database, *, tls: SSLContext | None = None) -> None:
        self._settings = settings
        self._database = database
        self._given_tls = tls
        self._sealer = settings.sealer
        self._patience = Patience(
            retry_s=settings.webhook_retry_s,
            give_up_s=settings.webhook_give_up_s,
            disable_after_s=settings.webhook_disable_after_s,
        )
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Send in a thread of its own until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Take nothing new and wait for what is being sent."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(self._settings.webhook_timeout_s + 5)

    def send_due(self) -> int:
        """Send one message that is due to each webhook that has one; return how many."""
        claims = self._claim(_AT_ONCE)
        for claimed in claims:
            self._carry(claimed)
        return len(claims)

    def _run(self) -> None:
        tidied = float("-inf")
        outage = Outage(log, "looking for webhooks' messages")
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="webhook") as pool:
            while not self._closed.is_set():
                try:
                    if time.monotonic() - tidied > _TIDY_S:
                        tidied = time.monotonic()
                        self._tidy()
                    running |= {pool.submit(self._carry, one) for one in self._claim(_AT_ONCE - len(running))}
                except Exception as error:  # noqa: BLE001 - it is said, and tried again
                    outage.failed(error)
                else:
                    outage.worked()
                if running:
                    _, running = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                else:
                    self._closed.wait(_LOOK_S)

    def _claim(self, limit: int) -> list[Claim]:
        if limit <= 0:
            return []
        with self._database.reading() as session:  # mostly there is nothing, and no need of the write lock
            if not outbox.has_due(session):
                return []
        lease_s = self._settings.webhook_timeout_s + _LEASE_MARGIN_S
        with self._database.transaction() as session:
            return outbox.claim(session, limit=limit, lease_s=lease_s)

    def _carry(self, claimed: Claim) -> None:
        try:
            outcome = anyio.run(self._post, claimed)
            with self._database.transaction() as session:
                outbox.settle(session, claimed, outcome, self._patience)
        except Exception:
            # The lease runs out and the message is sent again, under the same id.
            log.exception("the outcome of webhook message %s could not be stored", claimed.delivery_id)

    def _tidy(self) -> None:
        with self._database.transaction() as session:
            outbox.tidy(session, self._patience)

    async def _post(self, claimed: Claim) -> Outcome:
        """Post the message once, within the time limit from the first look-up to the answer's headers."""
        timeout_s = self._settings.webhook_timeout_s
        begun = time.monotonic()
        status_code, error = None, None
        try:
            with anyio.fail_after(timeout_s):
                status_code = await self._answer(claimed)
        except TimeoutError:
            error = f"no answer within {timeout_s:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exception:
            error = (str(exception) or type(exception).__name__)[:500]
        if status_code is not None and not 200 <= status_code < 300:
            redirects = 300 <= status_code < 400
            error = f"answered {status_code}" + ("; redirects are not followed" if redirects else "")
        return Outcome(status_code, round((time.monotonic() - begun) * 1000, 1), error)

    async def _answer(self, claimed: Claim) -> int:
        url = httpx.URL(claimed.url)
        timestamp = int(time.time())
        headers = {
            "host": url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            "webhook-id": claimed.delivery_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(
                self._secrets(claimed), message_id=claimed.delivery_id, timestamp=timestamp, body=claimed.body
            ),
        }
        addresses = await self._addresses(url)
        async with httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=self._settings.webhook_timeout_s,
        ) as client:
            for number, address in enumerate(addresses, start=1):
                request = client.build_request(
                    "POST",
                    url.copy_with(host=address),
                    content=claimed.body.encode(),
                    headers=headers,
                    extensions={"sni_hostname": url.host},  # certificates are for the name, not the address
                )
                try:
                    response = await client.send(request, stream=True)
                except httpx.ConnectError:
                    if number == len(addresses):
                        raise
                else:
                    await response.aclose()  # what the body says does not matter
                    return response.status_code
        raise RefusedAddressError(f"{url.host} has no address")

    def _secrets(self, claimed: Claim) -> list[str]:
        """Return what signs a message.

        Raises:
            SealedError: a secret cannot be read here; it becomes the outcome of the attempt.
        """
        try:
            return [self._sealer.open(stored) for stored in claimed.secrets]
        except SealedError as error:
            raise SealedError(
                f"the webhook's secret cannot be read: {error}; set the key, or give the webhook a new secret"
            ) from None

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """Look the receiver's name up; return the addresses that may be reached.

        Raises:
            RefusedAddressError: there is none.
        """
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await anyio.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._settings.webhook_allow_private:
            addresses = [address for address in addresses if is_public(address)]
        if not addresses:
            raise RefusedAddressError(f"{url.host} leads to no public address; private ones are refused")
        return addresses[:_ADDRESSES_TRIED]

    @cached_property
    def _tls(self) -> SSLContext:
        return self._given_tls or httpx.create_ssl_context(trust_env=False)
