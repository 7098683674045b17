"""POST of an Eviction: delete a pod if its disruption budget allows it.

Source: "API-initiated Eviction" in the Kubernetes documentation.
"""

from __future__ import annotations

from msgspec.structs import replace

from steersman.apiserver import deletion, respond
from steersman.apiserver.admitting import admission_request
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import decode
from steersman.apiserver.endpoints.api import Endpoint, expected_definition
from steersman.apiserver.options import UNSAFE_DELETION, DeleteOptions, delete_options, write_options
from steersman.apiserver.served import Served
from steersman.apiserver.updating import MAX_ATTEMPTS
from steersman.meta import times
from steersman.meta.errors import (
    APIError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Timeout,
    TooManyRequests,
    invalid,
)
from steersman.meta.objects import Object, condition, is_true
from steersman.meta.resources import PODDISRUPTIONBUDGETS, PODS
from steersman.meta.selectors import SelectorError, label_selector_of
from steersman.meta.wire import Response
from steersman.store.objects import Modified
from steersman.store.stored import Stored

MAX_DISRUPTED_PODS = 2000
RETRY_AFTER_S = 10
_DEFINITION = "io.k8s.api.policy.v1.Eviction"
_OLDER = ("policy/v1beta1",)
"""Evictions of clients older than v1.22, which upstream still takes."""


class SeveralBudgets(APIError):
    """500 without a reason, as upstream answers."""

    code, reason = 500, ""


async def evict(api: API, served: Served, call: Call) -> Response:
    """``pods/<name>/eviction``."""
    options = write_options(call, "CreateOptions")
    expected = expected_definition(api, "policy", "v1", "Eviction", _DEFINITION)
    expected = replace(expected, also_accepted=_OLDER)
    eviction = decode(call, expected, options.field_validation)
    if (eviction.get("metadata") or {}).get("name") != call.info.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    if (eviction.get("deleteOptions") or {}).get(UNSAFE_DELETION):
        detail = "can not be set for pod eviction, try after removing the option"
        raise Invalid.of(
            "Eviction", "policy", call.info.name, [invalid(f"deleteOptions.{UNSAFE_DELETION}", True, detail)]
        )
    wanted = delete_options(call, eviction.get("deleteOptions") or {})
    wanted = replace(wanted, dry_run=wanted.dry_run or options.dry_run)
    request = admission_request(
        call, served.kind, "CREATE", obj=eviction, subresource="eviction", dry_run=wanted.dry_run,
        options=options.as_object("CreateOptions"),
    )  # fmt: skip
    if await api.admission.mutate(request) and request.obj is not None:
        wanted = delete_options(call, request.obj.get("deleteOptions") or {})
        wanted = replace(wanted, dry_run=wanted.dry_run or options.dry_run)
    await api.admission.validate(request)
    await _evict(api, served, call, wanted)
    success: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return respond.value(call, success, status=201)


