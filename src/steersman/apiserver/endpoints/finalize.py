"""PUT of ``namespaces/<name>/finalize``: the namespace controller takes its finalizer off; the last one lets it go."""

from __future__ import annotations

from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.update import updating
from steersman.apiserver.served import Served
from steersman.apiserver.updating import Strategy
from steersman.meta.errors import FieldError, invalid
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object


def _prepare(served: Served, new: Object, old: Object) -> None:
    new["status"] = old.get("status") or {}


def _errors(served: Served, new: Object, old: Object) -> list[FieldError]:
    finalizers = (new.get("spec") or {}).get("finalizers") or ()
    return [
        invalid(f"spec.finalizers[{position}]", finalizer, text)
        for position, finalizer in enumerate(finalizers)
        for text in label_key_errors(finalizer)
    ]


finalize: Endpoint = updating(Strategy(subresource="finalize", prepare=_prepare, errors=_errors))
