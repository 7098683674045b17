"""NodeRestriction: a kubelet writes its own Node, the pods bound to it, its Lease and its CSINode, and nothing else.

Source: "NodeRestriction" in the Kubernetes documentation on admission controllers.
"""

from __future__ import annotations

from collections.abc import Mapping

from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.nodetokens import NodeTokens
from steersman.apiserver.authz.api import Authorizer
from steersman.apiserver.authz.node import node_of, pod_references
from steersman.meta import objects
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import CSINODES, LEASES, NODES, PODS, SERVICEACCOUNTS

MIRROR = "kubernetes.io/config.mirror"
_ALLOWED_LABELS = frozenset(
    {"kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
     "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
     "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
     "failure-domain.kubernetes.io/region", "failure-domain.kubernetes.io/zone",
     "topology.kubernetes.io/region", "topology.kubernetes.io/zone"}
)  # fmt: skip
_ALLOWED_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction:
    NAME = "NodeRestriction"
    OPERATIONS = ("CREATE", "UPDATE", "DELETE")
    RESOURCES = (PODS, NODES, SERVICEACCOUNTS, LEASES, CSINODES)

    def __init__(self, reader: Reader, authorizer: Authorizer) -> None:
        self._reader = reader
        self._tokens = NodeTokens(reader, authorizer)

    async def validate(self, request: AdmissionRequest) -> None:
        node = node_of(request.user.name, request.user.groups)
        if not node:
            return
        match request.kind.resource:
            case resource if resource == PODS:
                self._check_pod(request, node)
            case resource if resource == NODES:
                self._check_node(request, node)
            case resource if resource == SERVICEACCOUNTS:
                if request.subresource == "token" and request.operation == "CREATE":
                    await self._tokens.check(request, node)
            case resource if resource == LEASES:
                if request.namespace == "kube-node-lease" and _name(request) != node:
                    raise _no(request, "can only access node lease with the same name as the requesting node")
            case resource if resource == CSINODES and _name(request) != node:
                raise _no(request, "can only access CSINode with the same name as the requesting node")

    def _check_pod(self, request: AdmissionRequest, node: str) -> None:
        if request.subresource == "eviction":
            self._check_own_pod(request, node, "can only evict pods with spec.nodeName set to itself")
        elif request.subresource == "status":
            if _node_name(request.old) != node:
                raise _no(request, "can only update pod status for pods with spec.nodeName set to itself")
            if request.obj is not None and objects.labels(request.obj) != objects.labels(request.old or {}):
                raise _no(request, "cannot update labels through pod status")
        elif request.subresource:
            raise _no(request, f"unexpected pod subresource {request.subresource}")
        elif request.operation == "CREATE" and request.obj is not None:
            self._check_mirror(request, node, request.obj)
        elif request.operation == "DELETE":
            self._check_own_pod(request, node, "can only delete pods with spec.nodeName set to itself")
        else:
            raise _no(request, f"unexpected operation {request.operation}, node can only create and delete mirror pods")

    def _check_own_pod(self, request: AdmissionRequest, node: str, why: str) -> None:
        pod = request.old or self._reader.get(PODS, request.namespace, request.name)
        if pod is not None and _node_name(pod) != node:
            raise _no(request, f"node {node!r} {why}".replace("'", '"'))

    def _check_mirror(self, request: AdmissionRequest, node: str, pod: Object) -> None:
        if MIRROR not in objects.annotations(pod):
            raise _no(request, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
        if _node_name(pod) != node:
            raise _no(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
        owners = objects.owner_references(pod)
        own = self._reader.get(NODES, "", node)
        if len(owners) != 1 or owners[0].get("kind") != "Node" or owners[0].get("name") != node:
            raise _no(request, f'node "{node}" can only create pods with an owner reference set to itself')
        if own is None or owners[0].get("uid") != objects.uid(own):
            raise _no(request, f"node {node} UID mismatch of the pod's owner reference")
        spec = pod.get("spec") or {}
        if spec.get("serviceAccountName"):
            raise _no(request, f'node "{node}" can not create pods that reference a service account')
        if any(True for _ in pod_references(spec)):
            raise _no(request, f'node "{node}" can not create pods that reference secrets or configmaps')
        if any(volume.get("persistentVolumeClaim") for volume in spec.get("volumes") or ()):
            raise _no(request, f'node "{node}" can not create pods that reference persistentvolumeclaims')

    def _check_node(self, request: AdmissionRequest, node: str) -> None:
        if _name(request) != node:
            raise _no(request, f'node "{node}" is not allowed to modify node "{_name(request)}"')
        if request.obj is None:
            return
        old = request.old or {}
        if (request.obj.get("spec") or {}).get("configSource") != (old.get("spec") or {}).get("configSource"):
            raise _no(request, f'node "{node}" is not allowed to update configSource')
        if request.operation == "CREATE":
            forbidden = _restricted({}, objects.labels(request.obj))
            if forbidden:
                raise _no(request, f'node "{node}" is not allowed to set the following labels: {", ".join(forbidden)}')
            return
        if (request.obj.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
            raise _no(request, f'node "{node}" is not allowed to modify taints')
        forbidden = _restricted(objects.labels(old), objects.labels(request.obj))
        if forbidden:
            raise _no(request, f'node "{node}" is not allowed to modify labels: {", ".join(forbidden)}')
        if objects.owner_references(old) != objects.owner_references(request.obj):
            raise _no(request, f'node "{node}" is not allowed to modify ownerReferences')


def _name(request: AdmissionRequest) -> str:
    return request.name or (objects.name(request.obj) if request.obj else "")


def _node_name(pod: Object | None) -> str:
    return ((pod or {}).get("spec") or {}).get("nodeName") or ""


def _restricted(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
    return sorted(key for key in changed if _is_restricted(key))


def _is_restricted(key: str) -> bool:
    domain, slash, _ = key.rpartition("/")
    if not slash or key in _ALLOWED_LABELS:
        return False
    if domain == "node-restriction.kubernetes.io" or domain.endswith(".node-restriction.kubernetes.io"):
        return True
    if any(domain == allowed or domain.endswith(f".{allowed}") for allowed in _ALLOWED_NAMESPACES):
        return False
    return any(domain == name or domain.endswith(f".{name}") for name in ("kubernetes.io", "k8s.io"))


def _no(request: AdmissionRequest, why: str) -> Forbidden:
    return Forbidden.of(request.kind.resource, _name(request), why)


def _conforms(reader: Reader, authorizer: Authorizer) -> ValidatingPlugin:
    return NodeRestriction(reader, authorizer)
