"""CustomResourceDefinition: a kind that users define."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from steersman.meta.errors import FieldError, forbidden, invalid, required
from steersman.meta.names import dns_1035_label_errors, subdomain_errors
from steersman.meta.objects import Object, condition
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS
from steersman.schema.columns import CREATED_AT, NAME, value_at
from steersman.schema.groups.admissionregistration.policies import check_kind
from steersman.schema.groups.apiextensions.conditions import deletion_begun
from steersman.schema.groups.apiextensions.openapischema import unrecognized_formats
from steersman.schema.groups.apiextensions.versions import check_common, check_versions
from steersman.schema.kind import Kind
from steersman.schema.rules import check_choice, check_immutable, check_present
from steersman.schema.subresources import STATUS
from steersman.schema.webhookclients import check_client, check_review_versions


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.get("names")
    if names is None:
        names = spec["names"] = {}
    kind = names.get("kind") or ""
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = f"{kind}List"
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    service = (((spec["conversion"].get("webhook") or {}).get("clientConfig")) or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("storedVersions"):
        status["storedVersions"] = stored_versions(spec)


def stored_versions(spec: Mapping[str, Any]) -> list[str]:
    """The one version that is stored, or none where the definition does not say (validation refuses that)."""
    return [version.get("name") or "" for version in spec.get("versions") or () if version.get("storage")][:1]


_APPROVAL = "api-approved.kubernetes.io"
_APPROVED_BY = "see https://github.com/kubernetes/enhancements/pull/1111"


def prepare_create(obj: Object) -> None:
    spec = obj.get("spec") or {}
    obj["status"] = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored_versions(spec),
    }


def prepare_update(new: Object, old: Object) -> None:
    """A version that becomes the stored one has been stored from then on."""
    status = new.get("status") or {}
    known = status.get("storedVersions") or []
    added = [name for name in stored_versions(new.get("spec") or {}) if name not in known]
    if added:
        new["status"] = {**status, "storedVersions": [*known, *added]}


def validate(obj: Object) -> list[FieldError]:
    """The beginning; the rest follows what the definition was before."""
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    name = obj["metadata"].get("name")
    if name and name != f"{names.get('plural') or ''}.{group}":
        errors.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    wrong = subdomain_errors(group) if group else []
    if not group:
        errors.append(required("spec.group"))
    elif wrong:
        errors.append(invalid("spec.group", group, ",".join(wrong)))
    elif "." not in group:
        errors.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    check_choice(errors, spec.get("scope"), "spec.scope", ("Cluster", "Namespaced"))
    return errors


def _rest_errors(obj: Object, before: Object) -> list[FieldError]:
    """``before``: the spec of the definition that is updated; empty for a new one."""
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    names, versions, had = spec.get("names") or {}, spec.get("versions") or (), before.get("versions") or ()
    check_versions(errors, versions, had)
    check_present(errors, names, "spec.names", "plural", "singular", "kind", "listKind")
    _check_names(errors, names, "spec.names")
    check_common(errors, versions, had)
    _check_conversion(errors, spec.get("conversion") or {}, "spec.conversion")
    return errors


def _status_errors(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    status, versions = obj.get("status") or {}, value_at(obj, "spec", "versions") or ()
    _check_names(errors, status.get("acceptedNames") or {}, "status.acceptedNames")
    _check_stored(errors, status.get("storedVersions") or [], versions, "status.storedVersions")
    return errors


def _pruning_errors(obj: Object) -> list[FieldError]:
    if not value_at(obj, "spec", "preserveUnknownFields"):
        return []
    detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [invalid("spec.preserveUnknownFields", True, detail)]


def _check_names(errors: list[FieldError], names: Mapping[str, Any], path: str) -> None:
    plural, singular, kind, list_kind = (names.get(name) or "" for name in ("plural", "singular", "kind", "listKind"))
    for field, value in (("plural", plural), ("singular", singular)):
        wrong = dns_1035_label_errors(value) if value else []
        if wrong:
            errors.append(invalid(f"{path}.{field}", value, ",".join(wrong)))
    for field, value in (("kind", kind), ("listKind", list_kind)):
        if value:
            check_kind(errors, value, f"{path}.{field}")
    for field in ("shortNames", "categories"):
        for index, value in enumerate(names.get(field) or ()):
            wrong = dns_1035_label_errors(value)
            if wrong:
                errors.append(invalid(f"{path}.{field}[{index}]", value, ",".join(wrong)))
    if kind and kind == list_kind:
        errors.append(invalid(f"{path}.listKind", list_kind, "kind and listKind may not be the same"))


def _check_conversion(errors: list[FieldError], conversion: Mapping[str, Any], path: str) -> None:
    """Messages speak of ``webhookClientConfig``, as upstream's do, which is what v1beta1 called it."""
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook") or {}
    check_choice(errors, strategy, f"{path}.strategy", ("None", "Webhook"))
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy == "Webhook":
        if client is None:
            errors.append(required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook"))
        else:
            check_client(errors, client, f"{path}.webhookClientConfig")
        check_review_versions(errors, versions, f"{path}.conversionReviewVersions")
        return
    detail = "should not be set when strategy is not set to Webhook"
    if client is not None:
        errors.append(forbidden(f"{path}.webhookClientConfig", detail))
    if versions:
        errors.append(forbidden(f"{path}.conversionReviewVersions", detail))


def _check_stored(errors: list[FieldError], stored: Sequence[str], versions: Sequence[Object], path: str) -> None:
    if not stored:
        errors.append(invalid(path, list(stored) or None, "must have at least one stored version"))
        return
    names = {version.get("name") for version in versions}
    errors.extend(
        invalid(path, list(stored), f"must have the storage version {version.get('name')}")
        for version in versions
        if version.get("storage") and version.get("name") not in stored
    )
    for index, name in enumerate(stored):
        if name not in names:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until "
                f"a storage migration ensures no data remains persisted in {name} and removes {name} from "
                "status.storedVersions"
            )
            errors.append(invalid(f"{path}[{index}]", name, detail))


