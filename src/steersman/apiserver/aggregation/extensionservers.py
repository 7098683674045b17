"""Requests to extension API servers: under the client's identity, proven by this server's front-proxy certificate.

The extension server learns who asks from ``X-Remote-*`` headers that only this server sets, and believes them because of the
certificate. It cannot lead clients elsewhere: its redirects are refused, and nothing here follows one.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from steersman.apiserver import respond
from steersman.apiserver.aggregation.apiservice import APIService
from steersman.apiserver.authn.api import User
from steersman.apiserver.call import Call
from steersman.apiserver.proxying.backend import (
    BackendError,
    Backends,
    DialError,
    Fetched,
    Target,
    forwarded_headers,
    is_upgrade,
    upgrade_headers,
)
from steersman.apiserver.proxying.rewriting import CORS_HEADERS
from steersman.apiserver.services.addresses import ServiceAddresses
from steersman.apiserver.webhooks.api import Unresolvable
from steersman.meta.wire import Response

DISCOVERY_TIMEOUT_S = 5.0
DOCUMENT_LIMIT_BYTES = 128 * 1024 * 1024
"""Of a discovery or OpenAPI document."""
UNAVAILABLE = "service unavailable"
REDIRECTED = "the backend attempted to redirect this request, which is not permitted"
_HEADER_CHARACTERS = "!#$&'*+-.^_`|~"
"""What may stand in a header's name as it is, beyond letters and digits; ``%`` begins an escape."""


