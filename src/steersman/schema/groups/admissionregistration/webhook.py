"""One webhook of a configuration, and what it shares with admission policies: rules, selectors, service references."""

from __future__ import annotations

from steersman.meta.domains import qualified_name_errors
from steersman.meta.errors import FieldError, duplicate, invalid, required
from steersman.meta.objects import Object
from steersman.schema.groups.admissionregistration.matching import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    REINVOCATION_POLICIES,
    check_match_conditions,
    check_rule,
)
from steersman.schema.rules import check_label_selector, check_optional_choice
from steersman.schema.webhookclients import check_client, check_review_versions

_HTTPS_PORT = 443
SIDE_EFFECTS = ("None", "NoneOnDryRun")


def default_match(matching: Object) -> None:
    """``matchPolicy`` and the two selectors, in webhooks and in a policy's constraints."""
    if matching.get("matchPolicy") is None:
        matching["matchPolicy"] = "Equivalent"
    for selector in ("namespaceSelector", "objectSelector"):
        if matching.get(selector) is None:
            matching[selector] = {}


def default_rules(rules: list[Object] | None) -> None:
    for rule in rules or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


def default_constraints(matching: Object | None) -> None:
    """``matchConstraints`` of a policy, ``matchResources`` of a binding."""
    if matching is None:
        return
    default_match(matching)
    default_rules(matching.get("resourceRules"))
    default_rules(matching.get("excludeResourceRules"))


def default_service(client: Object | None) -> None:
    """``clientConfig.service.port``."""
    service = (client or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = _HTTPS_PORT


def default_webhooks(obj: Object) -> None:
    for webhook in obj.get("webhooks") or ():
        if webhook.get("failurePolicy") is None:
            webhook["failurePolicy"] = "Fail"
        default_match(webhook)
        if webhook.get("timeoutSeconds") is None:
            webhook["timeoutSeconds"] = 10
        default_rules(webhook.get("rules"))
        default_service(webhook.get("clientConfig"))


def webhook_errors(obj: Object) -> list[FieldError]:
    """Rules of both kinds of configuration."""
    errors: list[FieldError] = []
    seen = set()
    for index, webhook in enumerate(obj.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", webhook.get("name") or ""
        _check_webhook(errors, webhook, path)
        versions = webhook.get("admissionReviewVersions") or []
        detail = "must specify one of v1, v1beta1"
        check_review_versions(errors, versions, f"{path}.admissionReviewVersions", detail=detail)
        if name and name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
    return errors


def _check_webhook(errors: list[FieldError], webhook: Object, path: str) -> None:
    errors.extend(qualified_name_errors(webhook.get("name") or "", f"{path}.name"))
    for index, rule in enumerate(webhook.get("rules") or ()):
        check_rule(errors, rule, f"{path}.rules[{index}]")
    check_optional_choice(errors, webhook.get("failurePolicy"), f"{path}.failurePolicy", FAILURE_POLICIES)
    check_optional_choice(errors, webhook.get("matchPolicy"), f"{path}.matchPolicy", MATCH_POLICIES)
    effects, seconds = webhook.get("sideEffects"), webhook.get("timeoutSeconds")
    if effects is None:
        errors.append(required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}"))
    check_optional_choice(errors, effects, f"{path}.sideEffects", SIDE_EFFECTS)
    if seconds is not None and not 1 <= seconds <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid(f"{path}.timeoutSeconds", seconds, detail))
    check_label_selector(errors, webhook.get("namespaceSelector"), f"{path}.namespaceSelector")
    check_label_selector(errors, webhook.get("objectSelector"), f"{path}.objectSelector")
    reinvocation = webhook.get("reinvocationPolicy")
    check_optional_choice(errors, reinvocation, f"{path}.reinvocationPolicy", REINVOCATION_POLICIES)
    check_client(errors, webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    check_match_conditions(errors, webhook.get("matchConditions") or (), f"{path}.matchConditions")
