"""MutatingWebhookConfiguration: webhooks that may change objects in admission."""

from __future__ import annotations

from steersman.meta.resources import MUTATINGWEBHOOKCONFIGURATIONS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=MUTATINGWEBHOOKCONFIGURATIONS,
    definition="io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    singular="mutatingwebhookconfiguration",
    categories=("api-extensions",),
    storage_prefix="mutatingwebhookconfigurations",
    counts_generation=True,
    allows_unconditional_update=False,
)
