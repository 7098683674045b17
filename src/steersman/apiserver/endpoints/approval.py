"""``certificatesigningrequests/approval``: the conditions that let a signer sign, or not."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.get import get
from steersman.apiserver.endpoints.patch import patching
from steersman.apiserver.endpoints.update import updating
from steersman.apiserver.served import Served
from steersman.apiserver.updating import Strategy
from steersman.meta.errors import FieldError
from steersman.meta.objects import Object


def _prepare(served: Served, new: Object, old: Object) -> None:
    conditions = (new.get("status") or {}).get("conditions")
    new["spec"] = old["spec"]
    status = {key: value for key, value in (old.get("status") or {}).items() if key != "conditions"}
    if conditions:
        status["conditions"] = conditions
    new["status"] = status
    served.kind.prepare_status_update(new, old)


def _errors(served: Served, new: Object, old: Object) -> list[FieldError]:
    return served.kind.validate_status_update(new, old)


_STRATEGY = Strategy(subresource="approval", prepare=_prepare, errors=_errors)
VERBS: Mapping[str, Endpoint] = {"get": get, "update": updating(_STRATEGY), "patch": patching(_STRATEGY)}
