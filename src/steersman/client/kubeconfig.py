"""Kubeconfig files: which server, which certificates, which identity.

Source: the v1 Config type of kubectl's documentation. Credential plugins (``exec``, ``auth-provider``) and proxies are
refused by name rather than ignored.
"""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeConfigError(ValueError):
    """The kubeconfig cannot be used; the message names the file and what is wrong with it."""


class KubeConfig(Struct, frozen=True, kw_only=True):
    """One context of a kubeconfig, its files read."""

    server: str
    ca_pem: bytes = b""
    client_certificate_pem: bytes = b""
    client_key_pem: bytes = b""
    token: str = ""
    token_file: str = ""
    """Read again as it is rotated; wins over ``token``."""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    namespace: str = "default"
    impersonate: str = ""
    impersonate_groups: Sequence[str] = ()

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings of this context; None for a plain ``http`` server."""
        if not self.server.startswith("https:"):
            return None
        # Without data of its own it reads every authority that the system knows: 30 ms and a megabyte.
        context = ssl.create_default_context(cadata=self.ca_pem.decode() or None)
        if self.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate_pem:
            # The ssl module reads certificates from files only.
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(self.client_certificate_pem + b"\n" + self.client_key_pem)
                pair.flush()
                context.load_cert_chain(pair.name)
        return context


def load(path: str | Path, context: str = "") -> KubeConfig:
    """The named context of the file, else its current one. Raises ``KubeConfigError``."""
    file = Path(path)
    return parse(read_document(file), context=context, origin=file)


def read_document(file: Path) -> Mapping[str, Any]:
    """A kubeconfig as it is written. Raises ``KubeConfigError``."""
    import yaml

    try:
        document = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise KubeConfigError(f"cannot read kubeconfig {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise KubeConfigError(f"{file} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise KubeConfigError(f"{file} is not a kubeconfig")
    return document


def parse(document: Mapping[str, Any], *, context: str = "", origin: Path) -> KubeConfig:
    """One context of a decoded kubeconfig; relative paths are taken from ``origin``'s directory."""
    wanted = context or document.get("current-context") or ""
    chosen = _entry(document, "contexts", "context", wanted, origin)
    cluster = _entry(document, "clusters", "cluster", chosen.get("cluster") or "", origin)
    user = _entry(document, "users", "user", chosen["user"], origin) if chosen.get("user") else {}
    for section, unsupported in (
        (user, ("exec", "auth-provider", "username", "password", "as-uid", "as-user-extra")),
        (cluster, ("proxy-url",)),
    ):
        for field in unsupported:
            if section.get(field):
                raise KubeConfigError(f"{origin}: {field} is not supported")
    if not cluster.get("server"):
        raise KubeConfigError(f"{origin}: cluster of context {wanted!r} has no server")
    token_file = user.get("tokenFile") or ""
    certificate, key = field_data(user, "client-certificate", origin), field_data(user, "client-key", origin)
    if bool(certificate) != bool(key):
        raise KubeConfigError(f"{origin}: client-certificate and client-key of context {wanted!r} need each other")
    return KubeConfig(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=field_data(cluster, "certificate-authority", origin),
        client_certificate_pem=certificate,
        client_key_pem=key,
        token=user.get("token") or "",
        token_file=str(origin.parent / token_file) if token_file else "",
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name") or "",
        namespace=chosen.get("namespace") or "default",
        impersonate=user.get("as") or "",
        impersonate_groups=tuple(user.get("as-groups") or ()),
    )


def in_cluster(environment: Mapping[str, str]) -> KubeConfig:
    """The identity that a pod finds in its service account volume. Raises ``KubeConfigError`` outside of a pod."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubeConfigError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    address = f"[{host}]" if ":" in host else host
    try:
        return KubeConfig(
            server=f"https://{address}:{port}",
            ca_pem=(_SERVICE_ACCOUNT / "ca.crt").read_bytes(),
            token_file=str(_SERVICE_ACCOUNT / "token"),
            namespace=(_SERVICE_ACCOUNT / "namespace").read_text().strip(),
        )
    except OSError as error:
        raise KubeConfigError(f"the pod has no service account volume: {error}") from error


def _entry(document: Mapping[str, Any], section: str, field: str, name: str, origin: Path) -> Mapping[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            found: Mapping[str, Any] = entry.get(field) or {}
            return found
    raise KubeConfigError(f"{origin}: no {field} named {name!r}")


def field_data(section: Mapping[str, Any], field: str, origin: Path) -> bytes:
    """``<field>-data`` of a cluster or a user, or the file that ``<field>`` names. Raises ``KubeConfigError``."""
    inline = section.get(f"{field}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except ValueError as error:
            raise KubeConfigError(f"{origin}: {field}-data is not base64: {error}") from error
    path = section.get(field)
    if not path:
        return b""
    try:
        return (origin.parent / str(path)).read_bytes()
    except OSError as error:
        raise KubeConfigError(f"{origin}: {field}: {error}") from error