def validate_create(obj: Object) -> list[FieldError]:
    return _rest_errors(obj, {}) + _status_errors(obj) + _approval_errors(obj) + _pruning_errors(obj)


def _approval_errors(obj: Object) -> list[FieldError]:
    """Groups of the community's own need its approval."""
    group, path = value_at(obj, "spec", "group") or "", f"metadata.annotations[{_APPROVAL}]"
    if not f".{group}".endswith((".k8s.io", ".kubernetes.io")):
        return []
    approval = annotations_of(obj).get(_APPROVAL) or ""
    intro = f'protected groups must have approval annotation "{_APPROVAL}"'
    if not approval:
        return [required(path, f"{intro}, {_APPROVED_BY}")]
    if approval.startswith("unapproved") or _is_url(approval):
        return []
    detail = f'{intro} with either a URL or a reason starting with "unapproved", {_APPROVED_BY}'
    return [invalid(path, approval, detail)]


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = _rest_errors(new, before)
    names, names_before = spec.get("names") or {}, before.get("names") or {}
    established = condition(old, "Established")
    if established is not None and established.get("status") == "True":
        check_immutable(errors, spec.get("scope"), before.get("scope"), "spec.scope")
        check_immutable(errors, names.get("kind"), names_before.get("kind"), "spec.names.kind")
    check_immutable(errors, spec.get("group"), before.get("group"), "spec.group")
    check_immutable(errors, names.get("plural"), names_before.get("plural"), "spec.names.plural")
    errors += _status_errors(new)
    if annotations_of(new).get(_APPROVAL) != annotations_of(old).get(_APPROVAL):
        errors += _approval_errors(new)
    return errors + _pruning_errors(new)


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    _check_names(errors, value_at(new, "status", "acceptedNames") or {}, "status.acceptedNames")
    return errors


def warnings(obj: Object) -> list[str]:
    return [f'unrecognized format "{name}"' for name in _unrecognized_formats(obj)]


def update_warnings(new: Object, old: Object) -> list[str]:
    known = set(_unrecognized_formats(old))
    return [f'unrecognized format "{name}"' for name in _unrecognized_formats(new) if name not in known]


def _unrecognized_formats(obj: Object) -> list[str]:
    schemas = [
        schema
        for version in value_at(obj, "spec", "versions") or ()
        if (schema := value_at(version, "schema", "openAPIV3Schema")) is not None
    ]
    return [name for schema in schemas for name in unrecognized_formats(schema)]


KIND = Kind(
    resource=CUSTOMRESOURCEDEFINITIONS,
    definition="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    singular="customresourcedefinition",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(STATUS,),
    storage_prefix="apiextensions.k8s.io/customresourcedefinitions",
    has_status=True,
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        CREATED_AT,
    ),
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=warnings,
    update_warnings=update_warnings,
    begin_deletion=deletion_begun,
    qualifies_finalizers=False,
)
