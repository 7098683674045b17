"""LimitRanger: default requests and limits of a namespace's LimitRanges, and refusal of what lies outside of them.

Source: "Limit Ranges" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import format_binary, format_decimal, quantity
from steersman.meta.resources import LIMITRANGES, PERSISTENTVOLUMECLAIMS, PODS

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    NAME = "LimitRanger"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (PODS, PERSISTENTVOLUMECLAIMS)
    SUBRESOURCES = ("", "resize")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        if request.kind.resource != PODS or request.subresource or request.operation != "CREATE" or not request.obj:
            return None
        pod = request.obj
        for limit_range in self._reader.list(LIMITRANGES, request.namespace):
            pod = _with_defaults(pod, limit_range) or pod
        return pod if pod is not request.obj else None

    async def validate(self, request: AdmissionRequest) -> None:
        obj, resource = request.obj, request.kind.resource
        if obj is None or request.operation not in ("CREATE", "UPDATE"):
            return
        is_resize = resource == PODS and request.subresource == "resize"
        if resource == PODS and (is_resize or (request.operation == "CREATE" and not request.subresource)):
            check: Callable[[Object, Object], Iterator[str]] = _pod_violations
        elif resource == PERSISTENTVOLUMECLAIMS and not request.subresource:
            check = _claim_violations
        else:
            return
        if objects.is_deleting(obj):
            return
        for limit_range in self._reader.list(LIMITRANGES, request.namespace):
            violations = [text for limit in _limits(limit_range) for text in check(obj, limit)]
            if violations:
                text = violations[0] if len(violations) == 1 else f"[{', '.join(violations)}]"
                raise refused(request, text)


def _limits(limit_range: Object) -> list[Object]:
    return (limit_range.get("spec") or {}).get("limits") or []


def _with_defaults(pod: Object, limit_range: Object) -> Object | None:
    defaults: dict[str, Mapping[str, str]] = {"requests": {}, "limits": {}}
    for limit in _limits(limit_range):
        if limit.get("type") == "Container":
            defaults["requests"] = {**defaults["requests"], **(limit.get("defaultRequest") or {})}
            defaults["limits"] = {**defaults["limits"], **(limit.get("default") or {})}
    notes: list[str] = []
    spec = dict(pod["spec"])
    for field, label in (("containers", "container"), ("initContainers", "init container")):
        if spec.get(field):
            spec[field] = [_container_with_defaults(entry, defaults, label, notes) for entry in spec[field]]
    if not notes:
        return None
    text = f"LimitRanger plugin set: {'; '.join(notes)}"
    annotations = {**objects.annotations(pod), ANNOTATION: text}
    return objects.with_metadata({**pod, "spec": spec}, annotations=annotations)


def _container_with_defaults(
    container: Object, defaults: Mapping[str, Mapping[str, str]], label: str, notes: list[str]
) -> Object:
    resources = dict(container.get("resources") or {})
    changed = False
    for field in ("requests", "limits"):
        present = resources.get(field) or {}
        missing = {name: value for name, value in defaults[field].items() if name not in present}
        if missing:
            resources[field] = {**present, **missing}
            noun = field.removesuffix("s")
            notes.append(f"{', '.join(sorted(missing))} {noun} for {label} {container.get('name')}")
            changed = True
    return {**container, "resources": resources} if changed else container


def _pod_violations(pod: Object, limit: Object) -> Iterator[str]:
    spec = pod.get("spec") or {}
    if limit.get("type") == "Container":
        for field in ("containers", "initContainers"):
            for container in spec.get(field) or ():
                resources = container.get("resources") or {}
                yield from _violations(
                    "Container", limit, _amounts(resources, "requests"), _amounts(resources, "limits")
                )
    elif limit.get("type") == "Pod":
        yield from _violations("Pod", limit, _pod_amounts(spec, "requests"), _pod_amounts(spec, "limits"))


def _claim_violations(claim: Object, limit: Object) -> Iterator[str]:
    if limit.get("type") != "PersistentVolumeClaim":
        return
    requests = _amounts((claim.get("spec") or {}).get("resources") or {}, "requests")
    for name, bound in (limit.get("min") or {}).items():
        if name in requests and requests[name] < quantity(bound):
            yield f"minimum {name} usage per PersistentVolumeClaim is {bound}, but request is {_show(requests[name])}"
    for name, bound in (limit.get("max") or {}).items():
        if name in requests and requests[name] > quantity(bound):
            yield f"maximum {name} usage per PersistentVolumeClaim is {bound}, but request is {_show(requests[name])}"


def _violations(
    kind: str, limit: Object, requests: Mapping[str, Fraction], limits: Mapping[str, Fraction]
) -> Iterator[str]:
    for name, bound in (limit.get("min") or {}).items():
        least = quantity(bound)
        if name not in requests:
            yield f"minimum {name} usage per {kind} is {bound}.  No request is specified"
        elif requests[name] < least:
            yield f"minimum {name} usage per {kind} is {bound}, but request is {_show(requests[name])}"
        if name in limits and limits[name] < least:
            yield f"minimum {name} usage per {kind} is {bound}, but limit is {_show(limits[name])}"
    for name, bound in (limit.get("max") or {}).items():
        most = quantity(bound)
        if name not in limits:
            yield f"maximum {name} usage per {kind} is {bound}.  No limit is specified"
        elif limits[name] > most:
            yield f"maximum {name} usage per {kind} is {bound}, but limit is {_show(limits[name])}"
        if name in requests and requests[name] > most:
            yield f"maximum {name} usage per {kind} is {bound}, but request is {_show(requests[name])}"
    for name, ratio in (limit.get("maxLimitRequestRatio") or {}).items():
        if not requests.get(name) or not limits.get(name):
            yield (
                f"{name} max limit to request ratio per {kind} is {ratio}, but no request is specified or request is 0"
                if not requests.get(name)
                else f"{name} max limit to request ratio per {kind} is {ratio}, but no limit is specified or limit is 0"
            )
        elif limits[name] / requests[name] > quantity(ratio):
            actual = float(limits[name] / requests[name])
            yield f"{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is {actual:.6f}"


def _amounts(resources: Mapping[str, Any], field: str) -> dict[str, Fraction]:
    return {name: quantity(value) for name, value in (resources.get(field) or {}).items()}


def _pod_amounts(spec: Object, field: str) -> dict[str, Fraction]:
    """Sum over containers; at least the largest init container, sidecars counted with the rest."""
    total: dict[str, Fraction] = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container.get("resources") or {}, field))
    peak: dict[str, Fraction] = {}
    sidecars: dict[str, Fraction] = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container.get("resources") or {}, field)
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(sidecars, amounts)
            amounts = dict(sidecars)
        else:
            amounts = {name: value + sidecars.get(name, 0) for name, value in amounts.items()}
        for name, value in amounts.items():
            peak[name] = max(peak.get(name, value), value)
    for name, value in peak.items():
        total[name] = max(total.get(name, value), value)
    return total


def _add(total: dict[str, Fraction], amounts: Mapping[str, Fraction]) -> None:
    for name, value in amounts.items():
        total[name] = total.get(name, Fraction(0)) + value


def _show(value: Fraction) -> str:
    if value.denominator == 1 and value >= 1024 and value % 1024 == 0:
        return format_binary(int(value))
    return format_decimal(value)


def _conforms(reader: Reader) -> tuple[MutatingPlugin, ValidatingPlugin]:
    return LimitRanger(reader), LimitRanger(reader)
