"""The Node authorizer: a kubelet reads what its own pods need, and nothing of other nodes.

Source: "Using Node Authorization" in the Kubernetes documentation. Which secrets, config maps, claims and volumes a node may
read follows from the pods bound to it; pods it lists and watches by the field selector of its own name. Writes by nodes are narrowed further by the NodeRestriction admission plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.authz.api import ALLOWED, NO_OPINION, Attributes, Authorizer, Decision
from steersman.apiserver.authz.rules import Rule
from steersman.apiserver.bootstrap.policy import parse_rules
from steersman.apiserver.bootstrap.roles import CLUSTER_ROLES
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    RESOURCESLICES,
    VOLUMEATTACHMENTS,
    Resource,
)

NAME = "Node"
NODE_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"


def node_of(name: str, groups: Iterable[str]) -> str:
    """The node that a user is, or an empty string."""
    return name.removeprefix(NODE_PREFIX) if name.startswith(NODE_PREFIX) and NODES_GROUP in groups else ""


class NodeAuthorizer:
    """Allows what ``system:node`` lists, and of the objects that pods refer to only those of the node's own pods."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rules = tuple(Rule.of(rule) for rule in parse_rules(CLUSTER_ROLES["system:node"]))
        self._revision = -1
        self._references: dict[str, set[tuple[str, str, str]]] = {}

    async def authorize(self, attributes: Attributes) -> Decision:
        node = node_of(attributes.user.name, attributes.user.groups)
        if not node:
            return NO_OPINION
        if attributes.is_resource:
            decide = _DECIDED.get((attributes.group, attributes.resource))
            if decide is not None:
                return decide(self, node, attributes)
        if any(rule.allows(attributes) for rule in self._rules):
            return ALLOWED
        return NO_OPINION

    def _decide_read(self, node: str, attributes: Attributes) -> Decision:
        """Secrets and config maps: one may be listed and watched by its name, too."""
        if attributes.verb not in ("get", "list", "watch"):
            return _no("can only read resources of this type")
        if attributes.subresource:
            return _no("cannot read subresource")
        if not attributes.namespace:
            return _no("can only read namespaced object of this type")
        return self._decide_reference(node, attributes)

    def _decide_get(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb != "get":
            return _no("can only get individual resources of this type")
        if attributes.subresource:
            return _no("cannot get subresource")
        return self._decide_reference(node, attributes)

    def _decide_claim(self, node: str, attributes: Attributes) -> Decision:
        if attributes.subresource != "status":
            return self._decide_get(node, attributes)
        if attributes.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._decide_reference(node, attributes)

    def _decide_account(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb == "get" and not attributes.subresource:
            return self._decide_read(node, attributes)
        if attributes.verb != "create" or not attributes.name:
            return _no("can only create tokens for individual service accounts")
        if attributes.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._decide_reference(node, attributes)

    def _decide_lease(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb not in _OWN_OBJECT:
            return _no("can only get, create, update, patch, or delete a node lease")
        if attributes.namespace != "kube-node-lease":
            return _no('can only access leases in the "kube-node-lease" system namespace')
        if attributes.verb != "create" and attributes.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return ALLOWED

    def _decide_csinode(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb not in _OWN_OBJECT:
            return _no("can only get, create, update, patch, or delete a CSINode")
        if attributes.subresource:
            return _no("cannot authorize CSINode subresources")
        if attributes.verb != "create" and attributes.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return ALLOWED

    def _decide_node(self, node: str, attributes: Attributes) -> Decision:
        """Which Node it writes is up to the NodeRestriction admission plugin."""
        verb = attributes.verb
        if attributes.subresource == "status":
            return ALLOWED if verb in ("update", "patch") else NO_OPINION
        if attributes.subresource:
            return NO_OPINION
        if verb in ("get", "list", "watch"):
            if attributes.name == node:
                return ALLOWED
            others = f"'{attributes.name}'" if attributes.name else "all nodes"
            return _no(f"node '{node}' cannot read {others}, only its own Node object")
        return ALLOWED if verb in ("create", "update", "patch") else NO_OPINION

    def _decide_pod(self, node: str, attributes: Attributes) -> Decision:
        """Which pods it writes is up to the NodeRestriction admission plugin."""
        verb, subresource = attributes.verb, attributes.subresource
        if subresource:
            allowed = {"status": ("update", "patch"), "eviction": ("create",)}.get(subresource, ())
            return ALLOWED if verb in allowed else NO_OPINION
        if verb == "get":
            return self._decide_bound(node, PODS, attributes)
        if verb in ("list", "watch"):
            if attributes.field_selector.requires("spec.nodeName", node):
                return ALLOWED
            if attributes.name:
                return self._decide_bound(node, PODS, attributes)
            return _no("can only list/watch pods with spec.nodeName field selector")
        return ALLOWED if verb in ("create", "delete") else NO_OPINION

    def _decide_slice(self, node: str, attributes: Attributes) -> Decision:
        verb = attributes.verb
        if attributes.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if verb == "create":
            return ALLOWED
        if verb in _OWN_OBJECT:
            return self._decide_bound(node, RESOURCESLICES, attributes)
        if verb not in ("watch", "list", "deletecollection"):
            return _no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, "
                "deletecollection"
            )
        if attributes.field_selector.requires("spec.nodeName", node):
            return ALLOWED
        return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")

    def _decide_bound(self, node: str, resource: Resource, attributes: Attributes) -> Decision:
        """An object that says in its spec to which node it belongs."""
        if not attributes.name:
            return _no("No Object name found")
        found = self._reader.get(resource, attributes.namespace, attributes.name)
        if found is not None and (found.get("spec") or {}).get("nodeName") == node:
            return ALLOWED
        return _unrelated(node)

    def _decide_reference(self, node: str, attributes: Attributes) -> Decision:
        if not attributes.name:
            return _no("No Object name found")
        wanted = (attributes.resource, attributes.namespace, attributes.name)
        return ALLOWED if wanted in self._current().get(node, ()) else _unrelated(node)

    def _current(self) -> dict[str, set[tuple[str, str, str]]]:
        resources = (PODS, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, VOLUMEATTACHMENTS)
        revision = max(self._reader.revision(resource) for resource in resources)
        if revision != self._revision:
            self._references = self._collect()
            self._revision = revision
        return self._references

    def _collect(self) -> dict[str, set[tuple[str, str, str]]]:
        references: dict[str, set[tuple[str, str, str]]] = {}
        for pod in self._reader.list(PODS):
            node = (pod.get("spec") or {}).get("nodeName")
            if node:
                references.setdefault(node, set()).update(self._of_pod(pod))
        for attachment in self._reader.list(VOLUMEATTACHMENTS):
            node = (attachment.get("spec") or {}).get("nodeName")
            if node:
                references.setdefault(node, set()).add((VOLUMEATTACHMENTS.plural, "", objects.name(attachment)))
        return references

    def _of_pod(self, pod: Object) -> Iterator[tuple[str, str, str]]:
        namespace, spec = objects.namespace(pod), pod.get("spec") or {}
        if spec.get("serviceAccountName"):
            yield "serviceaccounts", namespace, spec["serviceAccountName"]
        for kind, name in pod_references(spec):
            yield kind, namespace, name
        for volume in spec.get("volumes") or ():
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if not claim and volume.get("ephemeral"):
                claim = f"{objects.name(pod)}-{volume.get('name')}"
            if claim:
                yield "persistentvolumeclaims", namespace, claim
                yield from self._of_claim(namespace, claim)
        for claim in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
            if claim.get("resourceClaimName"):
                yield "resourceclaims", namespace, claim["resourceClaimName"]
        for claim in spec.get("resourceClaims") or ():
            if claim.get("resourceClaimName"):
                yield "resourceclaims", namespace, claim["resourceClaimName"]

    def _of_claim(self, namespace: str, name: str) -> Iterator[tuple[str, str, str]]:
        claim = self._reader.get(PERSISTENTVOLUMECLAIMS, namespace, name)
        volume_name = ((claim or {}).get("spec") or {}).get("volumeName")
        if not volume_name:
            return
        yield "persistentvolumes", "", volume_name
        volume = self._reader.get(PERSISTENTVOLUMES, "", volume_name)
        for source in ((volume or {}).get("spec") or {}).values():
            if isinstance(source, dict):
                for field, reference in source.items():
                    if field.lower().endswith("secretref") and isinstance(reference, dict) and reference.get("name"):
                        yield "secrets", reference.get("namespace") or namespace, reference["name"]


_OWN_OBJECT = ("get", "create", "update", "patch", "delete")
_DECIDED: Mapping[tuple[str, str], Callable[[NodeAuthorizer, str, Attributes], Decision]] = {
    ("", "secrets"): NodeAuthorizer._decide_read,
    ("", "configmaps"): NodeAuthorizer._decide_read,
    ("", "persistentvolumeclaims"): NodeAuthorizer._decide_claim,
    ("", "persistentvolumes"): NodeAuthorizer._decide_get,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._decide_get,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._decide_get,
    ("", "serviceaccounts"): NodeAuthorizer._decide_account,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._decide_lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._decide_csinode,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._decide_slice,
    ("", "nodes"): NodeAuthorizer._decide_node,
    ("", "pods"): NodeAuthorizer._decide_pod,
}
"""What is not decided by the rules of ``system:node`` alone."""


def pod_references(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Config maps and secrets that a pod spec names, as (``configmaps`` or ``secrets``, name)."""
    for entry in spec.get("imagePullSecrets") or ():
        if entry.get("name"):
            yield "secrets", entry["name"]
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _container_references(container)
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from _volume_references(source)


def _container_references(container: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in container.get("env") or ():
        source = entry.get("valueFrom") or {}
        for field, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            name = (source.get(field) or {}).get("name")
            if name:
                yield kind, name
    for entry in container.get("envFrom") or ():
        for field, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            name = (entry.get(field) or {}).get("name")
            if name:
                yield kind, name


def _volume_references(source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    configured = (source.get("configMap") or {}).get("name")
    if configured:
        yield "configmaps", configured
    for field, value in source.items():
        if not isinstance(value, dict):
            continue
        if field == "secret":
            name = value.get("secretName") or value.get("name")
            if name:
                yield "secrets", name
            continue
        for inner, reference in value.items():
            if inner.lower().endswith("secretref") and isinstance(reference, dict) and reference.get("name"):
                yield "secrets", reference["name"]


def _no(reason: str) -> Decision:
    return Decision(allowed=False, reason=reason)


def _unrelated(node: str) -> Decision:
    return _no(f"no relationship found between node '{node}' and this object")


def _conforms(reader: Reader) -> Authorizer:
    return NodeAuthorizer(reader)
