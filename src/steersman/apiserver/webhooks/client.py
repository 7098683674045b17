"""The webhook client: TLS by configuration, connections kept, bounded time and size, no redirects.

What is configured by users is hostile until shown otherwise: a webhook can hang, answer with gigabytes, or point elsewhere. A
call takes no longer than its timeout, a response is read up to a limit, and redirects count as failures.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from steersman.aio.clock import Clock
from steersman.apiserver.webhooks.api import CallFailed, Endpoint, ServiceReference, ServiceResolver, Unresolvable
from steersman.apiserver.webhooks.failures import bad_response, network_failure
from steersman.client.api import encode
from steersman.meta.wire import Handler, Peer, Request

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import ResolveResult

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""Of an answer, unless its question was longer: an object of 3 MiB with a patch that replaces all of it in base64 fits."""
CONTEXTS = 200
"""TLS contexts that are kept; the least recently used one goes first."""
IDLE_S = 90.0
MAX_RETRIES = 10
"""How often a server that says Retry-After is asked again, within the timeout."""
USER_AGENT = "kube-apiserver-admission"
_OWN_SERVICE = ServiceReference(namespace="default", name="kubernetes")


class WebhookClient:
    """Calls webhooks for one API server. Closed with it.

    ``loopback`` answers for the ``kubernetes`` Service, behind which is this server itself (webhooks of aggregated APIs).
    """

    def __init__(
        self, services: ServiceResolver, *, clock: Clock, loopback: Handler | None = None, loopback_user: str = ""
    ) -> None:
        self._services = services
        self._clock = clock
        self._loopback = loopback
        self._loopback_user = loopback_user
        self._contexts: OrderedDict[tuple[bytes, bytes], ssl.SSLContext] = OrderedDict()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def post(self, endpoint: Endpoint, body: bytes, *, timeout_s: float | None = None) -> bytes:
        """The body of the answer to a POST of JSON. The timeout is told to the webhook, rounded up to whole seconds.

        Raises ``CallFailed``.
        """
        query = "" if timeout_s is None else f"?timeout={max(1, -int(-timeout_s // 1))}s"
        url = f"{_with_path(endpoint.url)}{query}"
        exchange = self._in_process if self._is_own(endpoint) else self._exchange
        try:
            if timeout_s is None:
                status, answer = await exchange(endpoint, url, body)
            else:
                status, answer = await self._clock.wait_for(exchange(endpoint, url, body), timeout_s)
        except TimeoutError as error:
            raise CallFailed(f'Post "{url}": context deadline exceeded') from error
        if not 200 <= status <= 206:
            raise bad_response(status, answer)
        if not answer:
            raise CallFailed(f"0-length response with status code: {status} and content type: application/json")
        return answer

    def _is_own(self, endpoint: Endpoint) -> bool:
        return self._loopback is not None and endpoint.service == _OWN_SERVICE

    async def _in_process(self, endpoint: Endpoint, url: str, body: bytes) -> tuple[int, bytes]:
        assert self._loopback is not None
        parts = urlsplit(url)
        query = {"timeout": [parts.query.removeprefix("timeout=")]} if parts.query else {}
        request = Request(
            method="POST",
            path=parts.path,
            query=query,
            headers={"content-type": "application/json", "accept": "application/json"},
            body=body,
            peer=Peer(user=self._loopback_user, groups=("system:masters",)),
        )
        response = await self._loopback(request)
        if response.content is not None:
            return response.status, encode(response.content)
        pieces = [response.body, *response.slices]
        if response.stream is not None:
            async for piece in response.stream:
                pieces.append(piece)
                if sum(map(len, pieces)) > MAX_RESPONSE_BYTES:
                    raise CallFailed(f'Post "{url}": the response is longer than {MAX_RESPONSE_BYTES} bytes')
        return response.status, b"".join(pieces)

    async def _exchange(self, endpoint: Endpoint, url: str, body: bytes) -> tuple[int, bytes]:
        """One request, and again while the server asks for patience. Raises ``CallFailed``; cancelled by the caller's timeout."""
        for _ in range(MAX_RETRIES):
            status, answer, retry_after = await self._attempt(endpoint, url, body)
            if not ((status == 429 or status >= 500) and retry_after.isascii() and retry_after.isdigit()):
                break
            await self._clock.sleep(float(retry_after))
        return status, answer

    async def _attempt(self, endpoint: Endpoint, url: str, body: bytes) -> tuple[int, bytes, str]:
        import aiohttp  # a server without webhooks does without

        try:
            try:
                return await self._request(endpoint, url, body)
            except aiohttp.ServerDisconnectedError:
                return await self._request(endpoint, url, body)  # it had closed a connection that was kept
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = getattr(error, "os_error", None)
            why = str(cause) if isinstance(cause, _NoAddress) else network_failure(error, _authority(url))
            raise CallFailed(f'Post "{url}": {why}') from error

    async def _request(self, endpoint: Endpoint, url: str, body: bytes) -> tuple[int, bytes, str]:
        from yarl import URL

        session = self._session(for_services=endpoint.service is not None)
        headers: Mapping[str, str] = {
            "Content-Type": "application/json",
            "Accept": "application/json, */*",
            "User-Agent": USER_AGENT,
            **endpoint.headers,
        }
        async with session.post(
            URL(url, encoded=True),
            data=body,
            headers=headers,
            ssl=self._context(endpoint),
            server_hostname=endpoint.server_name or None,
            allow_redirects=False,
            skip_auto_headers=("Accept-Encoding",),
        ) as answer:
            limit = max(MAX_RESPONSE_BYTES, 2 * len(body))
            pieces: list[bytes] = []
            size = 0
            async for piece in answer.content.iter_any():
                size += len(piece)
                if size > limit:
                    answer.close()
                    raise CallFailed(f'Post "{url}": the response is longer than {limit} bytes')
                pieces.append(piece)
            return answer.status, b"".join(pieces), answer.headers.get("Retry-After", "")

    def _context(self, endpoint: Endpoint) -> ssl.SSLContext:
        if endpoint.tls is not None:
            return endpoint.tls
        key = (endpoint.ca_bundle, endpoint.client_certificate_pem)
        context = self._contexts.pop(key, None)
        if context is None:
            context = verifying_context(endpoint.ca_bundle)
            if endpoint.client_certificate_pem:
                load_pair(context, endpoint.client_certificate_pem, endpoint.client_key_pem)
        self._contexts[key] = context
        if len(self._contexts) > CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def _session(self, *, for_services: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(for_services)
        if session is None:
            import aiohttp

            options = {"resolver": _resolver(self._services)} if for_services else {}
            session = self._sessions[for_services] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S, use_dns_cache=False, **options),  # type: ignore[arg-type]
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return session


