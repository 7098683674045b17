"""CSR approving: kubelets' client certificates, for whom RBAC allows it.

watches: CertificateSigningRequests.
owns: nothing.
writes: CertificateSigningRequests/approval; SubjectAccessReviews (create).
invariants: only requests that are exactly a kubelet's client certificate are approved; none is ever denied; the API server's
authorization decides who may have one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers import signingrequests
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch, reconcile_log
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS, SUBJECTACCESSREVIEWS, Resource

NAME = "certificatesigningrequest-approving-controller"
REQUEST_WATCH = Watch(resource=CERTIFICATESIGNINGREQUESTS)
WATCHES = (REQUEST_WATCH,)

_MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}
log = reconcile_log(__name__)


class Plan(Struct, frozen=True, kw_only=True):
    """Subresources of CertificateSigningRequests, one of which the requestor must be allowed to create."""

    permissions: Sequence[str] = ()


def plan(request: Object) -> Plan:
    status, spec = request.get("status") or {}, request["spec"]
    if status.get("certificate") or signingrequests.is_decided(request):
        return Plan()
    if spec["signerName"] != signingrequests.KUBELET_CLIENT:
        return Plan()
    from steersman.controllers import certificates

    try:
        parsed = certificates.parse(request)
        certificates.check_kubelet_client(parsed, spec.get("usages") or ())
    except ValueError as error:
        log.info("not a kubelet's request: %s", error)
        return Plan()
    own = spec.get("username") == parsed.common_name
    return Plan(permissions=("selfnodeclient", "nodeclient") if own else ("nodeclient",))


class CSRApprovingController:
    """Reconciles one CertificateSigningRequest by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._requests = context.informer(REQUEST_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (change.key,) if change.new is not None else ()

    async def reconcile(self, key: str) -> Result:
        request = self._requests.get(key)
        if request is None:
            self._context.expectations.forget(key)
            return DONE
        for permission in plan(request).permissions:
            if await self._may(request, permission):
                await self._approve(key, request, _MESSAGES[permission])
                break
        return DONE

    async def _may(self, request: Object, permission: str) -> bool:
        spec = request["spec"]
        review: Object = {
            "apiVersion": SUBJECTACCESSREVIEWS.api_version,
            "kind": SUBJECTACCESSREVIEWS.kind,
            "spec": {
                "user": spec.get("username") or "",
                "resourceAttributes": {
                    "group": CERTIFICATESIGNINGREQUESTS.group,
                    "resource": CERTIFICATESIGNINGREQUESTS.plural,
                    "subresource": permission,
                    "verb": "create",
                    "version": "*",
                },
            },
        }
        review["spec"] |= {name: spec[name] for name in ("uid", "groups", "extra") if spec.get(name)}
        answer = await self._context.client.create(SUBJECTACCESSREVIEWS, review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _approve(self, key: str, request: Object, message: str) -> None:
        now = times.format_time(self._context.clock.now())
        entry = {
            "type": "Approved", "status": "True", "reason": "AutoApproved", "message": message,
            "lastUpdateTime": now, "lastTransitionTime": now,
        }  # fmt: skip
        status = {**(request.get("status") or {})}
        status["conditions"] = [*(status.get("conditions") or []), entry]
        updated = await self._context.client.update(
            CERTIFICATESIGNINGREQUESTS, {**request, "status": status}, subresource="approval"
        )
        self._context.expectations.wrote(key, self._requests, updated)
        log.info("approved %s", objects.name(request))


def _conforms(context: Context) -> Controller:
    return CSRApprovingController(context)
