"""Who may ask for devices as an administrator, allocate them, and report on them.

Upstream checks this where claims are stored; here it is a plugin that is always on. Administrative access needs a label on
the namespace; whoever allocates or reserves needs ``update`` or ``patch`` (the request's verb) on ``resourceclaims/binding``,
whoever writes ``status.devices`` the same on ``resourceclaims/driver`` named after the driver, with a prefix that says
whether the claim is allocated to the node that the service account's token is bound to. Sources: "Admin access" and "Harden
dynamic resource allocation" in the Kubernetes documentation, KEP 4817.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.apiserver.filters.authorization import forbidden as forbidden_request
from steersman.meta import objects
from steersman.meta.errors import FieldError, Invalid, forbidden, internal
from steersman.meta.resources import NAMESPACES, RESOURCECLAIMS, RESOURCECLAIMTEMPLATES

ADMIN_LABEL = "resource.kubernetes.io/admin-access"
NODE_NAME = "authentication.kubernetes.io/node-name"
_NO_LABEL = f"admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"


class ResourceClaimAccess:
    NAME = "ResourceClaimAccess"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (RESOURCECLAIMS, RESOURCECLAIMTEMPLATES)

    def __init__(self, reader: Reader, authorizer: Authorizer) -> None:
        self._reader = reader
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        resource, obj = request.kind.resource, request.obj
        if resource not in (RESOURCECLAIMS, RESOURCECLAIMTEMPLATES) or obj is None:
            return
        if request.operation == "CREATE":
            spec = obj.get("spec") or {}
            errors = self._check_admin(
                request, _admin_requests(spec if resource == RESOURCECLAIMS else spec.get("spec"))
            )
        elif request.subresource == "status":
            errors = await self._check_status(request, obj.get("status") or {}, (request.old or {}).get("status") or {})
        else:
            return
        if errors:
            raise Invalid.of(request.kind.resource.kind, resource.group, objects.name(obj), errors)

    async def _check_status(
        self, request: AdmissionRequest, new: Mapping[str, Any], old: Mapping[str, Any]
    ) -> list[FieldError]:
        errors: list[FieldError] = []
        if not any(_admin_results(old)):
            errors += self._check_admin(request, _admin_results(new))
        if any((new.get(field) or None) != (old.get(field) or None) for field in ("allocation", "reservedFor")):
            refusal = await self._refusal(
                request, Attributes(user=request.user, verb=request.verb, subresource="binding")
            )
            if refusal:
                needed = f'resource="resourceclaims/binding", verb="{request.verb}" permission'
                text = f"changing status.allocation or status.reservedFor requires {needed}: {refusal}"
                errors.append(forbidden("status.allocation", text))
        if new.get("allocation"):
            errors += await self._check_drivers(request, new, old)
        return errors

    def _check_admin(self, request: AdmissionRequest, paths: Iterator[str]) -> list[FieldError]:
        path = next(paths, "")
        if not path:
            return []
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            problem = f'namespaces "{request.namespace}" not found'
            return [internal(path, f"could not retrieve namespace to verify admin access: {problem}")]
        return [] if objects.labels(namespace).get(ADMIN_LABEL) == "true" else [forbidden(path, _NO_LABEL)]

    async def _check_drivers(
        self, request: AdmissionRequest, new: Mapping[str, Any], old: Mapping[str, Any]
    ) -> list[FieldError]:
        verbs = [f"arbitrary-node:{request.verb}"]
        if _is_bound_to(request.user, _node_of(new["allocation"])):
            verbs.insert(0, f"associated-node:{request.verb}")
        errors = []
        for driver in sorted(_changed_drivers(new.get("devices") or (), old.get("devices") or ())):
            asked = Attributes(
                user=request.user, verb="", namespace=request.namespace, subresource="driver", name=driver
            )
            refusals = [await self._refusal(request, replace(asked, verb=verb)) for verb in verbs]
            if all(refusals):
                needed = f'resource="resourceclaims/driver", verb="[{" ".join(verbs)}]" permission'
                errors.append(forbidden("status.devices", f"changing status.devices requires {needed}: {refusals[0]}"))
        return errors

    async def _refusal(self, request: AdmissionRequest, attributes: Attributes) -> str:
        """Empty where the user may."""
        resource = request.kind.resource
        asked = replace(attributes, group=resource.group, version=resource.version, resource=resource.plural)
        decision = await self._authorizer.authorize(asked)
        return "" if decision.allowed else forbidden_request(asked, decision.reason).message


def _admin_requests(spec: Any) -> Iterator[str]:
    for index, entry in enumerate((((spec or {}).get("devices")) or {}).get("requests") or ()):
        if (entry.get("exactly") or {}).get("adminAccess"):
            yield f"spec.devices.requests[{index}].adminAccess"


def _admin_results(status: Mapping[str, Any]) -> Iterator[str]:
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    for index, result in enumerate(results):
        if result.get("adminAccess"):
            yield f"status.allocation.devices.results[{index}].adminAccess"


def _changed_drivers(new: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]]) -> set[str]:
    """Drivers of which a device's report came, went or changed."""
    before = {_key(device): device for device in old}
    after = {_key(device): device for device in new}
    return {key[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _key(device: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return device["driver"], device["pool"], device["device"], device.get("shareID") or ""


def _node_of(allocation: Mapping[str, Any]) -> str:
    """The one node that the allocation is for; empty where it is not for a single named node."""
    terms = (allocation.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    if len(terms) != 1 or terms[0].get("matchExpressions") or len(terms[0].get("matchFields") or ()) != 1:
        return ""
    field = terms[0]["matchFields"][0]
    if field.get("key") != "metadata.name" or field.get("operator") != "In" or len(field.get("values") or ()) != 1:
        return ""
    return str(field["values"][0])


def _is_bound_to(user: User, node_name: str) -> bool:
    is_account = user.name.startswith("system:serviceaccount:")
    return bool(node_name) and is_account and tuple(user.extra.get(NODE_NAME) or ()) == (node_name,)


def _conforms(reader: Reader, authorizer: Authorizer) -> ValidatingPlugin:
    return ResourceClaimAccess(reader, authorizer)
