"""What a webhook call needs and how it fails."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from steersman.meta.objects import Object

HTTPS_PORT = 443


class ServiceReference(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    port: int = HTTPS_PORT

    @property
    def host(self) -> str:
        """The name that its certificate has to be for."""
        return f"{self.name}.{self.namespace}.svc"


class Address(Struct, frozen=True):
    """Where to connect to."""

    host: str
    port: int


class Unresolvable(Exception):
    """There is nothing behind a Service now; the text says why, in upstream's words."""


class ServiceResolver(Protocol):
    """Finds an address for a Service."""

    def resolve(self, service: ServiceReference) -> Address:
        """Raises ``Unresolvable``."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where one webhook is and how it is known to be the right one."""

    url: str
    """``https://host:port/path``, without a query. For a Service the host is its name."""
    service: ServiceReference | None = None
    """None: the URL's host is resolved as any other."""
    ca_bundle: bytes = b""
    """PEM of what its certificate has to lead to; empty: the system's authorities."""
    tls: ssl.SSLContext | None = None
    """Ready-made, instead of ``ca_bundle`` and the client's certificate."""
    server_name: str = ""
    """That the certificate has to be for; empty: the URL's host."""
    client_certificate_pem: bytes = b""
    """By which this server proves itself."""
    client_key_pem: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request, e.g. ``authorization``."""


class InvalidEndpoint(ValueError):
    """A client configuration that names no webhook."""


class CallFailed(Exception):
    """A webhook did not answer, or not as it should; ``str()`` is client-go's text."""

    def __init__(self, why: str, *, code: int = 503, status: Object | None = None) -> None:
        super().__init__(why)
        self.code = code
        """Of the Status that upstream makes of it, as metrics show it."""
        self.status = status
        """The Status that the webhook's server answered with, if it did."""


def endpoint_of(client: Mapping[str, Any]) -> Endpoint:
    """The endpoint of a ``clientConfig`` of admissionregistration.k8s.io or apiextensions.k8s.io. Raises ``InvalidEndpoint``."""
    bundle = base64.b64decode(client.get("caBundle") or "").strip()
    service = client.get("service")
    if service:
        port = service.get("port")
        reference = ServiceReference(
            namespace=service["namespace"], name=service["name"], port=HTTPS_PORT if port is None else port
        )
        path = service.get("path") or ""
        separator = "" if not path or path.startswith("/") else "/"
        url = f"https://{reference.host}:{reference.port}{separator}{path}"
        return Endpoint(url=url, service=reference, ca_bundle=bundle)
    if not client.get("url"):
        raise InvalidEndpoint("webhook configuration must have either service or URL")
    return Endpoint(url=client["url"], ca_bundle=bundle)
