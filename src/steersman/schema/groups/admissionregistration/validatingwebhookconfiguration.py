"""ValidatingWebhookConfiguration: webhooks that may refuse objects in admission."""

from __future__ import annotations

from steersman.meta.resources import VALIDATINGWEBHOOKCONFIGURATIONS
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.groups.admissionregistration.reservednames import reserved_name_warnings
from steersman.schema.groups.admissionregistration.webhook import default_webhooks, webhook_errors
from steersman.schema.kind import Kind

KIND = Kind(
    resource=VALIDATINGWEBHOOKCONFIGURATIONS,
    definition="io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    singular="validatingwebhookconfiguration",
    categories=("api-extensions",),
    qualifies_finalizers=False,
    storage_prefix="validatingwebhookconfigurations",
    counts_generation=True,
    allows_unconditional_update=False,
    default=default_webhooks,
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
