"""CSR cleaner: removes certificate signing requests that have served.

watches: CertificateSigningRequests.
owns: nothing.
writes: CertificateSigningRequests (delete).
invariants: what was decided, issued or failed stays for an hour at least, what is pending for a day.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.pods import created_s
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects, times
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS, Resource

NAME = "certificatesigningrequest-cleaner-controller"
REQUEST_WATCH = Watch(resource=CERTIFICATESIGNINGREQUESTS)
WATCHES = (REQUEST_WATCH,)

DECIDED_S = 3600.0
PENDING_S = 24 * 3600.0


class Plan(Struct, frozen=True, kw_only=True):
    """When the request goes, epoch seconds."""

    delete_at_s: float


def plan(request: Object) -> Plan:
    status = request.get("status") or {}
    conditions = {
        entry["type"]: times.parse_time(entry["lastUpdateTime"])
        for entry in status.get("conditions") or ()
        if entry.get("lastUpdateTime")
    }
    due = [conditions[kind] + DECIDED_S for kind in ("Denied", "Failed") if kind in conditions]
    if "Approved" in conditions:
        due.append(conditions["Approved"] + (DECIDED_S if status.get("certificate") else PENDING_S))
    expires_s = _expires_s(request)
    if expires_s is not None:
        due.append(expires_s)
    if not due:
        due.append(created_s(request) + PENDING_S)
    return Plan(delete_at_s=min(due))


def _expires_s(request: Object) -> float | None:
    if not (request.get("status") or {}).get("certificate"):
        return None
    from steersman.controllers import certificates

    return certificates.expires_s(request)


class CSRCleanerController:
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
        wait_s = plan(request).delete_at_s - self._context.clock.now()
        if wait_s >= 0:
            return Result(requeue_after_s=wait_s + 1)
        try:
            await self._context.client.delete(CERTIFICATESIGNINGREQUESTS, key, uid=objects.uid(request))
        except NotFound:
            return DONE
        self._context.expectations.deleted(key, self._requests, request)
        return DONE


def _conforms(context: Context) -> Controller:
    return CSRCleanerController(context)
