"""The Node authorizer: a kubelet reads what its own pods need, and nothing of other nodes.

Source: "Using Node Authorization" in the Kubernetes documentation. Which secrets, config maps, claims and volumes a node may
read follows from the pods bound to it; writes by nodes are narrowed further by the NodeRestriction admission plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.authz.api import ALLOWED, NO_OPINION, Attributes, Authorizer, Decision
from steersman.apiserver.authz.rules import Rule
from steersman.apiserver.bootstrap.policy import parse_rules
from steersman.apiserver.bootstrap.roles import CLUSTER_ROLES
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, SERVICEACCOUNTS, VOLUMEATTACHMENTS

NAME = "Node"
NODE_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
_READS = ("get", "list", "watch")

_CHECKED = frozenset(
    {("", "secrets"), ("", "configmaps"), ("", "persistentvolumeclaims"), ("", "persistentvolumes"),
     ("", "serviceaccounts"), ("storage.k8s.io", "volumeattachments"), ("resource.k8s.io", "resourceclaims")}
)  # fmt: skip


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
            key = (attributes.group, attributes.resource)
            if key in _CHECKED and attributes.verb in _READS and not attributes.subresource:
                return self._decide_reference(node, attributes)
            if key == ("", "persistentvolumeclaims"):
                if attributes.subresource != "status" or attributes.verb not in ("get", "update", "patch"):
                    return _no("nodes may only get, update and patch the status of their pods' claims")
                return self._decide_reference(node, attributes)
            if key == ("", "serviceaccounts"):
                return self._decide_token(node, attributes)
            own = self._decide_own(node, attributes)
            if own is not None:
                return own
        if any(rule.allows(attributes) for rule in self._rules):
            return ALLOWED
        return NO_OPINION

    def _decide_own(self, node: str, attributes: Attributes) -> Decision | None:
        match attributes.group, attributes.resource:
            case "coordination.k8s.io", "leases":
                if attributes.namespace != "kube-node-lease":
                    return _no('can only access leases in the "kube-node-lease" system namespace')
                if attributes.verb != "create" and attributes.name != node:
                    return _no("can only access node lease with the same name as the requesting node")
            case "storage.k8s.io", "csinodes":
                if attributes.verb != "create" and attributes.name != node:
                    return _no("can only access CSINode with the same name as the requesting node")
            case "", "nodes":
                if attributes.verb == "get" and attributes.name not in ("", node):
                    return _no("node is not allowed to read other nodes")
        return None

    def _decide_reference(self, node: str, attributes: Attributes) -> Decision:
        if not attributes.name:
            return _no("can only read resources of this type by name, as its pods refer to them")
        wanted = (attributes.resource, attributes.namespace, attributes.name)
        if wanted in self._current().get(node, ()):
            return ALLOWED
        return _no(f"no relationship found between node '{node}' and this object")

    def _decide_token(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb != "create" or attributes.subresource != "token":
            return _no("can only create tokens for individual service accounts")
        wanted = (SERVICEACCOUNTS.plural, attributes.namespace, attributes.name)
        if wanted in self._current().get(node, ()):
            return ALLOWED
        return _no(f"no relationship found between node '{node}' and this object")

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


def _conforms(reader: Reader) -> Authorizer:
    return NodeAuthorizer(reader)
