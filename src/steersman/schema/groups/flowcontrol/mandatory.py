"""Specs of the flow schemas and priority levels that are as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

EXEMPT = "exempt"
CATCH_ALL = "catch-all"


def _everything_for(*groups: str) -> Sequence[Mapping[str, Any]]:
    everything = {
        "verbs": ["*"],
        "apiGroups": ["*"],
        "resources": ["*"],
        "namespaces": ["*"],
        "clusterScope": True,
    }
    return [
        {
            "subjects": [{"kind": "Group", "group": {"name": name}} for name in groups],
            "resourceRules": [everything],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
    ]


FLOW_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    EXEMPT: {
        "priorityLevelConfiguration": {"name": EXEMPT},
        "matchingPrecedence": 1,
        "rules": _everything_for("system:masters"),
    },
    CATCH_ALL: {
        "priorityLevelConfiguration": {"name": CATCH_ALL},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": _everything_for("system:unauthenticated", "system:authenticated"),
    },
}
PRIORITY_LEVELS: Mapping[str, Mapping[str, Any]] = {
    EXEMPT: {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    CATCH_ALL: {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 5,
            "lendablePercent": 0,
            "limitResponse": {"type": "Reject"},
        },
    },
}
