"""Rules of what a flow schema matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.meta.names import label_errors, subdomain_errors
from steersman.schema.rules import Errors, check_name, check_required_name

_ALL = "*"
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def check_flow_rule(errors: Errors, rule: Mapping[str, Any], path: str) -> None:
    if not rule.get("subjects"):
        errors.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(rule.get("subjects") or ()):
        _check_subject(errors, subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        errors.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for index, entry in enumerate(rule.get("resourceRules") or ()):
        _check_resource_rule(errors, entry, f"{path}.resourceRules[{index}]")
    for index, entry in enumerate(rule.get("nonResourceRules") or ()):
        _check_url_rule(errors, entry, f"{path}.nonResourceRules[{index}]")


def _check_subject(errors: Errors, subject: Mapping[str, Any], path: str) -> None:
    kind = subject.get("kind") or ""
    wanted = _SUBJECTS.get(kind)
    if wanted is None:
        errors.append(not_supported(f"{path}.kind", kind, tuple(_SUBJECTS)))
        return
    value = subject.get(wanted)
    if value is None:
        errors.append(required(f"{path}.{wanted}", f"{wanted} is required when subject kind is '{kind}'"))
    elif wanted == "serviceAccount":
        _check_service_account(errors, value, f"{path}.{wanted}")
    elif not value.get("name"):
        errors.append(required(f"{path}.{wanted}.name"))
    for other, field in (("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")):
        if other != kind and subject.get(field) is not None:
            detail = f"{field} is forbidden when subject kind is not '{other}'"
            errors.append(forbidden(f"{path}.{field}", detail))


def _check_service_account(errors: Errors, account: Mapping[str, Any], path: str) -> None:
    if account.get("name") != _ALL:
        check_required_name(errors, account.get("name"), f"{path}.name", subdomain_errors)
    if account.get("namespace"):
        check_name(errors, account["namespace"], f"{path}.namespace", label_errors)
    else:
        errors.append(required(f"{path}.namespace", "must specify namespace for service account"))


def _check_verbs(errors: Errors, verbs: Sequence[str], path: str) -> None:
    if not verbs:
        errors.append(required(path, "verbs must contain at least one value"))
    elif _ALL in verbs:
        _check_alone(errors, verbs, path, "verbs")
    elif any(verb not in _VERBS for verb in verbs):
        errors.append(not_supported(path, verbs, _VERBS))


def _check_alone(errors: Errors, values: Sequence[str], path: str, noun: str) -> None:
    if _ALL in values and len(values) > 1:
        errors.append(invalid(path, values, f"if '*' is present, must not specify other {noun}"))


def _check_resource_rule(errors: Errors, rule: Mapping[str, Any], path: str) -> None:
    _check_verbs(errors, rule.get("verbs") or [], f"{path}.verbs")
    for field, noun in (("apiGroups", "api group"), ("resources", "resource")):
        values = rule.get(field) or []
        if not values:
            errors.append(required(f"{path}.{field}", f"resource rules must supply at least one {noun}"))
        _check_alone(errors, values, f"{path}.{field}", f"{noun}s")
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(f"{path}.namespaces", detail))
    elif _ALL in namespaces:
        _check_alone(errors, namespaces, f"{path}.namespaces", "namespaces")
    else:
        intro = "each member of this list must be '*' or a DNS-1123 label; "
        errors.extend(
            invalid(f"{path}.namespaces[{index}]", name, intro + text)
            for index, name in enumerate(namespaces)
            for text in label_errors(name)
        )


def _check_url_rule(errors: Errors, rule: Mapping[str, Any], path: str) -> None:
    _check_verbs(errors, rule.get("verbs") or [], f"{path}.verbs")
    urls = rule.get("nonResourceURLs") or []
    if not urls:
        detail = "nonResourceURLs must contain at least one value"
        errors.append(required(f"{path}.nonResourceURLs", detail))
    elif _ALL in urls:
        _check_alone(errors, urls, f"{path}.nonResourceURLs", "non-resource URLs")
    else:
        for index, url in enumerate(urls):
            wrong = _wrong_with_url(url)
            if wrong:
                errors.append(invalid(f"{path}.nonResourceURLs[{index}]", url, wrong))


def _wrong_with_url(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    return "wildcard can only do suffix matching" if stars > 1 or (stars and not url.endswith("/*")) else ""


def condition_errors(obj: Mapping[str, Any]) -> list[FieldError]:
    """Rules of ``status.conditions``: a type each, and no type twice."""
    errors: Errors = []
    seen = set()
    for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        path, kind = f"status.conditions[{index}].type", condition.get("type") or ""
        if kind in seen:
            errors.append(FieldError("FieldValueDuplicate", path, "", kind))
        seen.add(kind)
        if not kind:
            errors.append(required(path))
    return errors
