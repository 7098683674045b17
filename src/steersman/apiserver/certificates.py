"""CertificateSigningRequests remember who asked: what the signer signs is decided by that."""

from __future__ import annotations

from steersman.apiserver.api import Reservation, StorageHook
from steersman.apiserver.call import Call
from steersman.meta.objects import Object

_REQUESTER = ("username", "uid", "groups", "extra")


class CertificateRequester:
    """The storage hook that fills in the requesting user, whatever the client says."""

    async def begin_create(self, call: Call, obj: Object, *, dry_run: bool) -> Reservation | None:
        spec = obj.setdefault("spec", {})
        for field in _REQUESTER:
            spec.pop(field, None)
        user = call.user
        spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}
        return None

    async def begin_update(self, call: Call, obj: Object, old: Object, *, dry_run: bool) -> Reservation | None:
        obj["spec"] = old["spec"]
        if "status" in old:
            obj["status"] = old["status"]
        return None

    async def after_delete(self, obj: Object) -> None:
        return None


def _conforms() -> StorageHook:
    return CertificateRequester()
