"""CSR signing: issues certificates for approved requests to Kubernetes' own signers.

watches: CertificateSigningRequests.
owns: status.certificate of requests to the kubernetes.io signers.
writes: CertificateSigningRequests/status.
invariants: nothing is signed that is not approved, or denied, or failed; each signer signs only what it is for; a certificate never
outlives its CA.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers import signingrequests
from steersman.controllers.config import KeyPair
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import times
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS, Resource

if TYPE_CHECKING:
    from steersman.controllers.certificates import Authority, ParsedRequest

NAME = "certificatesigningrequest-signing-controller"
REQUEST_WATCH = Watch(resource=CERTIFICATESIGNINGREQUESTS)
WATCHES = (REQUEST_WATCH,)


class Plan(Struct, frozen=True, kw_only=True):
    """Sign, or say why never; neither where the request is not for us or not yet."""

    sign: ParsedRequest | None = None
    failure: str = ""
    life_s: float = 0.0


def plan(request: Object, longest_s: float) -> Plan:
    spec, status = request["spec"], request.get("status") or {}
    if spec["signerName"] not in signingrequests.SIGNERS or status.get("certificate"):
        return Plan()
    if not signingrequests.is_approved(request) or signingrequests.has_failed(request):
        return Plan()
    from steersman.controllers import certificates

    try:
        parsed = certificates.parse(request)
        certificates.check(spec["signerName"], parsed, spec.get("usages") or ())
    except ValueError as error:
        return Plan(failure=str(error))
    wanted_s = spec.get("expirationSeconds")
    life_s = longest_s if wanted_s is None else min(max(float(wanted_s), signingrequests.SHORTEST_S), longest_s)
    return Plan(sign=parsed, life_s=life_s)


class CSRSigningController:
    """Reconciles one CertificateSigningRequest by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._requests = context.informer(REQUEST_WATCH)
        config = context.config
        pairs = {name: config.signers.get(name, config.cluster_signing) for name in signingrequests.SIGNERS}
        self._authorities = _authorities({name: pair for name, pair in pairs.items() if pair is not None})

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (change.key,) if change.new is not None else ()

    async def reconcile(self, key: str) -> Result:
        request = self._requests.get(key)
        if request is None:
            self._context.expectations.forget(key)
            return DONE
        authority = self._authorities.get(request["spec"]["signerName"])
        todo = plan(request, self._context.config.cluster_signing_duration_s)
        if authority is None or (todo.sign is None and not todo.failure):
            return DONE
        status, now_s = {**(request.get("status") or {})}, self._context.clock.now()
        if todo.sign is not None:
            issued = authority.sign(todo.sign, request["spec"].get("usages") or (), todo.life_s, now_s)
            status["certificate"] = base64.b64encode(issued).decode()
        else:
            now = times.format_time(now_s)
            entry = {
                "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": todo.failure,
                "lastUpdateTime": now, "lastTransitionTime": now,
            }  # fmt: skip
            status["conditions"] = [*(status.get("conditions") or []), entry]
        updated = await self._context.client.update(
            CERTIFICATESIGNINGREQUESTS, {**request, "status": status}, subresource="status"
        )
        self._context.expectations.wrote(key, self._requests, updated)
        return DONE


def _authorities(pairs: Mapping[str, KeyPair]) -> dict[str, Authority]:
    if not pairs:
        return {}
    from steersman.controllers.certificates import Authority

    return {name: Authority(pair) for name, pair in pairs.items()}


def _conforms(context: Context) -> Controller:
    return CSRSigningController(context)
