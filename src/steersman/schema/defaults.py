"""Defaults that upstream's OpenAPI v3 documents declare, which the v2 definitions leave out.

Most follow a rule: a required scalar has its zero value, a structure that is always written has ``{}``. The rest is listed.
Source: the OpenAPI v3 documents of v1.36. (What the server fills into objects is decided in ``groups/``, not here.)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from steersman.schema import definitions
from steersman.schema.definitions import Definition

NONE: Any = object()
"""No default. (``None`` would be a value.)"""

_PREFIX = "io.k8s.api."
_ZERO: Mapping[str, Any] = {"string": "", "integer": 0, "boolean": False, "number": 0}
_ALWAYS_WRITTEN = ("metadata", "spec", "status")
_NOT_STRUCTURES = frozenset({definitions.QUANTITY, definitions.INT_OR_STRING, definitions.TIME, definitions.MICRO_TIME})

_LISTED: tuple[tuple[Any, str], ...] = (
    (
        {},
        """
        apps.v1.DaemonSetSpec.updateStrategy
        apps.v1.DeploymentSpec.strategy
        apps.v1.ReplicaSetSpec.template
        apps.v1.StatefulSetSpec.updateStrategy
        authentication.v1.SelfSubjectReviewStatus.userInfo
        authentication.v1.TokenReviewStatus.user
        core.v1.Container.resources
        core.v1.ContainerStatus.lastState
        core.v1.ContainerStatus.state
        core.v1.EphemeralContainer.resources
        core.v1.Event.source
        core.v1.NodeDaemonEndpoints.kubeletEndpoint
        core.v1.NodeStatus.daemonEndpoints
        core.v1.NodeStatus.nodeInfo
        core.v1.PersistentVolumeClaimSpec.resources
        core.v1.PodTemplate.template
        core.v1.ServiceStatus.loadBalancer
        discovery.v1.Endpoint.conditions
        events.v1.Event.deprecatedSource
        events.v1.Event.regarding
        flowcontrol.v1.LimitedPriorityLevelConfiguration.limitResponse
        networking.v1.IngressServiceBackend.port
        networking.v1.IngressStatus.loadBalancer
        networking.v1.NetworkPolicySpec.podSelector
        resource.v1.AllocationResult.devices
        resource.v1.ResourceClaimSpec.devices
        resource.v1beta1.AllocationResult.devices
        resource.v1beta1.ResourceClaimSpec.devices
        resource.v1beta2.AllocationResult.devices
        resource.v1beta2.ResourceClaimSpec.devices
        io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus.acceptedNames
        io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup.preferredVersion
        """,
    ),
    (
        0,
        """
        apps.v1.StatefulSetOrdinals.start
        apps.v1.StatefulSetStatus.availableReplicas
        autoscaling.v1.ScaleSpec.replicas
        core.v1.ReplicationControllerSpec.minReadySeconds
        flowcontrol.v1.FlowSchemaSpec.matchingPrecedence
        flowcontrol.v1.QueuingConfiguration.handSize
        flowcontrol.v1.QueuingConfiguration.queueLengthLimit
        flowcontrol.v1.QueuingConfiguration.queues
        policy.v1.PodDisruptionBudgetStatus.currentHealthy
        policy.v1.PodDisruptionBudgetStatus.desiredHealthy
        policy.v1.PodDisruptionBudgetStatus.disruptionsAllowed
        policy.v1.PodDisruptionBudgetStatus.expectedPods
        scheduling.v1.PriorityClass.value
        """,
    ),
    (
        "",
        """
        apps.v1.StatefulSetSpec.serviceName
        authentication.v1.TokenRequestStatus.token
        batch.v1.PodFailurePolicyOnPodConditionsPattern.status
        core.v1.ConfigMapEnvSource.name
        core.v1.ConfigMapKeySelector.name
        core.v1.ConfigMapProjection.name
        core.v1.ConfigMapVolumeSource.name
        core.v1.Event.reportingComponent
        core.v1.Event.reportingInstance
        core.v1.GRPCAction.service
        core.v1.LocalObjectReference.name
        core.v1.NodeRuntimeHandler.name
        core.v1.SecretEnvSource.name
        core.v1.SecretKeySelector.name
        core.v1.SecretProjection.name
        rbac.v1.RoleRef.apiGroup
        resource.v1beta1.DeviceRequest.deviceClassName
        """,
    ),
    (
        86400,
        """
        certificates.v1beta1.PodCertificateRequestSpec.maxExpirationSeconds
        """,
    ),
    (
        "ReadWrite",
        """
        core.v1.AzureDiskVolumeSource.cachingMode
        """,
    ),
    (
        "ext4",
        """
        core.v1.AzureDiskVolumeSource.fsType
        """,
    ),
    (
        "Shared",
        """
        core.v1.AzureDiskVolumeSource.kind
        """,
    ),
    (
        False,
        """
        core.v1.AzureDiskVolumeSource.readOnly
        core.v1.FileKeySelector.optional
        """,
    ),
    (
        "TCP",
        """
        core.v1.ContainerPort.protocol
        core.v1.ServicePort.protocol
        """,
    ),
    (
        "default",
        """
        core.v1.ISCSIPersistentVolumeSource.iscsiInterface
        core.v1.ISCSIVolumeSource.iscsiInterface
        """,
    ),
    (
        "/etc/ceph/keyring",
        """
        core.v1.RBDPersistentVolumeSource.keyring
        core.v1.RBDVolumeSource.keyring
        """,
    ),
    (
        "rbd",
        """
        core.v1.RBDPersistentVolumeSource.pool
        core.v1.RBDVolumeSource.pool
        """,
    ),
    (
        "admin",
        """
        core.v1.RBDPersistentVolumeSource.user
        core.v1.RBDVolumeSource.user
        """,
    ),
    (
        1,
        """
        core.v1.ReplicationControllerSpec.replicas
        """,
    ),
    (
        "xfs",
        """
        core.v1.ScaleIOPersistentVolumeSource.fsType
        core.v1.ScaleIOVolumeSource.fsType
        """,
    ),
    (
        "ThinProvisioned",
        """
        core.v1.ScaleIOPersistentVolumeSource.storageMode
        core.v1.ScaleIOVolumeSource.storageMode
        """,
    ),
    (
        "Equal",
        """
        resource.v1.DeviceToleration.operator
        resource.v1beta1.DeviceToleration.operator
        resource.v1beta2.DeviceToleration.operator
        """,
    ),
    (
        100,
        """
        resource.v1alpha3.ResourcePoolStatusRequestSpec.limit
        """,
    ),
    (
        "Pod",
        """
        scheduling.v1alpha2.PodGroupSpec.disruptionMode
        """,
    ),
    (
        NONE,
        """
        admissionregistration.v1.MutatingWebhook.sideEffects
        admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec.policyName
        admissionregistration.v1.ValidatingWebhook.sideEffects
        apiserverinternal.v1alpha1.ServerStorageVersion.apiServerID
        apiserverinternal.v1alpha1.ServerStorageVersion.encodingVersion
        apiserverinternal.v1alpha1.StorageVersionCondition.message
        apps.v1.DaemonSetSpec.selector
        apps.v1.DeploymentSpec.selector
        apps.v1.ReplicaSetSpec.selector
        apps.v1.StatefulSetSpec.selector
        authentication.v1.TokenReviewSpec.token
        coordination.v1alpha2.LeaseCandidateSpec.strategy
        coordination.v1beta1.LeaseCandidateSpec.strategy
        core.v1.ContainerRestartRule.action
        core.v1.ContainerRestartRuleOnExitCodes.operator
        core.v1.ImageVolumeStatus.imageRef
        core.v1.PodCertificateProjection.keyType
        core.v1.PodCertificateProjection.signerName
        core.v1.ScaleIOPersistentVolumeSource.secretRef
        core.v1.ScaleIOVolumeSource.secretRef
        networking.v1.HTTPIngressPath.pathType
        networking.v1.IPAddressSpec.parentRef
        networking.v1.ParentReference.name
        networking.v1.ParentReference.resource
        networking.v1beta1.IPAddressSpec.parentRef
        networking.v1beta1.ParentReference.name
        networking.v1beta1.ParentReference.resource
        resource.v1.OpaqueDeviceConfiguration.parameters
        resource.v1alpha3.PoolStatus.driver
        resource.v1alpha3.PoolStatus.poolName
        resource.v1alpha3.ResourcePoolStatusRequest.status
        resource.v1alpha3.ResourcePoolStatusRequestStatus.poolCount
        resource.v1beta1.OpaqueDeviceConfiguration.parameters
        resource.v1beta2.OpaqueDeviceConfiguration.parameters
        io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresources.status
        io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent.object
        """,
    ),
)
"""(default, fields that have it against the rule); names of k8s.io/api without their common prefix."""


@cache
def _exceptions() -> Mapping[str, Any]:
    return {name: value for value, names in _LISTED for name in names.split()}


def default_of(definition: str, field: str) -> Any:
    """The declared default of a field, or ``NONE``."""
    listed = _exceptions().get(f"{definition.removeprefix(_PREFIX)}.{field}", _ABSENT)
    return _by_rule(definitions.definition(definition), field) if listed is _ABSENT else listed


_ABSENT: Any = object()


def _by_rule(definition: Definition, field: str) -> Any:
    schema = definition["properties"][field]
    required = field in definition.get("required", ())
    target = definitions.reference(schema)
    if target:
        is_structure = target not in _NOT_STRUCTURES and definitions.definition(target).get("type") == "object"
        return {} if is_structure and (required or field in _ALWAYS_WRITTEN) else NONE
    if required and schema.get("format") != "byte":
        return _ZERO.get(schema.get("type", ""), NONE)
    return NONE
