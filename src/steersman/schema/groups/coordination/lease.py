"""Lease: who holds something, and since when: leader election, node heartbeats."""

from __future__ import annotations

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object
from steersman.meta.resources import LEASES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.kind import Kind
from steersman.schema.rules import check_name

_STRATEGIES = ("OldestEmulationVersion",)


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    seconds, transitions, strategy = (
        spec.get(name) for name in ("leaseDurationSeconds", "leaseTransitions", "strategy")
    )
    if seconds is not None and seconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        errors.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    if strategy is not None:
        if "/" in strategy:
            check_name(errors, strategy, "spec.strategy.strategy", label_key_errors)
        elif strategy not in _STRATEGIES:
            errors.append(not_supported("spec.strategy.strategy", strategy, _STRATEGIES))
    if spec.get("preferredHolder") and not strategy:
        errors.append(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return errors


KIND = Kind(
    resource=LEASES,
    definition="io.k8s.api.coordination.v1.Lease",
    singular="lease",
    qualifies_finalizers=False,
    storage_prefix="leases",
    allows_create_on_update=True,
    allows_unconditional_update=False,
    columns=(
        NAME,
        text("Holder", "spec", "holderIdentity", documented_by="io.k8s.api.coordination.v1.LeaseSpec/holderIdentity"),
        AGE,
    ),
    validate=validate,
)
