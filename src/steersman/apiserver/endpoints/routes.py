"""Which endpoint serves which verb of which resource or subresource: one row each.

To add a subresource: write its file, add its row here, and name it in its kind's ``subresources`` so that discovery
lists it.
"""

from __future__ import annotations

from collections.abc import Mapping

from steersman.apiserver.endpoints import proxy, scale, streaming
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.binding import bind, create_binding
from steersman.apiserver.endpoints.componentstatuses import get_component_status, list_component_statuses
from steersman.apiserver.endpoints.create import create
from steersman.apiserver.endpoints.delete import delete
from steersman.apiserver.endpoints.deletecollection import deletecollection
from steersman.apiserver.endpoints.eviction import evict
from steersman.apiserver.endpoints.get import get
from steersman.apiserver.endpoints.list import list_
from steersman.apiserver.endpoints.log import log
from steersman.apiserver.endpoints.part import part
from steersman.apiserver.endpoints.patch import patch, patch_status
from steersman.apiserver.endpoints.update import update, update_status
from steersman.apiserver.endpoints.watch import watch
from steersman.apiserver.extensions import scale as custom_scale

VERBS: Mapping[str, Endpoint] = {
    "create": create,
    "delete": delete,
    "deletecollection": deletecollection,
    "get": get,
    "list": list_,
    "patch": patch,
    "update": update,
    "watch": watch,
}

OWN_VERBS: Mapping[tuple[str, str, str], Endpoint] = {
    ("", "bindings", "create"): create_binding,
    ("", "componentstatuses", "get"): get_component_status,
    ("", "componentstatuses", "list"): list_component_statuses,
}
"""(group, plural, verb) of kinds that are not stored as others are."""

ANY = "*"
"""In a row's place of group and plural: of every kind that has the subresource."""

SUBRESOURCES: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = {
    (ANY, ANY, "status"): {"get": get, "patch": patch_status, "update": update_status},
    (ANY, ANY, "scale"): custom_scale.VERBS,
    ("", "namespaces", "finalize"): {"update": part("finalize")["update"]},
    ("", "pods", "binding"): {"create": bind},
    ("", "pods", "ephemeralcontainers"): part("ephemeralcontainers"),
    ("", "pods", "eviction"): {"create": evict},
    ("", "pods", "resize"): part("resize"),
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): part("approval"),
    ("", "pods", "log"): {"get": log},
    **proxy.ROWS,
    **scale.ROWS,
    **streaming.ROWS,
}
"""(group, plural, subresource) -> verb -> endpoint."""
