"""Names of upstream's Go types, which its decoder's messages show: ``… into Go struct field PodSpec.spec.x of type v1.Y``.

Structures are named by their definitions. Of named strings the definitions know nothing, so they are listed here.
Source: the types of k8s.io/api, apimachinery, apiextensions and apiregistration, v1.36.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from steersman.schema import definitions
from steersman.schema.definitions import Definition

_SCALARS: Mapping[str, str] = {"boolean": "bool", "number": "float64", "string": "string"}

_NAMED: Mapping[str, str] = {
    "APIServiceConditionType": "APIServiceCondition.type",
    "AddressType": "EndpointSlice.addressType",
    "AllocationConfigSource": "DeviceAllocationConfiguration.source",
    "AppArmorProfileType": "AppArmorProfile.type",
    "AzureDataDiskCachingMode": "AzureDiskVolumeSource.cachingMode",
    "AzureDataDiskKind": "AzureDiskVolumeSource.kind",
    "Capability": "Capabilities.add Capabilities.drop",
    "CauseType": "StatusCause.reason",
    "CompletionMode": "JobSpec.completionMode",
    "ComponentConditionType": "ComponentCondition.type",
    "ConcurrencyPolicy": "CronJobSpec.concurrencyPolicy",
    "ConditionStatus": (
        "APIServiceCondition.status CertificateSigningRequestCondition.status ComponentCondition.status "
        "Condition.status CustomResourceDefinitionCondition.status DaemonSetCondition.status "
        "DeploymentCondition.status FlowSchemaCondition.status JobCondition.status NamespaceCondition.status "
        "NodeCondition.status PersistentVolumeClaimCondition.status PodCondition.status "
        "PodFailurePolicyOnPodConditionsPattern.status PriorityLevelConfigurationCondition.status "
        "ReplicaSetCondition.status ReplicationControllerCondition.status StatefulSetCondition.status "
        "StorageVersionCondition.status"
    ),
    "ContainerRestartPolicy": "Container.restartPolicy",
    "ContainerRestartRuleAction": "ContainerRestartRule.action",
    "ContainerRestartRuleOnExitCodesOperator": "ContainerRestartRuleOnExitCodes.operator",
    "ConversionStrategyType": "CustomResourceConversion.strategy",
    "CoordinatedLeaseStrategy": "LeaseSpec.strategy",
    "CustomResourceDefinitionConditionType": "CustomResourceDefinitionCondition.type",
    "DNSPolicy": "PodSpec.dnsPolicy",
    "DaemonSetConditionType": "DaemonSetCondition.type",
    "DaemonSetUpdateStrategyType": "DaemonSetUpdateStrategy.type",
    "DeletionPropagation": "DeleteOptions.propagationPolicy",
    "DeploymentConditionType": "DeploymentCondition.type",
    "DeploymentStrategyType": "DeploymentStrategy.type",
    "DeviceAllocationMode": (
        "DeviceRequest.allocationMode DeviceSubRequest.allocationMode ExactDeviceRequest.allocationMode"
    ),
    "DeviceTaintEffect": "DeviceTaint.effect DeviceToleration.effect",
    "DeviceTolerationOperator": "DeviceToleration.operator",
    "DisruptionMode": "PodGroupSpec.disruptionMode PodGroupTemplate.disruptionMode",
    "FSGroupPolicy": "CSIDriverSpec.fsGroupPolicy",
    "FailurePolicyType": (
        "MutatingAdmissionPolicySpec.failurePolicy MutatingWebhook.failurePolicy "
        "ValidatingAdmissionPolicySpec.failurePolicy ValidatingWebhook.failurePolicy"
    ),
    "FieldSelectorOperator": "FieldSelectorRequirement.operator",
    "FieldValueErrorReason": "ValidationRule.reason",
    "FinalizerName": "NamespaceSpec.finalizers",
    "FlowDistinguisherMethodType": "FlowDistinguisherMethod.type",
    "FlowSchemaConditionType": "FlowSchemaCondition.type",
    "FullyQualifiedName": "DeviceConstraint.distinctAttribute DeviceConstraint.matchAttribute",
    "HPAScalingPolicyType": "HPAScalingPolicy.type",
    "HorizontalPodAutoscalerConditionType": "HorizontalPodAutoscalerCondition.type",
    "HostPathType": "HostPathVolumeSource.type",
    "IPFamily": "ServiceSpec.ipFamilies",
    "IPFamilyPolicy": "ServiceSpec.ipFamilyPolicy",
    "JSONSchemaDefinitions": "JSONSchemaProps.definitions",
    "JSONSchemaDependencies": "JSONSchemaProps.dependencies",
    "JSONSchemaURL": "JSONSchemaProps.$schema",
    "JobConditionType": "JobCondition.type",
    "KeyUsage": "CertificateSigningRequestSpec.usages",
    "LabelSelectorOperator": "LabelSelectorRequirement.operator",
    "LimitResponseType": "LimitResponse.type",
    "LimitType": "LimitRangeItem.type",
    "LoadBalancerIPMode": "LoadBalancerIngress.ipMode",
    "ManagedFieldsOperationType": "ManagedFieldsEntry.operation",
    "MatchPolicyType": "MatchResources.matchPolicy MutatingWebhook.matchPolicy ValidatingWebhook.matchPolicy",
    "MetricSourceType": "MetricSpec.type MetricStatus.type",
    "MetricTargetType": "MetricTarget.type",
    "MountPropagationMode": "VolumeMount.mountPropagation",
    "NamespaceConditionType": "NamespaceCondition.type",
    "NamespacePhase": "NamespaceStatus.phase",
    "NodeAddressType": "NodeAddress.type",
    "NodeConditionType": "NodeCondition.type",
    "NodeInclusionPolicy": "TopologySpreadConstraint.nodeAffinityPolicy TopologySpreadConstraint.nodeTaintsPolicy",
    "NodePhase": "NodeStatus.phase",
    "NodeSelectorOperator": "NodeSelectorRequirement.operator",
    "OSName": "PodOS.name",
    "OperationType": "RuleWithOperations.operations",
    "ParameterNotFoundActionType": "ParamRef.parameterNotFoundAction",
    "PatchType": "Mutation.patchType",
    "PathType": "HTTPIngressPath.pathType",
    "PersistentVolumeAccessMode": (
        "PersistentVolumeClaimSpec.accessModes PersistentVolumeClaimStatus.accessModes PersistentVolumeSpec.accessModes"
    ),
    "PersistentVolumeClaimConditionType": "PersistentVolumeClaimCondition.type",
    "PersistentVolumeClaimModifyVolumeStatus": "ModifyVolumeStatus.status",
    "PersistentVolumeClaimPhase": "PersistentVolumeClaimStatus.phase",
    "PersistentVolumeClaimRetentionPolicyType": (
        "StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted "
        "StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled"
    ),
    "PersistentVolumeMode": "PersistentVolumeClaimSpec.volumeMode PersistentVolumeSpec.volumeMode",
    "PersistentVolumePhase": "PersistentVolumeStatus.phase",
    "PersistentVolumeReclaimPolicy": "PersistentVolumeSpec.persistentVolumeReclaimPolicy StorageClass.reclaimPolicy",
    "PodConditionType": (
        "PodCondition.type PodFailurePolicyOnPodConditionsPattern.type PodReadinessGate.conditionType"
    ),
    "PodFSGroupChangePolicy": "PodSecurityContext.fsGroupChangePolicy",
    "PodFailurePolicyAction": "PodFailurePolicyRule.action",
    "PodFailurePolicyOnExitCodesOperator": "PodFailurePolicyOnExitCodesRequirement.operator",
    "PodManagementPolicyType": "StatefulSetSpec.podManagementPolicy",
    "PodPhase": "PodStatus.phase",
    "PodQOSClass": "PodStatus.qosClass",
    "PodReplacementPolicy": "JobSpec.podReplacementPolicy",
    "PodResizeStatus": "PodStatus.resize",
    "PodSELinuxChangePolicy": "PodSecurityContext.seLinuxChangePolicy",
    "PolicyType": "NetworkPolicySpec.policyTypes",
    "PreemptionPolicy": "PodSpec.preemptionPolicy PriorityClass.preemptionPolicy",
    "PriorityLevelConfigurationConditionType": "PriorityLevelConfigurationCondition.type",
    "PriorityLevelEnablement": "PriorityLevelConfigurationSpec.type",
    "ProcMountType": "SecurityContext.procMount",
    "Protocol": (
        "ContainerPort.protocol EndpointPort.protocol IngressPortStatus.protocol NetworkPolicyPort.protocol "
        "PortStatus.protocol ServicePort.protocol"
    ),
    "PullPolicy": "Container.imagePullPolicy ImageVolumeSource.pullPolicy",
    "QualifiedName": "NodeAllocatableResourceMapping.capacityKey",
    "RecursiveReadOnlyMode": "VolumeMount.recursiveReadOnly VolumeMountStatus.recursiveReadOnly",
    "ReinvocationPolicyType": "MutatingAdmissionPolicySpec.reinvocationPolicy MutatingWebhook.reinvocationPolicy",
    "ReplicaSetConditionType": "ReplicaSetCondition.type",
    "ReplicationControllerConditionType": "ReplicationControllerCondition.type",
    "RequestConditionType": "CertificateSigningRequestCondition.type",
    "ResourceHealthStatus": "ResourceHealth.health",
    "ResourceID": "ResourceHealth.resourceID",
    "ResourceList": (
        "ContainerStatus.allocatedResources LimitRangeItem.default LimitRangeItem.defaultRequest "
        "LimitRangeItem.max LimitRangeItem.maxLimitRequestRatio LimitRangeItem.min NodeStatus.allocatable "
        "NodeStatus.capacity Overhead.podFixed PersistentVolumeClaimStatus.allocatedResources "
        "PersistentVolumeClaimStatus.capacity PersistentVolumeSpec.capacity PodSpec.overhead "
        "PodStatus.allocatedResources ResourceQuotaSpec.hard ResourceQuotaStatus.hard "
        "ResourceQuotaStatus.used ResourceRequirements.limits ResourceRequirements.requests "
        "VolumeResourceRequirements.limits VolumeResourceRequirements.requests"
    ),
    "ResourceName": "ContainerResizePolicy.resourceName ResourceStatus.name",
    "ResourceQuotaScope": "ResourceQuotaSpec.scopes ScopedResourceSelectorRequirement.scopeName",
    "ResourceResizeRestartPolicy": "ContainerResizePolicy.restartPolicy",
    "ResourceScope": "CustomResourceDefinitionSpec.scope",
    "RestartPolicy": "PodSpec.restartPolicy",
    "ScalingPolicySelect": "HPAScalingRules.selectPolicy",
    "ScopeSelectorOperator": "ScopedResourceSelectorRequirement.operator",
    "SeccompProfileType": "SeccompProfile.type",
    "SecretType": "Secret.type",
    "ServiceAffinity": "ServiceSpec.sessionAffinity",
    "ServiceExternalTrafficPolicy": "ServiceSpec.externalTrafficPolicy",
    "ServiceInternalTrafficPolicy": "ServiceSpec.internalTrafficPolicy",
    "ServiceType": "ServiceSpec.type",
    "SideEffectClass": "MutatingWebhook.sideEffects ValidatingWebhook.sideEffects",
    "Signal": "ContainerStatus.stopSignal Lifecycle.stopSignal",
    "StatefulSetConditionType": "StatefulSetCondition.type",
    "StatefulSetUpdateStrategyType": "StatefulSetUpdateStrategy.type",
    "StatusReason": "Status.reason Validation.reason",
    "StorageMedium": "EmptyDirVolumeSource.medium",
    "StorageVersionConditionType": "StorageVersionCondition.type",
    "SubjectKind": "Subject.kind",
    "SupplementalGroupsPolicy": "PodSecurityContext.supplementalGroupsPolicy",
    "TaintEffect": "Taint.effect Toleration.effect",
    "TerminationMessagePolicy": "Container.terminationMessagePolicy",
    "TolerationOperator": "Toleration.operator",
    "URIScheme": "HTTPGetAction.scheme",
    "UnhealthyPodEvictionPolicyType": "PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy",
    "UniqueVolumeName": "AttachedVolume.name NodeStatus.volumesInUse",
    "UnsatisfiableConstraintAction": "TopologySpreadConstraint.whenUnsatisfiable",
    "ValidationAction": "ValidatingAdmissionPolicyBindingSpec.validationActions",
    "ValidationRules": "JSONSchemaProps.x-kubernetes-validations",
    "Verbs": "APIResource.verbs",
    "VolumeBindingMode": "StorageClass.volumeBindingMode",
    "VolumeLifecycleMode": "CSIDriverSpec.volumeLifecycleModes",
    "map[string]ExtraValue": "CertificateSigningRequestSpec.extra SubjectAccessReviewSpec.extra UserInfo.extra",
    "map[v1.ResourceName]ClaimResourceStatus": "PersistentVolumeClaimStatus.allocatedResourceStatuses",
    "types.NodeName": "PodCertificateRequestSpec.nodeName",
    "types.UID": (
        "BoundObjectReference.uid ConfigMapNodeConfigSource.uid DeviceRequestAllocationResult.shareID "
        "ObjectMeta.uid ObjectReference.uid OwnerReference.uid PodCertificateRequestSpec.nodeUID "
        "PodCertificateRequestSpec.podUID PodCertificateRequestSpec.serviceAccountUID Preconditions.uid "
        "ResourceClaimConsumerReference.uid StatusDetails.uid UncountedTerminatedPods.failed "
        "UncountedTerminatedPods.succeeded"
    ),
    "v1.ConditionStatus": "HorizontalPodAutoscalerCondition.status",
    "v1.CoordinatedLeaseStrategy": "LeaseCandidateSpec.strategy",
    "v1.ResourceName": (
        "ContainerResourceMetricSource.name ContainerResourceMetricStatus.name ResourceMetricSource.name "
        "ResourceMetricStatus.name"
    ),
}
"""Named type -> fields of it (of its elements, for lists) as ``Structure.field``; a name without a package is of the
structure's own."""


