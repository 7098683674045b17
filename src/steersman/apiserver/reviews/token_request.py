"""TokenRequest (``serviceaccounts/token``): a token for a service account, bound to a pod, node or secret where asked.

Source: "TokenRequest API" in the Kubernetes documentation and the API reference of authentication.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.authn.claims import EXTENDED_EXPIRATION_S, KUBELET_EXPIRATION_S
from steersman.meta import objects, times
from steersman.meta.errors import Conflict, FieldError, Invalid, NotFound, invalid
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource

if TYPE_CHECKING:
    from steersman.apiserver.authn.tokens import TokenIssuer

DEFAULT_EXPIRATION_S = 3600
LEAST_EXPIRATION_S = 600
MOST_EXPIRATION_S = 1 << 32
_BINDABLE: dict[tuple[str, str], tuple[str, Resource]] = {
    ("v1", "Pod"): ("pod", PODS),
    ("v1", "Secret"): ("secret", SECRETS),
    ("v1", "Node"): ("node", NODES),
}


class TokenRequests:
    """Answers TokenRequests with tokens of ``issuer``."""

    def __init__(self, issuer: TokenIssuer, reader: Reader, *, audiences: Sequence[str], extend: bool = True) -> None:
        self._issuer = issuer
        self._reader = reader
        self._audiences = tuple(audiences)
        self._extend = extend

    def check(self, request: Object) -> None:
        """Raises ``Invalid`` where the spec is wrong."""
        spec = request.get("spec") or {}
        errors: list[FieldError] = []
        asked = spec.get("expirationSeconds")
        seconds = DEFAULT_EXPIRATION_S if asked is None else asked
        if seconds < LEAST_EXPIRATION_S:
            errors.append(invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
        if seconds > MOST_EXPIRATION_S:
            errors.append(
                invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
            )
        reference = spec.get("boundObjectRef")
        if reference and (reference.get("apiVersion"), reference.get("kind")) not in _BINDABLE:
            what = f"cannot bind token to object of type {reference.get('apiVersion')}/{reference.get('kind')}"
            errors.append(invalid("spec.boundObjectRef.kind", reference.get("kind"), what))
        if errors:
            raise Invalid.of("TokenRequest", "authentication.k8s.io", "", errors)

    def answer(self, request: Object, *, namespace: str, name: str, now_s: float) -> Object:
        """``request`` with the token in its status. Raises ``NotFound``, ``Conflict`` and ``Invalid``."""
        self.check(request)
        account = self._reader.get(SERVICEACCOUNTS, namespace, name)
        if account is None:
            raise NotFound.of(SERVICEACCOUNTS, name)
        uid = objects.uid(request)
        if uid and uid != objects.uid(account):
            raise Conflict.of(
                SERVICEACCOUNTS,
                name,
                f"the UID in the token request ({uid}) does not match the UID of the service account",
            )
        spec = request.get("spec") or {}
        audiences = spec.get("audiences") or [*self._audiences]
        wanted_s = int(spec.get("expirationSeconds") or DEFAULT_EXPIRATION_S)
        bound = self._bound(spec.get("boundObjectRef"), namespace)
        is_extended = self._extend and wanted_s == KUBELET_EXPIRATION_S and "pod" in bound
        is_extended = is_extended and set(audiences) <= set(self._audiences)
        token = self._issuer.issue(
            namespace=namespace,
            name=name,
            uid=objects.uid(account),
            audiences=audiences,
            expiration_s=EXTENDED_EXPIRATION_S if is_extended else wanted_s,
            warn_after_s=wanted_s if is_extended else None,
            bound=bound,
        )
        status = {"token": token, "expirationTimestamp": times.format_time(now_s + wanted_s)}
        answered = {**spec, "audiences": audiences, "expirationSeconds": wanted_s}
        metadata = {
            "name": name,
            "namespace": namespace,
            **(request.get("metadata") or {}),
            "creationTimestamp": times.format_time(now_s),
        }
        return {**request, "metadata": metadata, "spec": answered, "status": status}

    def _bound(self, reference: Object | None, namespace: str) -> dict[str, tuple[str, str]]:
        if not reference:
            return {}
        kind, resource = _BINDABLE[reference["apiVersion"], reference["kind"]]
        name = reference.get("name") or ""
        found = self._reader.get(resource, namespace if resource.namespaced else "", name)
        if found is None:
            raise NotFound.of(resource, name)
        uid = reference.get("uid") or ""
        if uid and uid != objects.uid(found):
            raise Conflict.of(
                resource, name, f"the UID in the bound object reference ({uid}) does not match the UID in record. The object "
                "might have been deleted and then recreated"
            )  # fmt: skip
        bound = {kind: (name, objects.uid(found))}
        node_name = (found.get("spec") or {}).get("nodeName") if kind == "pod" else ""
        if node_name:
            node = self._reader.get(NODES, "", node_name)
            bound["node"] = (node_name, objects.uid(node) if node else "")
        return bound
