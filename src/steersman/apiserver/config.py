"""Configuration of one API server, as its command line or the composition root gives it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from steersman.apiserver.audit.configuration import AuditConfig
from steersman.apiserver.authn.api import User
from steersman.apiserver.call import STANDARD_IDENTITY_HEADERS, IdentityHeaders


class ServiceNetwork(Struct, frozen=True, kw_only=True):
    """Which addresses and ports Services get."""

    cidrs: Sequence[str] = ("10.96.0.0/16",)
    """``--service-cluster-ip-range``: one range, or two of different families for dual-stack."""
    node_ports: tuple[int, int] = (30000, 32767)
    """``--service-node-port-range``, both ends included."""


class KubeletAccess(Struct, frozen=True, kw_only=True):
    """How the API server reaches kubelets (exec, logs, proxy)."""

    client_certificate_file: str = ""
    client_key_file: str = ""
    certificate_authority_file: str = ""
    """Empty: the kubelet's certificate is not verified, as upstream does without ``--kubelet-certificate-authority``."""
    preferred_address_types: Sequence[str] = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
    timeout_s: float = 5.0
    ssl_context: ssl.SSLContext | None = None
    """Ready-made, instead of the files."""


class RequestHeaders(Struct, frozen=True, kw_only=True):
    """``--requestheader-*``: in which headers a front proxy says who its user is."""

    allowed_names: Sequence[str] = ()
    """Common names of proxies that are believed; empty: any."""
    username_headers: Sequence[str] = ("X-Remote-User",)
    uid_headers: Sequence[str] = ("X-Remote-Uid",)
    group_headers: Sequence[str] = ("X-Remote-Group",)
    extra_headers_prefixes: Sequence[str] = ("X-Remote-Extra-",)


class Listener(Struct, frozen=True, kw_only=True):
    """An address that is served over TLS."""

    bind_address: str = "0.0.0.0"
    port: int = 6443
    certificate_file: str
    key_file: str


class APIServerConfig(Struct, frozen=True, kw_only=True):
    """Everything an API server can be told. The defaults make a server for tests."""

    advertise_address: str = "192.0.2.1"
    """Address in the ``kubernetes`` Service's endpoints: where pods reach this server."""
    secure_port: int = 6443
    services: ServiceNetwork = field(default_factory=ServiceNetwork)
    kubelets: KubeletAccess = field(default_factory=KubeletAccess)
    anonymous_auth: bool = True
    allow_privileged: bool = True
    disabled_admission_plugins: Sequence[str] = ()
    enabled_admission_plugins: Sequence[str] = ()
    admission_configuration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``--admission-control-config-file``: the configuration of plugins, by their names."""
    default_not_ready_toleration_s: int = 300
    default_unreachable_toleration_s: int = 300
    """How long pods stay on a node that is not ready or unreachable, where they do not say."""
    authorization_modes: Sequence[str] = ("AlwaysAllow",)
    request_timeout_s: float = 60.0
    min_request_timeout_s: int = 1800
    """Watches without ``timeoutSeconds`` end after once to twice this time."""
    watch_bookmark_interval_s: float = 60.0
    max_body_bytes: int = 3 * 1024 * 1024
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    """Reads and writes in work at once. With priority and fairness the sum is what the priority levels share."""
    enable_priority_and_fairness: bool = True
    reconcile_endpoints: bool = True
    """Keep the ``kubernetes`` Service's endpoints."""
    service_account_issuer: str = "https://kubernetes.default.svc.cluster.local"
    api_audiences: Sequence[str] = ()
    service_account_keys: Sequence[bytes] = ()
    """PEM public or private keys that verify service account tokens."""
    service_account_signing_key: bytes = b""
    """PEM private key that signs them; empty: no tokens are issued."""
    client_ca: bytes = b""
    """PEM certificates of the authority behind client certificates."""
    static_tokens: Mapping[str, User] = field(default_factory=dict)
    """``--token-auth-file``: the users of tokens."""
    enable_bootstrap_tokens: bool = False
    """``--enable-bootstrap-token-auth``: Secrets in kube-system make their bearers known."""
    request_header: RequestHeaders = field(default_factory=RequestHeaders)
    request_header_client_ca: bytes = b""
    front_proxy_certificate_file: str = ""
    """``--proxy-client-cert-file``: how this server proves itself to aggregated API servers."""
    front_proxy_key_file: str = ""
    aggregator_routing: bool = True
    """``--enable-aggregator-routing``: requests go to an endpoint of the extension server rather than to its cluster IP."""
    reject_forwarding_redirects: bool = True
    """``--aggregator-reject-forwarding-redirect``: an extension server may not send clients elsewhere."""
    audit: AuditConfig = field(default_factory=AuditConfig)
    """``--audit-*``."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """The command line, for ``/flagz``."""
    listener: Listener | None = None
    """Where ``run`` serves; None: nowhere but in this process."""
    shutdown_delay_s: float = 0.0
    """How long /readyz fails before the server stops accepting connections."""
    shutdown_linger_s: float = 0.0
    """How long connections without a request are kept open after that."""
    shutdown_grace_s: float = 20.0
    """How long accepted requests may then take."""


def identity_headers(headers: RequestHeaders) -> IdentityHeaders:
    """What of a client's request says who somebody is: the usual names, and those of the configuration."""
    standard = STANDARD_IDENTITY_HEADERS
    names = (*headers.username_headers, *headers.uid_headers, *headers.group_headers)
    return IdentityHeaders(
        names=standard.names | {name.lower() for name in names},
        prefixes=(*standard.prefixes, *(prefix.lower() for prefix in headers.extra_headers_prefixes)),
    )


def extension_authentication(config: APIServerConfig) -> Mapping[str, str]:
    """What extension API servers are told, so that they authenticate clients as this server does."""
    data: dict[str, str] = {}
    if config.client_ca:
        data["client-ca-file"] = config.client_ca.decode()
    if config.request_header_client_ca:
        data["requestheader-client-ca-file"] = config.request_header_client_ca.decode()
        headers = config.request_header
        rows = (
            ("allowed-names", headers.allowed_names),
            ("extra-headers-prefix", headers.extra_headers_prefixes),
            ("group-headers", headers.group_headers),
            ("uid-headers", headers.uid_headers),
            ("username-headers", headers.username_headers),
        )
        for name, values in rows:
            data[f"requestheader-{name}"] = msgspec.json.encode(list(values)).decode()
    return data