@cache
def _named_fields() -> Mapping[str, str]:
    return {field: name for name, fields in _NAMED.items() for field in fields.split()}


def package(definition: str) -> str:
    """``v1`` for ``io.k8s.api.core.v1.Pod``."""
    return definition.rsplit(".", 2)[-2]


def go_type(schema: Definition) -> str:
    """The Go type of a value: ``int32``, ``[]v1.Container``, ``map[string]string``, ``v1.PodSpec``."""
    name = definitions.reference(schema)
    if name:
        return ".".join(name.rsplit(".", 2)[-2:])
    kind = schema.get("type")
    if kind == "array":
        return f"[]{go_type(schema['items'])}"
    if kind == "object":
        return f"map[string]{go_type(schema['additionalProperties'])}" if "additionalProperties" in schema else "object"
    if kind == "integer":
        return "int64" if schema.get("format") == "int64" else "int32"
    if schema.get("format") == "byte":
        return "[]uint8"
    return _SCALARS.get(str(kind), "interface {}")


def named_type(definition: str, field: str) -> str:
    """The name of a field's type (of its elements' type, for lists) where it has one of its own; else empty."""
    name = _named_fields().get(f"{definition.rpartition('.')[2]}.{field}", "")
    if not name or "." in name or name.startswith("map["):
        return name
    return f"{package(definition)}.{name}"
