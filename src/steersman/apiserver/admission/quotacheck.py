"""Whether quotas allow what a request adds, and what they have used afterwards. Pure.

The steps, and their order, are those of upstream's quota admission, because each has its own message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct, field

from steersman.apiserver.admission.api import AdmissionRequest
from steersman.apiserver.admission.errors import Unwrapped
from steersman.meta import objects, quotas
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.quotas import Scope, Usage
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PODS, RESOURCECLAIMS, SERVICES, Resource

IGNORED = frozenset(
    {("", "bindings"), ("", "componentstatuses"), ("", "events"), ("events.k8s.io", "events"),
     ("authentication.k8s.io", "tokenreviews"), ("authentication.k8s.io", "selfsubjectreviews"),
     ("authorization.k8s.io", "subjectaccessreviews"), ("authorization.k8s.io", "selfsubjectaccessreviews"),
     ("authorization.k8s.io", "localsubjectaccessreviews"), ("authorization.k8s.io", "selfsubjectrulesreviews")}
)  # fmt: skip
"""What is not stored, or has never been counted."""
_REQUIRED = ("cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory")
"""Where a quota limits one of these, every container has to say how much of it it wants."""


class LimitedResource(Struct, frozen=True, kw_only=True):
    """What nobody may use without a quota that covers it, by the plugin's configuration."""

    group: str
    plural: str
    match_contains: Sequence[str]
    match_scopes: Sequence[Scope]


class RunningQuota(Struct, kw_only=True):
    """A quota while requests are charged to it, one after the other."""

    obj: Object
    hard: Mapping[str, Fraction]
    used: Usage
    scopes: Sequence[Scope]
    is_changed: bool = False

    @classmethod
    def of(cls, obj: Object) -> RunningQuota:
        status = obj.get("status") or {}
        return cls(
            obj=obj,
            hard={name: quantity(value) for name, value in (status.get("hard") or {}).items()},
            used={name: quantity(value) for name, value in (status.get("used") or {}).items()},
            scopes=quotas.scopes_of(obj),
        )

    @property
    def name(self) -> str:
        return objects.name(self.obj)

    def charged_object(self) -> Object:
        """The quota with what is used now in its status."""
        status = self.obj.get("status") or {}
        before: Mapping[str, Any] = status.get("used") or {}
        used = {
            name: before[name]
            if name in before and quantity(before[name]) == amount
            else quotas.format_amount(name, amount)
            for name, amount in self.used.items()
        }
        return {**self.obj, "status": {**status, "used": used}}


class Question(Struct, frozen=True, kw_only=True):
    """One request, and what is used by its object and was used by the object before."""

    request: AdmissionRequest
    now_s: float
    usage: Usage
    usage_before: Usage | None = None
    """None: nothing was there."""
    limited: Sequence[LimitedResource] = field(default_factory=tuple)

    @property
    def resource(self) -> Resource:
        return self.request.kind.resource

    @property
    def obj(self) -> Object:
        return self.request.obj or {}

    def forbidden(self, why: str) -> Forbidden:
        return Forbidden.of(self.resource, self.request.name, why)


def handles(request: AdmissionRequest) -> bool:
    """The request may change what is used of a quota."""
    operation, subresource, resource = request.operation, request.subresource, request.kind.resource
    if request.obj is None or operation not in ("CREATE", "UPDATE"):
        return False
    if resource == PODS:
        if subresource == "resize":
            return operation == "UPDATE"
        if subresource:
            return False
        return operation == "CREATE" or quotas.is_terminating(request.obj) != quotas.is_terminating(request.old or {})
    if resource == PERSISTENTVOLUMECLAIMS:
        return not subresource or (subresource == "status" and operation == "UPDATE")
    if subresource:
        return False
    if resource in (SERVICES, RESOURCECLAIMS):
        return True
    return operation == "CREATE" and (resource.group, resource.plural) not in IGNORED


def charge(running: Sequence[RunningQuota], question: Question, *, dry_run: bool) -> bool:
    """Charge the request to every quota that covers it; whether that changed any. Raises ``Forbidden`` and charges nothing
    where one of them does not allow it."""
    covering = _covering(running, question)
    deltas = _deltas(covering, question)
    if not deltas and (covering or not _new_usage(question)):
        return False
    _check_limited(running, covering, question)
    requested = [
        (entry, {name: amount for name, amount in delta.items() if name in entry.hard}) for entry, delta in deltas
    ]
    for entry, amounts in requested:
        if question.request.subresource != "status":
            _check_fits(entry, amounts, question)
    if dry_run:
        return False
    for entry, amounts in requested:
        if amounts:
            entry.used = {**entry.used, **{name: entry.used.get(name, Fraction(0)) + amount for name, amount in amounts.items()}}  # fmt: skip
            entry.is_changed = True
    return any(amounts for _, amounts in requested)


