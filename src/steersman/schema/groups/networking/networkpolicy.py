"""NetworkPolicy: which traffic pods may send and receive."""

from __future__ import annotations

from steersman.meta.resources import NETWORKPOLICIES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=NETWORKPOLICIES,
    definition="io.k8s.api.networking.v1.NetworkPolicy",
    singular="networkpolicy",
    short_names=("netpol",),
    storage_prefix="networkpolicies",
    counts_generation=True,
)
