"""Status of a pod: what the kubelet may report, and how containers may move from state to state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta import names
from steersman.meta.addresses import ip_errors, ip_family
from steersman.meta.errors import FieldError, duplicate, forbidden, invalid
from steersman.meta.objects import Object
from steersman.schema.groups.core.podspec.updates import check_annotation_update
from steersman.schema.rules import Errors, check_immutable, check_name

_SYSTEM_CONDITIONS = frozenset({"PodScheduled", "Ready", "Initialized"})


def prepare_status(new: Object, old: Object) -> None:
    """Keeps what only the API server sets, and addresses in both of their forms."""
    status, before = dict(new.get("status") or {}), old.get("status") or {}
    if not status.get("qosClass") and before.get("qosClass"):
        status["qosClass"] = before["qosClass"]
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    if status.get("conditions"):
        status["conditions"] = _with_generations(status["conditions"], before.get("conditions") or ())
    _pair_addresses(status)
    new["status"] = status
    references = old["metadata"].get("ownerReferences")
    if references is None:
        new["metadata"].pop("ownerReferences", None)
    else:
        new["metadata"]["ownerReferences"] = references


def _with_generations(conditions: Sequence[Object], before: Sequence[Object]) -> list[Object]:
    known: dict[Any, int] = {}
    for condition in before:
        known.setdefault(condition.get("type"), condition.get("observedGeneration") or 0)
    return [
        {**condition, "observedGeneration": known[condition.get("type")]}
        if not condition.get("observedGeneration") and known.get(condition.get("type"))
        else condition
        for condition in conditions
    ]


def _pair_addresses(status: Object) -> None:
    """The single form wins over the list, as old clients know only that."""
    first, entries = status.get("podIP"), status.get("podIPs")
    if first and (not entries or entries[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif entries and not first:
        status["podIP"] = entries[0].get("ip")


def pod_status_errors(new: Object, old: Object) -> list[FieldError]:
    errors: Errors = []
    check_annotation_update(errors, new, old)
    status, before, spec = new.get("status") or {}, old.get("status") or {}, old.get("spec") or {}
    _check_conditions(errors, status.get("conditions") or (), "status.conditions")
    _check_nomination(errors, status, before, spec)
    if (status.get("observedGeneration") or 0) < 0:
        detail = "must be a non-negative integer"
        errors.append(invalid("status.observedGeneration", status["observedGeneration"], detail))
    check_immutable(errors, status.get("qosClass"), before.get("qosClass"), "status.qosClass")
    if not _restarts_together(spec):
        for group, of in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
            _check_transitions(errors, status, before, group, spec, spec.get(of) or ())
    _check_transitions(errors, status, before, "ephemeralContainerStatuses", spec, None)
    _check_claim_statuses(errors, status.get("resourceClaimStatuses") or (), spec)
    hosts = status.get("hostIPs") or ()
    if hosts and (status.get("hostIP") or "") != (hosts[0].get("ip") or ""):
        errors.append(invalid("status.hostIPs[0].ip", hosts[0].get("ip") or "", "must be equal to `hostIP`"))
    for many in ("podIPs", "hostIPs"):
        _check_addresses(errors, status.get(many) or (), before.get(many) or (), f"status.{many}")
    return errors


def _check_conditions(errors: Errors, conditions: Sequence[Object], path: str) -> None:
    for index, condition in enumerate(conditions):
        if (condition.get("observedGeneration") or 0) < 0:
            detail = "must be a non-negative integer"
            at = f"{path}[{index}].observedGeneration"
            errors.append(invalid(at, condition["observedGeneration"], detail))
        kind = condition.get("type") or ""
        if kind not in _SYSTEM_CONDITIONS:
            check_name(errors, kind, f"{path}[{index}].Type", names.label_key_errors)


def _check_nomination(
    errors: Errors, status: Mapping[str, Any], before: Mapping[str, Any], spec: Mapping[str, Any]
) -> None:
    node, path = status.get("nominatedNodeName"), "status.nominatedNodeName"
    if not node or node == before.get("nominatedNodeName"):
        return
    check_name(errors, node, path, names.subdomain_errors)
    if spec.get("nodeName"):
        errors.append(forbidden(path, "may not be set on pods that are already bound to a node"))


def _restarts_together(spec: Mapping[str, Any]) -> bool:
    return any(
        rule.get("action") == "RestartAllContainers"
        for group in ("containers", "initContainers")
        for container in spec.get(group) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _check_transitions(
    errors: Errors,
    status: Mapping[str, Any],
    before: Mapping[str, Any],
    group: str,
    spec: Mapping[str, Any],
    containers: Sequence[Object] | None,
) -> None:
    """A container that has ended for good stays so. ``containers``: None where none is ever restarted."""
    now = {entry.get("name"): entry for entry in status.get(group) or ()}
    for index, was in enumerate(before.get(group) or ()):
        ended = (was.get("state") or {}).get("terminated")
        entry = now.get(was.get("name"))
        if ended is None or entry is None or (entry.get("state") or {}).get("terminated") is not None:
            continue
        if containers is not None:
            container = next((each for each in containers if each.get("name") == was.get("name")), None)
            if container is not None and should_restart(container, spec, ended.get("exitCode") or 0):
                continue
        detail = "may not be transitioned to non-terminated state"
        errors.append(forbidden(f"status.{group}[{index}].state", detail))


def should_restart(container: Mapping[str, Any], spec: Mapping[str, Any], exit_code: int) -> bool:
    """After the container's own rules and policy, the pod's policy decides."""
    policy = container.get("restartPolicy")
    if policy is not None:
        for rule in container.get("restartPolicyRules") or ():
            codes = rule.get("exitCodes") or {}
            listed = exit_code in (codes.get("values") or ())
            if listed == (codes.get("operator") == "In"):
                return True
    match policy or spec.get("restartPolicy"):
        case "OnFailure":
            return exit_code != 0
        case "Never":
            return False
        case _:
            return True


def _check_claim_statuses(errors: Errors, statuses: Sequence[Object], spec: Mapping[str, Any]) -> None:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[Any] = set()
    for index, entry in enumerate(statuses):
        path, name = f"status.resourceClaimStatuses[{index}]", entry.get("name") or ""
        if name not in known:
            errors.append(invalid(f"{path}.name", name, "must match the name of an entry in `spec.resourceClaims`"))
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        if entry.get("resourceClaimName"):
            check_name(errors, entry["resourceClaimName"], f"{path}.name", names.subdomain_errors)


def _check_addresses(errors: Errors, entries: Sequence[Object], before: Sequence[Object], path: str) -> None:
    addresses = [str(entry.get("ip") or "") for entry in entries]
    known = {entry.get("ip") for entry in before}
    for index, address in enumerate(addresses):
        if address not in known:
            check_name(errors, address, f"{path}[{index}]", ip_errors)
    if len(addresses) > 1 and (len(addresses) > 2 or len({ip_family(address) for address in addresses}) != 2):
        errors.append(invalid(path, list(entries), "may specify no more than one IP for each IP family"))
