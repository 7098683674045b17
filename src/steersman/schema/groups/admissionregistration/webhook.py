"""One webhook of a configuration, and what it shares with admission policies: rules, selectors, service references."""

from __future__ import annotations

from steersman.meta.objects import Object

_HTTPS_PORT = 443


def default_match(matching: Object) -> None:
    """``matchPolicy`` and the two selectors, in webhooks and in a policy's constraints."""
    if not matching.get("matchPolicy"):
        matching["matchPolicy"] = "Equivalent"
    for selector in ("namespaceSelector", "objectSelector"):
        if matching.get(selector) is None:
            matching[selector] = {}


def default_rules(rules: list[Object] | None) -> None:
    for rule in rules or ():
        if not rule.get("scope"):
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
        if not webhook.get("failurePolicy"):
            webhook["failurePolicy"] = "Fail"
        default_match(webhook)
        if webhook.get("timeoutSeconds") is None:
            webhook["timeoutSeconds"] = 10
        default_rules(webhook.get("rules"))
        default_service(webhook.get("clientConfig"))
