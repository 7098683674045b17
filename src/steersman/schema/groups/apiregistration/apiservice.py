"""APIService: a group and version, and who serves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, invalid, not_supported, required
from steersman.meta.names import dns_1035_label_errors, path_segment_errors, port_number_errors, subdomain_errors
from steersman.meta.objects import Object, condition
from steersman.meta.resources import APISERVICES
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.kind import Kind
from steersman.schema.rules import check_name, check_present
from steersman.schema.statuswrites import keep_labels_and_annotations
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    service = (obj.get("spec") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    if obj.get("status") is None:
        obj["status"] = {}


def _service(obj: Object, now: float) -> str:
    service = value_at(obj, "spec", "service")
    return f"{service.get('namespace') or ''}/{service.get('name') or ''}" if service else "Local"


def _available(obj: Object, now: float) -> str:
    available = condition(obj, "Available")
    if available is None:
        return "Unknown"
    status = str(available.get("status") or "")
    return f"{status} ({available['reason']})" if status != "True" and available.get("reason") else status


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    group, version, service = spec.get("group") or "", spec.get("version") or "", spec.get("service")
    name, wanted = obj["metadata"].get("name") or "", f"{version}.{group}"
    if name and name != wanted and not path_segment_errors(name):
        errors.append(invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    if not group and version != "v1":
        errors.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    if group:
        check_name(errors, group, "spec.group", subdomain_errors)
    check_name(errors, version, "spec.version", dns_1035_label_errors)
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            errors.append(invalid(f"spec.{field}", value, f"must be positive and less than {most}"))
    if service is None:
        _check_local(errors, spec)
        return errors
    check_present(errors, service, "spec.service", "namespace", "name")
    port = service.get("port") or 0
    wrong = port_number_errors(port)
    if wrong:
        errors.append(invalid("spec.service.port", port, f"port is not valid: {', '.join(wrong)}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        errors.append(invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return errors


def _check_local(errors: list[FieldError], spec: Mapping[str, Any]) -> None:
    bundle = spec.get("caBundle") or ""
    if bundle:
        size = f"{len(bundle) * 3 // 4 - bundle.count('=')} bytes"
        errors.append(invalid("spec.caBundle", size, "local APIServices may not have a caBundle"))
    if spec.get("insecureSkipTLSVerify"):
        detail = "local APIServices may not have insecureSkipTLSVerify"
        errors.append(invalid("spec.insecureSkipTLSVerify", True, detail))


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, entry in enumerate(value_at(new, "status", "conditions") or ()):
        status = entry.get("status") or ""
        if status not in ("True", "False", "Unknown"):
            errors.append(not_supported(f"status.conditions[{index}].status", status, ("True", "False", "Unknown")))
    return errors


KIND = Kind(
    resource=APISERVICES,
    definition="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    singular="apiservice",
    categories=("api-extensions",),
    subresources=(STATUS,),
    prepare_status_update=keep_labels_and_annotations,
    storage_prefix="apiregistration.k8s.io/apiservices",
    qualifies_finalizers=False,
    has_status=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        computed("Service", _service, description="The reference to the service that hosts this API endpoint."),
        computed("Available", _available, description="Whether this service is available."),
        AGE,
    ),
    name_errors=path_segment_errors,
    prepare_create=prepare_create,
    validate=validate,
    validate_status_update=validate_status_update,
)
