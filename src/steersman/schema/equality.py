"""When two values mean the same: what upstream's typed objects cannot tell apart.

A field that is absent, null or empty is the same as an empty string, list or map; for plain booleans and numbers of the API
(those that are no pointers in upstream's types) also as false and 0. Amounts compare by value only where they are
written canonically, which defaulting sees to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DISTINCT_ZEROS = frozenset(
    {
        "activeDeadlineSeconds",
        "allocateLoadBalancerNodePorts",
        "allowPrivilegeEscalation",
        "allowVolumeExpansion",
        "attachRequired",
        "automountServiceAccountToken",
        "backoffLimit",
        "backoffLimitPerIndex",
        "completions",
        "controller",
        "blockOwnerDeletion",
        "defaultMode",
        "deletionGracePeriodSeconds",
        "enableServiceLinks",
        "endPort",
        "expirationSeconds",
        "fsGroup",
        "hostProcess",
        "hostUsers",
        "immutable",
        "maxFailedIndexes",
        "minReplicas",
        "mode",
        "optional",
        "parallelism",
        "partition",
        "priority",
        "privileged",
        "progressDeadlineSeconds",
        "readOnlyRootFilesystem",
        "replicas",
        "revisionHistoryLimit",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "startingDeadlineSeconds",
        "suspend",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "ttlSecondsAfterFinished",
    }
)
"""Fields whose 0 or false is not the same as their absence."""


def _is_nothing(name: str, value: Any) -> bool:
    if value is None or value == "" or value == [] or value == {}:
        return True
    return (value is False or value == 0) and name not in DISTINCT_ZEROS


def same(one: Any, other: Any, name: str = "") -> bool:
    """``one`` and ``other`` mean the same; ``name`` is the field that they stand in."""
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key, value in one.items():
            if key in other:
                if not same(value, other[key], key):
                    return False
            elif not _is_nothing(key, value):
                return False
        return all(key in one or _is_nothing(key, value) for key, value in other.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) or (_is_nothing(name, one) and _is_nothing(name, other))


def alike(new: Any, old: Any) -> bool:
    """As ``same``, but an object that is there and empty is not one that is absent: of whole specifications, in which
    generations count every change."""
    if new == old:
        return True
    if isinstance(new, dict) and isinstance(old, dict):
        return all(alike(new.get(name), old.get(name)) for name in new.keys() | old.keys())
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(alike(entry, was) for entry, was in zip(new, old, strict=True))
    return new in (None, []) and old in (None, [])