def verifying_context(ca_bundle: bytes) -> ssl.SSLContext:
    """As Go verifies: any certificate of the bundle is trusted, names are those of subjectAltName. Raises ``ssl.SSLError``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["http/1.1"])
    if ca_bundle:
        context.load_verify_locations(cadata=ca_bundle.decode("latin-1"))
    else:
        context.load_default_certs()
    return context


def load_pair(context: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> None:
    """Let ``context`` prove itself. Raises ``ssl.SSLError``."""
    with tempfile.NamedTemporaryFile() as pair:  # the ssl module reads certificates from files only
        pair.write(certificate_pem + b"\n" + key_pem)
        pair.flush()
        context.load_cert_chain(pair.name)


class _NoAddress(OSError):
    """A Service that cannot be resolved, in the shape that the HTTP library lets through."""


def _resolver(services: ServiceResolver) -> aiohttp.abc.AbstractResolver:
    from aiohttp.abc import AbstractResolver

    class ServiceNames(AbstractResolver):
        """``<service>.<namespace>.svc`` and a Service's port -> an address behind it, for each new connection."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            name, namespace, _ = host.split(".", 2)
            try:
                address = services.resolve(ServiceReference(namespace=namespace, name=name, port=port))
            except Unresolvable as error:
                raise _NoAddress(str(error)) from error
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            return [
                {
                    "hostname": host,
                    "host": str(place[0]),
                    "port": int(place[1]),
                    "family": kind,
                    "proto": protocol,
                    "flags": socket.AI_NUMERICHOST,
                }
                for kind, _, protocol, _, place in found
            ]

        async def close(self) -> None:
            return None

    return ServiceNames()


def _with_path(url: str) -> str:
    return url if urlsplit(url).path else f"{url}/"


def _authority(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc if parts.port else f"{parts.netloc}:443"
