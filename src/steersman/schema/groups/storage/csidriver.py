"""CSIDriver: what a CSI driver can do."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import CSIDRIVERS
from steersman.schema.cells import NONE, UNSET
from steersman.schema.columns import AGE, NAME, computed, flag, value_at
from steersman.schema.kind import Kind

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
)
