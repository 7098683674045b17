"""Objects that every cluster of ours has beyond what the API server makes itself: the DNS Service and its identity.

The DNS server runs as a process of the control plane, so the Service has no selector: its EndpointSlice names the
machine. Names are those that installers use, because tests and charts look for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from steersman.client.api import Client
from steersman.cluster.configuration import ClusterConfig
from steersman.cluster.programs import DNS_PORT
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object, name, namespace
from steersman.meta.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ENDPOINTSLICES, SERVICES, Resource

DNS_USER = "system:serviceaccount:kube-system:coredns"
NETWORK_USER = "system:steersman:network"


def addons(config: ClusterConfig) -> list[tuple[Resource, Object]]:
    """The objects, in the order in which they are made."""
    rows = [
        *_identity("system:coredns", DNS_USER, [
            _rule([""], ["services", "pods", "namespaces", "endpoints", "nodes"], ["list", "watch"]),
            _rule(["discovery.k8s.io"], ["endpointslices"], ["list", "watch"]),
        ]),
        *_identity(NETWORK_USER, NETWORK_USER, [
            _rule([""], ["nodes", "pods", "namespaces"], ["get", "list", "watch"]),
            _rule([""], ["nodes/status"], ["patch", "update"]),
            _rule([""], ["events"], ["create", "patch", "update"]),
            _rule(["networking.k8s.io"], ["networkpolicies"], ["get", "list", "watch"]),
        ]),
    ]  # fmt: skip
    if config.nodes:
        rows += [(SERVICES, _dns_service(config)), (ENDPOINTSLICES, _dns_endpoints(config))]
    return rows


async def ensure(client: Client, config: ClusterConfig) -> None:
    """Create what is missing. What exists stays as its owner left it, except the endpoints, which follow the machine."""
    for resource, obj in addons(config):
        try:
            await client.get(resource, name(obj), namespace=namespace(obj))
        except NotFound:
            await client.create(resource, obj)
            continue
        if resource is ENDPOINTSLICES:
            patch = {"endpoints": obj["endpoints"], "ports": obj["ports"]}
            await client.patch(resource, name(obj), patch, namespace=namespace(obj))


def _rule(groups: Sequence[str], resources: Sequence[str], verbs: Sequence[str]) -> Object:
    return {"apiGroups": [*groups], "resources": [*resources], "verbs": [*verbs]}


def _identity(role: str, user: str, rules: list[Object]) -> list[tuple[Resource, Object]]:
    group = "rbac.authorization.k8s.io"
    return [
        (
            CLUSTERROLES,
            {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": rules},
        ),
        (
            CLUSTERROLEBINDINGS,
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": role},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            },
        ),
    ]


def _dns_service(config: ClusterConfig) -> Object:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": DNS_PORT},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": DNS_PORT},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {"clusterIP": config.dns_address, "ports": ports},
    }


def _dns_endpoints(config: ClusterConfig) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-steersman",
            "namespace": "kube-system",
            "labels": {
                "kubernetes.io/service-name": "kube-dns",
                "endpointslice.kubernetes.io/managed-by": "steersman.dev",
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [config.machine_address], "conditions": {"ready": True}}],
        "ports": [
            {"name": "dns", "port": DNS_PORT, "protocol": "UDP"},
            {"name": "dns-tcp", "port": DNS_PORT, "protocol": "TCP"},
        ],
    }
