"""From a bootstrap kubeconfig to one of the node's own: the first client certificate ("TLS bootstrapping")."""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from steersman.client.kubeconfig import KubeConfig, KubeConfigError, load

log = logging.getLogger(__name__)


def is_usable(kubeconfig: Path, *, now_s: float) -> bool:
    """It is there, and its client certificate has not run out."""
    if not kubeconfig.exists():
        return False
    try:
        config = load(kubeconfig)
        certificates = x509.load_pem_x509_certificates(config.client_certificate_pem)
    except (KubeConfigError, ValueError) as error:
        log.warning("kubeconfig %s is not used: %s", kubeconfig, error)
        return False
    expired = [item for item in certificates if item.not_valid_after_utc.timestamp() < now_s]
    if expired:
        log.warning("part of the client certificate in %s has expired", kubeconfig)
    return bool(certificates) and not expired


def write_kubeconfig(path: Path, bootstrap: KubeConfig, pem: Path) -> None:
    """For the same server as ``bootstrap``, with certificate and key from ``pem``. Raises ``OSError``."""
    cluster: dict[str, Any] = {"server": bootstrap.server}
    if bootstrap.ca_pem:
        cluster["certificate-authority-data"] = base64.b64encode(bootstrap.ca_pem).decode()
    if bootstrap.insecure_skip_tls_verify:
        cluster["insecure-skip-tls-verify"] = True
    if bootstrap.tls_server_name:
        cluster["tls-server-name"] = bootstrap.tls_server_name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "users": [{"name": "default-auth", "user": {"client-certificate": str(pem), "client-key": str(pem)}}],
        "contexts": [
            {
                "name": "default-context",
                "context": {"cluster": "default-cluster", "user": "default-auth", "namespace": "default"},
            }
        ],
        "current-context": "default-context",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(document, file, sort_keys=False)
    fresh.replace(path)