async def _evict(api: API, served: Served, call: Call, options: DeleteOptions) -> None:
    stored = await api.objects.get(served.key(call.info.namespace, call.info.name))
    if stored is None:
        raise NotFound.of(PODS, call.info.name)
    pod = stored.obj
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed", "Pending") or pod["metadata"].get("deletionTimestamp"):
        if phase == "Pending" and options.resource_version is None:
            options = replace(options, resource_version=pod["metadata"]["resourceVersion"])
        await _delete(api, served, call, options)
        return
    budgets = _budgets(api, pod)
    if len(budgets) > 1:
        raise SeveralBudgets(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    if budgets:
        if _needs_no_budget(pod, budgets[0].obj):
            options = replace(options, resource_version=pod["metadata"]["resourceVersion"])
        else:
            await _take_from(api, budgets[0], pod["metadata"]["name"], dry_run=options.dry_run)
    await _delete(api, served, call, options)


def _budgets(api: API, pod: Object) -> list[Stored]:
    """The disruption budgets that select the pod."""
    served = api.kinds.of(PODDISRUPTIONBUDGETS)
    labels = pod["metadata"].get("labels") or {}
    found = []
    for stored in api.objects.cached_list(served.collection(pod["metadata"]["namespace"])).items:
        try:
            selector = label_selector_of((stored.obj.get("spec") or {}).get("selector"))
        except SelectorError:
            continue
        if selector.matches(labels):
            found.append(stored)
    return found


def _needs_no_budget(pod: Object, budget: Object) -> bool:
    """A pod that does no work can go without taking from the budget, where the rest is healthy or the policy says so."""
    if is_true(pod, "Ready"):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired: int = status.get("desiredHealthy") or 0
    return desired > 0 and (status.get("currentHealthy") or 0) >= desired


async def _take_from(api: API, stored: Stored, pod: str, *, dry_run: bool) -> None:
    """One disruption less. Raises ``TooManyRequests`` where none is left."""
    current: Stored | None = stored
    for _ in range(MAX_ATTEMPTS):
        if current is None:
            return
        reduced = _reduced(current.obj, pod, times.format_time(api.clock.now()))
        if dry_run:
            return
        try:
            await api.objects.update(current.key, reduced, expected_revision=current.revision)
        except Modified as lost:
            current = lost.current
        else:
            return
    name = stored.obj["metadata"]["name"]
    raise Timeout(
        f'Timeout: couldn\'t update PodDisruptionBudget "{name}" due to conflicts', retry_after_s=RETRY_AFTER_S
    )


def _reduced(budget: Object, pod: str, now: str) -> Object:
    name, status = budget["metadata"]["name"], dict(budget.get("status") or {})
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", RETRY_AFTER_S)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise Forbidden.of(PODDISRUPTIONBUDGETS, name, "pdb disruptions allowed is negative")
    disrupted = status.get("disruptedPods") or {}
    if len(disrupted) > MAX_DISRUPTED_PODS:
        raise Forbidden.of(
            PODDISRUPTIONBUDGETS, name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        )
    if allowed == 0:
        raise _too_many(_why_none(name, budget))
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**disrupted, pod: now}
    if allowed == 1:
        others = [entry for entry in status.get("conditions") or () if entry.get("type") != "DisruptionAllowed"]
        exhausted = {
            "type": "DisruptionAllowed",
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "lastTransitionTime": now,
            "observedGeneration": status.get("observedGeneration") or 0,
        }
        status["conditions"] = [*others, exhausted]
    return {**budget, "status": status}


def _why_none(name: str, budget: Object) -> str:
    """Why the budget allows no disruption now."""
    status, found = budget.get("status") or {}, condition(budget, "DisruptionAllowed") or {}
    desired, healthy = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
    refusal = f"The disruption budget {name} does not allow evicting pods currently"
    says_why = found.get("status") == "False" and found.get("message")
    if says_why and found.get("reason") == "SyncFailed":
        return f"{refusal} because it failed sync: {found['message']}"
    if healthy <= desired:
        return f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    return f"{refusal} ({found.get('reason')}): {found['message']}" if says_why else refusal


def _too_many(why: str, retry_after_s: int | None = None) -> TooManyRequests:
    """``retry_after_s``: clients wait so long before they tell their users."""
    return TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={"causes": [{"reason": "DisruptionBudget", "message": why}]},
        retry_after_s=retry_after_s,
    )


async def _delete(api: API, served: Served, call: Call, options: DeleteOptions) -> None:
    """Say in the pod's status why it goes, then delete it."""
    if not options.dry_run:
        revised = await _mark(api, served, call, options)
        if options.resource_version is not None:
            options = replace(options, resource_version=str(revised))
    namespace, name = call.info.namespace, call.info.name
    await deletion.delete_object(api, served, call, namespace, name, options, admits=False)


async def _mark(api: API, served: Served, call: Call, options: DeleteOptions) -> int:
    key = served.key(call.info.namespace, call.info.name)
    stored = await api.objects.get(key)
    for _ in range(MAX_ATTEMPTS):
        if stored is None:
            raise NotFound.of(PODS, call.info.name)
        deletion.check_preconditions(served, stored.obj, options)
        status = stored.obj.get("status") or {}
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": None,
            "lastTransitionTime": times.format_time(api.clock.now()),
        }
        if is_true(stored.obj, "DisruptionTarget"):
            return stored.revision
        others = [entry for entry in status.get("conditions") or () if entry.get("type") != "DisruptionTarget"]
        marked = {**stored.obj, "status": {**status, "conditions": [*others, target]}}
        try:
            return (await api.objects.update(key, marked, expected_revision=stored.revision)).revision
        except Modified as lost:
            stored = lost.current
    raise Conflict.modified(PODS, call.info.name)


_conforms: Endpoint = evict
