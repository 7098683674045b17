"""CSIDriver: what a CSI driver can do."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import CSIDRIVERS
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


KIND = Kind(
    resource=CSIDRIVERS,
    definition="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    storage_prefix="csidrivers",
    allows_unconditional_update=False,
    delete_returns_object=True,
    default=default,
)
