"""Enumerated types of namespaces, nodes, quotas, Services and the network."""

from __future__ import annotations

from steersman.schema.enumerations.enumeration import Enumeration
from steersman.schema.groups.core.resourcequota import SCOPES
from steersman.schema.groups.core.service import AFFINITIES, TRAFFIC_POLICIES, TYPES
from steersman.schema.groups.core.serviceaddresses import FAMILIES, POLICIES
from steersman.schema.groups.discovery.endpointslice import ADDRESS_TYPES
from steersman.schema.groups.networking.backends import PATH_TYPES
from steersman.schema.groups.networking.networkpolicy import TYPES as NETWORK_POLICY_TYPES

_CORE = "io.k8s.api.core.v1"
_SERVICE = f"{_CORE}.ServiceSpec"

CLUSTER: tuple[Enumeration, ...] = (
    Enumeration(
        values=("Active", "Terminating"),
        meanings={"Active": "it can be used.", "Terminating": "it is being deleted with all that is in it."},
        fields=(f"{_CORE}.NamespaceStatus/phase",),
    ),
    Enumeration(
        values=("Pending", "Running", "Terminated"),
        meanings={
            "Pending": "added, and not set up yet.",
            "Running": "set up, with the components of Kubernetes running.",
            "Terminated": "removed from the cluster.",
        },
        fields=(f"{_CORE}.NodeStatus/phase",),
    ),
    Enumeration(
        values=SCOPES,
        meanings={
            "BestEffort": "pods of the quality of service BestEffort.",
            "CrossNamespacePodAffinity": "pods with an affinity or anti-affinity to pods of other namespaces.",
            "NotBestEffort": "pods of any other quality of service.",
            "NotTerminating": "pods without activeDeadlineSeconds.",
            "PriorityClass": "pods that name a priority class.",
            "Terminating": "pods with activeDeadlineSeconds.",
            "VolumeAttributesClass": "claims that name a volume attributes class.",
        },
        fields=(f"{_CORE}.ResourceQuotaSpec/scopes", f"{_CORE}.ScopedResourceSelectorRequirement/scopeName"),
    ),
    Enumeration(
        values=("DoesNotExist", "Exists", "In", "NotIn"),
        fields=(f"{_CORE}.ScopedResourceSelectorRequirement/operator",),
    ),
    Enumeration(
        values=TYPES,
        meanings={
            "ClusterIP": "reached at an address inside of the cluster.",
            "ExternalName": "another name for a host elsewhere: a CNAME record, without proxying.",
            "LoadBalancer": "as NodePort, and through a load balancer outside of the cluster.",
            "NodePort": "as ClusterIP, and at a port of every node.",
        },
        fields=(f"{_SERVICE}/type",),
    ),
    Enumeration(
        values=AFFINITIES,
        meanings={"ClientIP": "a client's connections go to the same pod.", "None": "each goes to any pod."},
        fields=(f"{_SERVICE}/sessionAffinity",),
    ),
    Enumeration(
        values=TRAFFIC_POLICIES,
        meanings={
            "Cluster": "to endpoints on all nodes.",
            "Local": "to endpoints on the node that the traffic reached, with the client's address; dropped where it has none.",
        },
        fields=(f"{_SERVICE}/externalTrafficPolicy",),
    ),
    Enumeration(
        values=TRAFFIC_POLICIES,
        meanings={
            "Cluster": "to endpoints on all nodes.",
            "Local": "to endpoints on the client's own node; dropped where it has none.",
        },
        fields=(f"{_SERVICE}/internalTrafficPolicy",),
    ),
    Enumeration(values=("", *FAMILIES), fields=(f"{_SERVICE}/ipFamilies",)),
    Enumeration(
        values=POLICIES,
        meanings={
            "PreferDualStack": "addresses of both families where the cluster has both.",
            "RequireDualStack": "addresses of both families; refused where the cluster has one.",
            "SingleStack": "one address, of the first of ipFamilies or of the cluster's first family.",
        },
        fields=(f"{_SERVICE}/ipFamilyPolicy",),
    ),
    Enumeration(
        values=ADDRESS_TYPES,
        meanings={"FQDN": "host names.", "IPv4": "IPv4 addresses.", "IPv6": "IPv6 addresses."},
        fields=("io.k8s.api.discovery.v1.EndpointSlice/addressType",),
    ),
    Enumeration(
        values=PATH_TYPES,
        meanings={
            "Exact": "the very path, in upper and lower case as written.",
            "ImplementationSpecific": "as the IngressClass has it.",
            "Prefix": "paths that begin with the same elements: /foo/bar matches /foo/bar/baz, not /foo/barbaz. "
            "Of several that match, the longest counts.",
        },
        fields=("io.k8s.api.networking.v1.HTTPIngressPath/pathType",),
    ),
    Enumeration(values=NETWORK_POLICY_TYPES, fields=("io.k8s.api.networking.v1.NetworkPolicySpec/policyTypes",)),
)
