"""Which endpoint serves which verb of which resource or subresource: one row each.

To add a subresource: write its file, add its row here, and name it in its kind's ``subresources`` so that discovery
lists it.
"""

from __future__ import annotations

from collections.abc import Mapping

from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.create import create
from steersman.apiserver.endpoints.delete import delete
from steersman.apiserver.endpoints.deletecollection import deletecollection
from steersman.apiserver.endpoints.get import get
from steersman.apiserver.endpoints.list import list_
from steersman.apiserver.endpoints.patch import patch, patch_status
from steersman.apiserver.endpoints.update import update, update_status
from steersman.apiserver.endpoints.watch import watch

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

ANY = "*"
"""In a row's place of group and plural: of every kind that has the subresource."""

SUBRESOURCES: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = {
    (ANY, ANY, "status"): {"get": get, "patch": patch_status, "update": update_status},
}
"""(group, plural, subresource) -> verb -> endpoint."""
