"""CSIDriver: what a CSI driver can do."""

from __future__ import annotations

from steersman.meta.errors import FieldError, duplicate, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import CSIDRIVERS
from steersman.schema.cells import NONE, UNSET
from steersman.schema.columns import AGE, NAME, computed, flag, value_at
from steersman.schema.equality import same
from steersman.schema.groups.authentication.lifetimes import check_token_lifetime
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_optional_choice

_DEFAULTS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for name, value in _DEFAULTS.items():
        if spec.get(name) is None:
            spec[name] = value
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _token_requests(obj: Object, now: float) -> str:
    requests = value_at(obj, "spec", "tokenRequests")
    return UNSET if requests is None else ",".join(str(entry.get("audience") or "") for entry in requests)


_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_MODES = ("Persistent", "Ephemeral")
_FLAGS = {
    "attachRequired": "attachedRequired",
    "podInfoOnMount": "podInfoOnMount",
    "storageCapacity": "storageCapacity",
}
"""Fields, and what upstream calls them in messages."""
_LEAST_PERIOD_S = 10


def prepare_update(new: Object, old: Object) -> None:
    """Upstream counts generations from the first change on."""
    if not same(new.get("spec"), old.get("spec")):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    errors.extend(required(f"spec.{told}") for name, told in _FLAGS.items() if spec.get(name) is None)
    check_optional_choice(errors, spec.get("fsGroupPolicy"), "spec.fsGroupPolicy", _GROUP_POLICIES)
    requests = spec.get("tokenRequests") or ()
    seen = set()
    for index, entry in enumerate(requests):
        path, audience = f"spec.tokenRequests[{index}]", entry.get("audience") or ""
        if audience in seen:
            errors.append(duplicate(f"{path}.audience", audience))
            continue
        seen.add(audience)
        check_token_lifetime(errors, entry.get("expirationSeconds"), f"{path}.expirationSeconds")
    for mode in spec.get("volumeLifecycleModes") or ():
        check_optional_choice(errors, mode, "spec.volumeLifecycleModes", _MODES)
    if spec.get("seLinuxMount") is None:
        errors.append(required("spec.seLinuxMount"))
    period, in_secrets = spec.get("nodeAllocatableUpdatePeriodSeconds"), spec.get("serviceAccountTokenInSecrets")
    if period is not None and period < _LEAST_PERIOD_S:
        detail = f"must be greater than or equal to {_LEAST_PERIOD_S} seconds"
        errors.append(invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail))
    if in_secrets is not None and not requests:
        detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.append(invalid("spec.serviceAccountTokenInSecrets", in_secrets, detail))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for name, told in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
        check_immutable(errors, spec.get(name), before.get(name), f"spec.{told}")
    return errors


def warnings(obj: Object) -> list[str]:
    spec = obj.get("spec") or {}
    if not spec.get("tokenRequests") or spec.get("serviceAccountTokenInSecrets") is not None:
        return []
    return [
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
        "logging of tokens in volume attributes"
    ]


KIND = Kind(
    resource=CSIDRIVERS,
    definition="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    storage_prefix="csidrivers",
    returns_deleted_object=True,
    allows_unconditional_update=False,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        flag(
            "AttachRequired",
            "spec",
            "attachRequired",
            absent=True,
            documented_by="io.k8s.api.storage.v1.CSIDriverSpec/attachRequired",
        ),
        flag(
            "PodInfoOnMount",
            "spec",
            "podInfoOnMount",
            documented_by="io.k8s.api.storage.v1.CSIDriverSpec/podInfoOnMount",
        ),
        flag(
            "StorageCapacity",
            "spec",
            "storageCapacity",
            documented_by="io.k8s.api.storage.v1.CSIDriverSpec/storageCapacity",
        ),
        computed("TokenRequests", _token_requests, documented_by="io.k8s.api.storage.v1.CSIDriverSpec/tokenRequests"),
        flag(
            "RequiresRepublish",
            "spec",
            "requiresRepublish",
            documented_by="io.k8s.api.storage.v1.CSIDriverSpec/requiresRepublish",
        ),
        computed(
            "Modes",
            lambda obj, now: ",".join(value_at(obj, "spec", "volumeLifecycleModes") or ()) or NONE,
            documented_by="io.k8s.api.storage.v1.CSIDriverSpec/volumeLifecycleModes",
        ),
        AGE,
    ),
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
)