class ClientCertificate:
    """``--proxy-client-cert-file`` and ``-key-file``, read again when the files change."""

    def __init__(self, certificate_file: str, key_file: str) -> None:
        self._files = (certificate_file, key_file) if certificate_file else ()

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """Another value whenever a file may be another. Raises ``OSError``."""
        found = [os.stat(file) for file in self._files]
        return tuple((entry.st_ino, entry.st_mtime_ns, entry.st_size) for entry in found)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises ``OSError`` and ``ssl.SSLError``."""
        if self._files:
            context.load_cert_chain(*self._files)


class ExtensionServers:
    """The way to the servers behind APIServices."""

    def __init__(
        self,
        addresses: ServiceAddresses,
        backends: Backends,
        *,
        certificate: ClientCertificate,
        reject_redirects: bool = True,
    ) -> None:
        self._addresses = addresses
        self._backends = backends
        self._certificate = certificate
        self._reject_redirects = reject_redirects
        self._contexts: dict[tuple[bytes, bool], ssl.SSLContext] = {}
        self._certificate_state: object = None

    async def proxy(self, call: Call, service: APIService) -> Response:
        """Pass a client's request on. Failures are plain text, as upstream's are."""
        if not service.is_available:
            return respond.text(call, f"{UNAVAILABLE}\n", status=503)
        path = call.info.path
        if _has_dots(path):
            return respond.text(call, "404 page not found\n", status=404)
        query = urlencode([(name, value) for name in sorted(call.request.query) for value in call.request.query[name]])
        try:
            target = self.target(service, path, query)
        except Unresolvable:
            return respond.text(call, f"{UNAVAILABLE}\n", status=503)
        except (OSError, ssl.SSLError) as error:
            return respond.text(call, f"{error}\n", status=500)
        upgrades = is_upgrade(call)
        headers = [
            *(upgrade_headers(call) if upgrades else forwarded_headers(call)).items(),
            ("audit-id", call.audit_id),
            *identity(call.user),
        ]
        try:
            if upgrades:
                return await self._backends.upgrade(call, target, headers=headers)
            forwarded = {
                "x-forwarded-uri": target.url_path.partition("?")[0],
                "x-forwarded-host": target.authority,
                "x-forwarded-proto": "https",
            }
            headers = [*((name, value) for name, value in headers if name not in forwarded), *forwarded.items()]
            return self._checked(call, await self._request(call, target, headers))
        except (BackendError, DialError) as error:
            return respond.text(call, f"{error.message}\n", status=503)

    async def _request(self, call: Call, target: Target, headers: list[tuple[str, str]]) -> Response:
        if call.info.is_resource or call.info.path.strip("/").count("/") != 2:
            return await self._backends.request(call, target, headers=headers)
        try:
            async with asyncio.timeout(DISCOVERY_TIMEOUT_S):
                return await self._backends.request(call, target, headers=headers)
        except TimeoutError as error:
            raise BackendError("context deadline exceeded") from error

    def _checked(self, call: Call, answer: Response) -> Response:
        if self._reject_redirects and 300 <= answer.status < 400 and answer.headers.get("location"):
            return Response(
                status=502, headers=respond.headers(call, "text/plain; charset=utf-8"), body=REDIRECTED.encode()
            )
        own = respond.headers(call, "")
        del own["content-type"]
        kept = {name: value for name, value in answer.headers.items() if name not in CORS_HEADERS}
        return Response(
            status=answer.status,
            headers={**own, **kept},
            repeated_headers=answer.repeated_headers,
            stream=answer.stream,
        )

    async def fetch(
        self,
        service: APIService,
        path: str,
        *,
        user: User,
        headers: Mapping[str, str],
        timeout_s: float = DISCOVERY_TIMEOUT_S,
    ) -> Fetched:
        """GET a document as ``user``, whether the APIService is available or not. Raises ``BackendError``."""
        try:
            target = self.target(service, path, "")
        except (Unresolvable, OSError, ssl.SSLError) as error:
            raise BackendError(str(error)) from error
        return await self.fetch_from(target, user=user, headers=headers, timeout_s=timeout_s)

    async def fetch_from(
        self, target: Target, *, user: User, headers: Mapping[str, str], timeout_s: float = DISCOVERY_TIMEOUT_S
    ) -> Fetched:
        sent = [*headers.items(), *identity(user)]
        return await self._backends.fetch(target, headers=sent, timeout_s=timeout_s, limit_bytes=DOCUMENT_LIMIT_BYTES)

    def target(self, service: APIService, path: str, query: str) -> Target:
        """Raises ``Unresolvable``, ``OSError`` and ``ssl.SSLError``."""
        reference = service.service
        if reference is None:
            raise Unresolvable(f"{service.name} is served by this server")
        address = self._addresses.resolve(reference)
        return Target(
            scheme="https",
            host=address.host,
            port=address.port,
            path=path,
            query=query,
            tls=self._context(service),
            server_name=reference.host,
        )

    def _context(self, service: APIService) -> ssl.SSLContext:
        state = self._certificate.state()
        if state != self._certificate_state:
            self._contexts.clear()
            self._certificate_state = state
        key = (service.ca_bundle, service.insecure)
        context = self._contexts.get(key)
        if context is None:
            context = ssl.create_default_context(cadata=service.ca_bundle.decode("ascii", "replace") or None)
            context.set_alpn_protocols(["http/1.1"])
            if service.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._certificate.load_into(context)
            self._contexts[key] = context
        return context


def identity(user: User) -> list[tuple[str, str]]:
    """The headers by which an extension server learns who asks."""
    headers = [("x-remote-user", user.name)]
    if user.uid:
        headers.append(("x-remote-uid", user.uid))
    headers += [("x-remote-group", group) for group in user.groups]
    for key, values in user.extra.items():
        name = f"x-remote-extra-{quote(key, safe=_HEADER_CHARACTERS)}"
        headers += [(name, value) for value in values]
    return [(name, _one_line(value)) for name, value in headers]


def _one_line(value: str) -> str:
    """No value can end its header and begin another."""
    return "".join(character if character >= " " and character != "\x7f" else " " for character in value)


def _has_dots(path: str) -> bool:
    """What one server takes for a name another takes for a way up."""
    return any(segment in (".", "..") for segment in path.split("/"))
