"""CertificateSigningRequests by what the API says of them, without a look into the request (``certificates.py``).

Source: "Certificates and Certificate Signing Requests" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.objects import Object

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"
SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY_UNKNOWN)

SHORTEST_S = 600.0
"""The least that ``spec.expirationSeconds`` may ask for."""


def is_approved(request: Mapping[str, Any]) -> bool:
    """Approved and not denied."""
    return _has(request, "Approved") and not _has(request, "Denied")


def is_decided(request: Mapping[str, Any]) -> bool:
    return _has(request, "Approved") or _has(request, "Denied")


def has_failed(request: Mapping[str, Any]) -> bool:
    return _has(request, "Failed")


def _has(request: Mapping[str, Any], kind: str) -> bool:
    entries: Sequence[Object] = (request.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == kind and entry.get("status", "True") == "True" for entry in entries)
