"""``pods/resize``: change the resources of a running pod's containers (KEP-1287)."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.get import get
from steersman.apiserver.endpoints.patch import patching
from steersman.apiserver.endpoints.update import updating
from steersman.apiserver.updating import writing_part

_STRATEGY = writing_part("resize")
VERBS: Mapping[str, Endpoint] = {"get": get, "update": updating(_STRATEGY), "patch": patching(_STRATEGY)}
