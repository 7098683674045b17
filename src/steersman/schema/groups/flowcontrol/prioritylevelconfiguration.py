"""PriorityLevelConfiguration: how many requests of a level run at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.meta.objects import Object
from steersman.meta.resources import PRIORITYLEVELCONFIGURATIONS
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.equality import same
from steersman.schema.groups.flowcontrol.flowrules import condition_errors
from steersman.schema.groups.flowcontrol.mandatory import EXEMPT, PRIORITY_LEVELS
from steersman.schema.kind import Kind
from steersman.schema.rules import check_between
from steersman.schema.statuswrites import keep_metadata
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


_MOST_QUEUES = 10_000_000
_HASH_BITS = 60
_NOT_NEGATIVE = "must be a non-negative integer"


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    name, spec = obj["metadata"].get("name") or "", obj.get("spec") or {}
    kind, exempt, limited = spec.get("type") or "", spec.get("exempt"), spec.get("limited")
    if (name == EXEMPT) != (kind == "Exempt"):
        errors.append(invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'"))
    if kind == "Exempt":
        if limited is not None:
            errors.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
        if exempt is not None:
            _check_shares(errors, exempt, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            errors.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            _check_limited(errors, limited, "spec.limited")
    else:
        errors.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
    _check_fixed(errors, name, spec)
    return errors


def _check_shares(errors: list[FieldError], level: Mapping[str, Any], path: str) -> None:
    shares, lendable = level.get("nominalConcurrencyShares"), level.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.append(invalid(f"{path}.nominalConcurrencyShares", shares, _NOT_NEGATIVE))
    check_between(errors, lendable, f"{path}.lendablePercent", 0, 100)


def _check_limited(errors: list[FieldError], level: Mapping[str, Any], path: str) -> None:
    _check_shares(errors, level, path)
    response, borrowed = level.get("limitResponse") or {}, level.get("borrowingLimitPercent")
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Queue" and queuing is not None:
        _check_queuing(errors, queuing, f"{path}.limitResponse.queuing")
    elif kind == "Queue":
        detail = "must not be empty if limited.limitResponse.type is Limited"
        errors.append(required(f"{path}.limitResponse.queuing", detail))
    elif kind != "Reject":
        errors.append(not_supported(f"{path}.limitResponse.type", kind, ("Queue", "Reject")))
    elif queuing is not None:
        detail = "must be nil if limited.limitResponse.type is not Limited"
        errors.append(forbidden(f"{path}.limitResponse.queuing", detail))
    if borrowed is not None and borrowed < 0:
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrowed, f"if specified, {_NOT_NEGATIVE}"))


def _check_queuing(errors: list[FieldError], queuing: Mapping[str, Any], path: str) -> None:
    length, queues, hand = (queuing.get(name) or 0 for name in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        errors.append(invalid(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        errors.append(invalid(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    if hand <= 0:
        errors.append(invalid(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        errors.append(invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        )
        errors.append(invalid(f"{path}.handSize", hand, detail))


def _check_fixed(errors: list[FieldError], name: str, spec: Mapping[str, Any]) -> None:
    fixed = PRIORITY_LEVELS.get(name)
    if fixed is None:
        return
    if name == EXEMPT:
        if not same({**spec, "exempt": None}, {**fixed, "exempt": None}):
            detail = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
            errors.append(invalid("spec", dict(spec), detail))
    elif not same(spec, fixed):
        errors.append(invalid("spec", dict(spec), f"spec of '{name}' must equal the fixed value"))


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    return condition_errors(new)


KIND = Kind(
    resource=PRIORITYLEVELCONFIGURATIONS,
    definition="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    singular="prioritylevelconfiguration",
    subresources=(STATUS,),
    storage_prefix="prioritylevelconfigurations",
    has_status=True,
    counts_generation=True,
    default=default,
    prepare_status_update=keep_metadata,
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
    prepare_create=prepare_create,
    validate=validate,
    validate_status_update=validate_status_update,
)
