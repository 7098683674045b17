"""MutatingWebhookConfiguration: webhooks that may change objects in admission."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import MUTATINGWEBHOOKCONFIGURATIONS
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.groups.admissionregistration.reservednames import reserved_name_warnings
from steersman.schema.groups.admissionregistration.webhook import default_webhooks, webhook_errors
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    default_webhooks(obj)
    for webhook in obj.get("webhooks") or ():
        if webhook.get("reinvocationPolicy") is None:
            webhook["reinvocationPolicy"] = "Never"


KIND = Kind(
    resource=MUTATINGWEBHOOKCONFIGURATIONS,
    definition="io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    singular="mutatingwebhookconfiguration",
    categories=("api-extensions",),
    qualifies_finalizers=False,
    storage_prefix="mutatingwebhookconfigurations",
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        length(
            "Webhooks",
            ("webhooks",),
            description="Webhooks indicates the number of webhooks registered in this configuration",
        ),
        AGE,
    ),
    validate=webhook_errors,
    warnings=reserved_name_warnings,
)
