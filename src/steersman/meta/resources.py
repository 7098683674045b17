"""Names of API resources: which group, version and plural, and whether they live in namespaces.

Components name what they read and write with these constants; the full truth about a kind (schema, defaults,
validation, columns) is in ``schema.groups``.
"""

from __future__ import annotations

from msgspec import Struct


class Resource(Struct, frozen=True, kw_only=True):
    """One served resource, e.g. ``deployments`` of ``apps/v1``."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As in an object's ``apiVersion``: ``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """As upstream prints it in errors: ``pods`` or ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """URL path of the group and version: ``/api/v1`` or ``/apis/apps/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection (all namespaces where ``namespace`` is empty), of an object or a subresource."""
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        path = f"{self.root}{scope}/{self.plural}"
        if name:
            path = f"{path}/{name}"
        return f"{path}/{subresource}" if subresource else path


def _namespaced(group: str, version: str, plural: str, kind: str) -> Resource:
    return Resource(group=group, version=version, plural=plural, kind=kind, namespaced=True)


def _cluster(group: str, version: str, plural: str, kind: str) -> Resource:
    return Resource(group=group, version=version, plural=plural, kind=kind, namespaced=False)


BINDINGS = _namespaced("", "v1", "bindings", "Binding")
COMPONENTSTATUSES = _cluster("", "v1", "componentstatuses", "ComponentStatus")
CONFIGMAPS = _namespaced("", "v1", "configmaps", "ConfigMap")
ENDPOINTS = _namespaced("", "v1", "endpoints", "Endpoints")
EVENTS = _namespaced("", "v1", "events", "Event")
LIMITRANGES = _namespaced("", "v1", "limitranges", "LimitRange")
NAMESPACES = _cluster("", "v1", "namespaces", "Namespace")
NODES = _cluster("", "v1", "nodes", "Node")
PERSISTENTVOLUMES = _cluster("", "v1", "persistentvolumes", "PersistentVolume")
PERSISTENTVOLUMECLAIMS = _namespaced("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PODS = _namespaced("", "v1", "pods", "Pod")
PODTEMPLATES = _namespaced("", "v1", "podtemplates", "PodTemplate")
REPLICATIONCONTROLLERS = _namespaced("", "v1", "replicationcontrollers", "ReplicationController")
RESOURCEQUOTAS = _namespaced("", "v1", "resourcequotas", "ResourceQuota")
SECRETS = _namespaced("", "v1", "secrets", "Secret")
SERVICES = _namespaced("", "v1", "services", "Service")
SERVICEACCOUNTS = _namespaced("", "v1", "serviceaccounts", "ServiceAccount")

CONTROLLERREVISIONS = _namespaced("apps", "v1", "controllerrevisions", "ControllerRevision")
DAEMONSETS = _namespaced("apps", "v1", "daemonsets", "DaemonSet")
DEPLOYMENTS = _namespaced("apps", "v1", "deployments", "Deployment")
REPLICASETS = _namespaced("apps", "v1", "replicasets", "ReplicaSet")
STATEFULSETS = _namespaced("apps", "v1", "statefulsets", "StatefulSet")

HORIZONTALPODAUTOSCALERS_V1 = _namespaced("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
HORIZONTALPODAUTOSCALERS = _namespaced("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
CRONJOBS = _namespaced("batch", "v1", "cronjobs", "CronJob")
JOBS = _namespaced("batch", "v1", "jobs", "Job")
CERTIFICATESIGNINGREQUESTS = _cluster(
    "certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest"
)
FLOWSCHEMAS = _cluster("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema")
PRIORITYLEVELCONFIGURATIONS = _cluster(
    "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration"
)
LEASES = _namespaced("coordination.k8s.io", "v1", "leases", "Lease")
ENDPOINTSLICES = _namespaced("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
NEW_EVENTS = _namespaced("events.k8s.io", "v1", "events", "Event")

INGRESSES = _namespaced("networking.k8s.io", "v1", "ingresses", "Ingress")
INGRESSCLASSES = _cluster("networking.k8s.io", "v1", "ingressclasses", "IngressClass")
IPADDRESSES = _cluster("networking.k8s.io", "v1", "ipaddresses", "IPAddress")
NETWORKPOLICIES = _namespaced("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
SERVICECIDRS = _cluster("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR")
RUNTIMECLASSES = _cluster("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass")
PODDISRUPTIONBUDGETS = _namespaced("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")

CLUSTERROLES = _cluster("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole")
CLUSTERROLEBINDINGS = _cluster("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
ROLES = _namespaced("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLEBINDINGS = _namespaced("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")

DEVICECLASSES = _cluster("resource.k8s.io", "v1", "deviceclasses", "DeviceClass")
RESOURCECLAIMS = _namespaced("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim")
RESOURCECLAIMTEMPLATES = _namespaced("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate")
RESOURCESLICES = _cluster("resource.k8s.io", "v1", "resourceslices", "ResourceSlice")
PRIORITYCLASSES = _cluster("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass")

CSIDRIVERS = _cluster("storage.k8s.io", "v1", "csidrivers", "CSIDriver")
CSINODES = _cluster("storage.k8s.io", "v1", "csinodes", "CSINode")
CSISTORAGECAPACITIES = _namespaced("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity")
STORAGECLASSES = _cluster("storage.k8s.io", "v1", "storageclasses", "StorageClass")
VOLUMEATTACHMENTS = _cluster("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment")
VOLUMEATTRIBUTESCLASSES = _cluster("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass")

MUTATINGADMISSIONPOLICIES = _cluster(
    "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy"
)
MUTATINGADMISSIONPOLICYBINDINGS = _cluster(
    "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"
)
MUTATINGWEBHOOKCONFIGURATIONS = _cluster(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"
)
VALIDATINGADMISSIONPOLICIES = _cluster(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"
)
VALIDATINGADMISSIONPOLICYBINDINGS = _cluster(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"
)
VALIDATINGWEBHOOKCONFIGURATIONS = _cluster(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"
)

SELFSUBJECTREVIEWS = _cluster("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview")
TOKENREVIEWS = _cluster("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
LOCALSUBJECTACCESSREVIEWS = _namespaced(
    "authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview"
)
SELFSUBJECTACCESSREVIEWS = _cluster("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
SELFSUBJECTRULESREVIEWS = _cluster("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview")
SUBJECTACCESSREVIEWS = _cluster("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")
CUSTOMRESOURCEDEFINITIONS = _cluster(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"
)
APISERVICES = _cluster("apiregistration.k8s.io", "v1", "apiservices", "APIService")
