"""What the API server writes into a new pod by itself, beyond defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.objects import Object, labels

_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
_WEIGHTED = "preferredDuringSchedulingIgnoredDuringExecution"

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_LONGEST_PROFILE = 4095


def noted_profile(noted: str) -> Object | None:
    """The AppArmor profile that the value of an annotation stands for; None where it stands for none."""
    match noted.partition("/"):
        case ("unconfined", "", ""):
            return {"type": "Unconfined"}
        case ("runtime", "/", "default"):
            return {"type": "RuntimeDefault"}
        case ("localhost", "/", name) if name and name == name.strip() and len(name) <= _LONGEST_PROFILE:
            return {"type": "Localhost", "localhostProfile": name}
    return None


def adopt_noted_profiles(pod: Object) -> None:
    """AppArmor profiles of containers that stand in annotations, as they did before v1.30, become fields."""
    notes, spec = pod["metadata"].get("annotations"), pod["spec"]
    if not notes or not any(key.startswith(_APPARMOR) for key in notes):
        return
    if (spec.get("os") or {}).get("name") == "windows":
        return
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for group in ("initContainers", "containers", "ephemeralContainers"):
        if spec.get(group):
            spec[group] = [_with_noted_profile(container, notes, of_pod) for container in spec[group]]


def _with_noted_profile(container: Object, notes: Mapping[str, str], of_pod: Any) -> Object:
    noted = notes.get(f"{_APPARMOR}{container.get('name')}")
    security = container.get("securityContext") or {}
    profile = None if noted is None or security.get("appArmorProfile") is not None else noted_profile(noted)
    if profile is None or profile == of_pod:
        return container
    return {**container, "securityContext": {**security, "appArmorProfile": profile}}


def gated_conditions(spec: Mapping[str, Any]) -> list[Object]:
    """The condition of a pod that scheduling gates hold back."""
    if not spec.get("schedulingGates"):
        return []
    return [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": None,
            "lastTransitionTime": None,
        }
    ]


def merge_label_keys(pod: Object) -> None:
    """Adds the values of the pod's own labels that ``matchLabelKeys`` and ``mismatchLabelKeys`` name to the selectors of its affinity
    and its spreading (KEP-3633, KEP-3243). Replaces what it changes below ``spec``."""
    spec, own = pod["spec"], labels(pod)
    affinity = spec.get("affinity")
    if affinity:
        spec["affinity"] = {name: _merged_affinity(name, value, own) for name, value in affinity.items()}
    constraints = spec.get("topologySpreadConstraints")
    if constraints:
        spec["topologySpreadConstraints"] = [_merged_term(constraint, own) for constraint in constraints]


def _merged_affinity(name: str, value: Any, own: Mapping[str, str]) -> Any:
    if name == "nodeAffinity" or not value:
        return value
    merged = dict(value)
    if value.get(_TERMS):
        merged[_TERMS] = [_merged_term(term, own) for term in value[_TERMS]]
    if value.get(_WEIGHTED):
        merged[_WEIGHTED] = [
            {**entry, "podAffinityTerm": _merged_term(entry.get("podAffinityTerm") or {}, own)}
            for entry in value[_WEIGHTED]
        ]
    return merged


def _merged_term(term: Mapping[str, Any], own: Mapping[str, str]) -> Object:
    selector = term.get("labelSelector")
    added = [
        *_requirements(term.get("matchLabelKeys") or (), "In", own),
        *_requirements(term.get("mismatchLabelKeys") or (), "NotIn", own),
    ]
    if selector is None or not added:
        return dict(term)
    expressions = [*(selector.get("matchExpressions") or ()), *added]
    return {**term, "labelSelector": {**selector, "matchExpressions": expressions}}


def _requirements(keys: Sequence[str], operator: str, own: Mapping[str, str]) -> list[Object]:
    return [{"key": key, "operator": operator, "values": [own[key]]} for key in keys if key in own]
