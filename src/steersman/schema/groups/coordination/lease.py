"""Lease: who holds something, and since when: leader election, node heartbeats."""

from __future__ import annotations

from steersman.meta.resources import LEASES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.kind import Kind

KIND = Kind(
    resource=LEASES,
    definition="io.k8s.api.coordination.v1.Lease",
    singular="lease",
    storage_prefix="leases",
    allows_create_on_update=True,
    allows_unconditional_update=False,
    columns=(
        NAME,
        text("Holder", "spec", "holderIdentity", documented_by="io.k8s.api.coordination.v1.LeaseSpec/holderIdentity"),
        AGE,
    ),
)