def _covering(running: Iterable[RunningQuota], question: Question) -> list[RunningQuota]:
    """The quotas that the object takes from. Raises ``Forbidden`` where it lacks what they need to know."""
    found = []
    for entry in running:
        names = quotas.tracked(question.resource, entry.hard)
        if not names or not quotas.in_scope(question.resource, question.obj, entry.scopes, question.now_s):
            continue
        if question.resource == PODS:
            missing = missing_amounts(question.obj, names)
            if missing:
                raise question.forbidden(f"failed quota: {entry.name}: must specify {missing}")
        if any(name not in entry.used for name in names):
            listed = ",".join(sorted(names))
            raise question.forbidden(f"status unknown for quota: {entry.name}, resources: {listed}")
        found.append(entry)
    negative = sorted(name for name, amount in question.usage.items() if amount < 0)
    if negative:
        raise question.forbidden(f"quota usage is negative for resource(s): {','.join(negative)}")
    return found


def missing_amounts(pod: Object, names: Iterable[str]) -> str:
    """``cpu for: a,b; memory for: a``: what containers have to say because a quota limits it, and do not."""
    spec = pod.get("spec") or {}
    required = [name for name in _REQUIRED if name in set(names)]
    if not required or _has_pod_level_resources(spec):
        return ""
    missing: dict[str, set[str]] = {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        for name in required:
            part, _, plain = name.rpartition(".")
            if plain not in (resources.get(part or "requests") or {}):
                missing.setdefault(name, set()).add(container.get("name") or "")
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def _has_pod_level_resources(spec: Mapping[str, Any]) -> bool:
    resources = spec.get("resources") or {}
    return any(
        name in ("cpu", "memory") or name.startswith("hugepages-")
        for part in ("requests", "limits")
        for name in resources.get(part) or ()
    )


def _new_usage(question: Question) -> Usage:
    """What the request adds. Never negative: what an update frees is for the controller to notice."""
    before = question.usage_before
    if before is None:
        return {name: amount for name, amount in question.usage.items() if amount}
    return {
        name: amount - before.get(name, Fraction(0))
        for name, amount in question.usage.items()
        if amount > before.get(name, Fraction(0))
    }


def _deltas(covering: Iterable[RunningQuota], question: Question) -> list[tuple[RunningQuota, Usage]]:
    """What each quota has to give; an object that was not in its scope before takes all of it."""
    added = _new_usage(question)
    everything = {name: amount for name, amount in question.usage.items() if amount}
    old = question.request.old
    found = []
    for entry in covering:
        was_covered = (
            question.usage_before is not None
            and old is not None
            and quotas.in_scope(question.resource, old, entry.scopes, question.now_s)
        )
        delta = added if was_covered or question.usage_before is None else everything
        if delta:
            found.append((entry, delta))
    return found


def _check_limited(running: Iterable[RunningQuota], covering: Iterable[RunningQuota], question: Question) -> None:
    if not question.limited:
        return
    resource = question.resource
    covered = {name for entry in covering for name in quotas.tracked(resource, entry.hard)}
    uncovered = {
        name
        for limited in question.limited
        if (limited.group, limited.plural) == (resource.group, resource.plural)
        for name, amount in question.usage.items()
        if amount > 0 and name not in covered and any(part in name for part in limited.match_contains)
    }
    if uncovered:
        raise question.forbidden(f"insufficient quota to consume: {','.join(sorted(uncovered))}")
    if resource not in (PODS, PERSISTENTVOLUMECLAIMS):
        return
    matched = {scope.name for entry in running for scope in entry.scopes if _is_in(question, scope)}
    scopes = [scope for limited in question.limited for scope in limited.match_scopes if _is_in(question, scope)]
    missing = [scope for scope in scopes if scope.name not in matched]
    if missing:
        listed = " ".join(f"{{{scope.name} {scope.operator} [{' '.join(scope.listed)}]}}" for scope in missing)
        raise Unwrapped(f"insufficient quota to match these scopes: [{listed}]")


def _is_in(question: Question, scope: Scope) -> bool:
    return quotas.in_scope(question.resource, question.obj, (scope,), question.now_s)


def _check_fits(entry: RunningQuota, amounts: Mapping[str, Fraction], question: Question) -> None:
    exceeded = sorted(
        name for name, amount in amounts.items() if entry.used.get(name, Fraction(0)) + amount > entry.hard[name]
    )
    if not exceeded:
        return
    status = entry.obj.get("status") or {}
    hard: Mapping[str, Any] = status.get("hard") or {}
    requested = ",".join(f"{name}={quotas.format_amount(name, amounts[name])}" for name in exceeded)
    used = ",".join(f"{name}={quotas.format_amount(name, entry.used.get(name, Fraction(0)))}" for name in exceeded)
    limited = ",".join(f"{name}={hard[name]}" for name in exceeded)
    raise question.forbidden(f"exceeded quota: {entry.name}, requested: {requested}, used: {used}, limited: {limited}")
