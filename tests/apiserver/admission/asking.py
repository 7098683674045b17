"""Asking one admission plugin about one write."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.api import (
    AdmissionPlugin,
    AdmissionRequest,
    MutatingPlugin,
    Operation,
    ValidatingPlugin,
)
from steersman.apiserver.admission.chain import AdmissionChain
from steersman.apiserver.admission.metrics import AdmissionMetrics
from steersman.apiserver.authn.api import User
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.groups import REGISTRY

KINDS = {kind.resource: kind for kind in REGISTRY}


def asked(
    resource: Resource,
    obj: Object | None,
    old: Object | None = None,
    *,
    operation: Operation | None = None,
    user: str = "joe",
    **fields: Any,
) -> AdmissionRequest:
    """A request as the server makes it: an update where there is an old object, else a creation."""
    metadata = (obj or old or {})["metadata"]
    return AdmissionRequest(
        operation=operation or ("CREATE" if old is None else "UPDATE"),
        kind=KINDS[resource],
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        obj=obj,
        old=old,
        user=User(name=user),
        **fields,
    )


async def refusal(plugin: ValidatingPlugin, request: AdmissionRequest) -> str:
    """Why validation refuses; empty where it does not."""
    try:
        await _chain(plugin).validate(request)
    except APIError as error:
        return error.message
    return ""


async def mutated(plugin: MutatingPlugin, request: AdmissionRequest) -> Object:
    """What is left of the object after the plugin."""
    await _chain(plugin).mutate(request)
    return request.obj or {}


def _chain(plugin: AdmissionPlugin) -> AdmissionChain:
    return AdmissionChain([plugin], clock=FakeClock(), metrics=AdmissionMetrics(CollectorRegistry()))
