"""From a call to what admission is asked about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.apiserver.admission.api import AdmissionRequest, Operation
from steersman.apiserver.call import Call
from steersman.meta.objects import Object
from steersman.schema.kind import Kind

_NO_OPTIONS: Mapping[str, Any] = {}


def admission_request(
    call: Call,
    kind: Kind,
    operation: Operation,
    *,
    obj: Object | None,
    old: Object | None = None,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str = "",
    dry_run: bool = False,
    options: Mapping[str, Any] = _NO_OPTIONS,
) -> AdmissionRequest:
    """``namespace`` and ``name`` None: those of the URL. Of a namespace, both are its name."""
    return AdmissionRequest(
        operation=operation,
        kind=kind,
        namespace=call.info.namespace if namespace is None else namespace,
        name=call.info.name if name is None else name,
        subresource=subresource,
        verb=call.info.verb,
        obj=obj,
        old=old,
        user=call.user,
        dry_run=dry_run,
        options=options,
        warnings=call.warnings,
        annotations=call.annotations,
        deadline_s=call.deadline_s,
    )
