"""PriorityLevelConfiguration: how many requests of a level run at once."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object
from steersman.meta.resources import PRIORITYLEVELCONFIGURATIONS
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    exempt, limited = spec.get("exempt"), spec.get("limited")
    if exempt is not None:
        _set_absent(exempt, nominalConcurrencyShares=0, lendablePercent=0)
    if limited is not None:
        _set_absent(limited, nominalConcurrencyShares=30, lendablePercent=0)
        response = limited.get("limitResponse")
        queuing = (response or {}).get("queuing")
        if queuing is not None:
            for name, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if not queuing.get(name):
                    queuing[name] = value
    if obj.get("status") is None:
        obj["status"] = {}


def _set_absent(level: Object, **values: int) -> None:
    for name, value in values.items():
        if level.get(name) is None:
            level[name] = value


def _limit(obj: Object, *path: str) -> Any:
    value = value_at(obj, "spec", "limited", *path)
    return NONE if value is None else value


KIND = Kind(
    resource=PRIORITYLEVELCONFIGURATIONS,
    definition="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    singular="prioritylevelconfiguration",
    subresources=(STATUS,),
    storage_prefix="prioritylevelconfigurations",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        text("Type", "spec", "type", documented_by="io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec/type"),
        computed(
            "NominalConcurrencyShares",
            lambda obj, now: _limit(obj, "nominalConcurrencyShares"),
            documented_by="io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration/nominalConcurrencyShares",
        ),
        computed(
            "Queues",
            lambda obj, now: _limit(obj, "limitResponse", "queuing", "queues"),
            documented_by="io.k8s.api.flowcontrol.v1.QueuingConfiguration/queues",
        ),
        computed(
            "HandSize",
            lambda obj, now: _limit(obj, "limitResponse", "queuing", "handSize"),
            documented_by="io.k8s.api.flowcontrol.v1.QueuingConfiguration/handSize",
        ),
        computed(
            "QueueLengthLimit",
            lambda obj, now: _limit(obj, "limitResponse", "queuing", "queueLengthLimit"),
            documented_by="io.k8s.api.flowcontrol.v1.QueuingConfiguration/queueLengthLimit",
        ),
        AGE,
    ),
)
