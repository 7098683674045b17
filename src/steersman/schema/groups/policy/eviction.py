"""Eviction: the wish to delete a pod as disruption budgets allow: the body of ``pods/eviction``."""

from __future__ import annotations

from steersman.meta.resources import Resource
from steersman.schema.kind import Kind

KIND = Kind(
    resource=Resource(group="policy", version="v1", plural="", kind="Eviction", namespaced=True),
    definition="io.k8s.api.policy.v1.Eviction",
    singular="",
    verbs=(),
    storage_prefix="",
    is_stored=False,
)
