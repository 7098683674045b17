"""Feature gates of v1.36: which there are, what they are by default, and which of them can be set here.

A gate set to its default changes nothing and is accepted, and so is one that concerns other components: clusters give
all of them the same gates. Source: the reference page "Feature Gates".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ON: Final = _names(
    """
    AnyVolumeDataSource CPUManagerPolicyOptions
    KubeletTracing
    KubeletPodResourcesDynamicResources
    CustomCPUCFSQuotaPeriod
    CPUManagerPolicyBetaOptions ComponentFlagz ComponentStatusz ContainerCheckpoint
    ContainerRestartRules ContextualLogging DRAAdminAccess DRAConsumableCapacity DRADeviceTaints DRAExtendedResource
    DRAPrioritizedList DeclarativeValidation DeclarativeValidationBeta DisableCPUQuotaWithExclusiveCPUs
    DisableNodeKubeProxyVersion DynamicResourceAllocation EnvFiles ExtendWebSocketsToKubelet GracefulNodeShutdown
    GracefulNodeShutdownBasedOnPodPriority HostnameOverride ImageMaximumGCAge ImageVolume
    InPlacePodLevelResourcesVerticalScaling InPlacePodVerticalScaling InPlacePodVerticalScalingInitContainers
    KubeletCrashLoopBackOffMax KubeletEnsureSecretPulledImages KubeletFineGrainedAuthz KubeletPSI
    KubeletPodResourcesGet KubeletPodResourcesListUseActivePods KubeletSeparateDiskGC
    KubeletServiceAccountTokenForCredentialProviders MatchLabelKeysInPodAffinity MatchLabelKeysInPodTopologySpread
    MatchLabelKeysInPodTopologySpreadSelectorMerge MutableCSINodeAllocatableCount NodeDeclaredFeatures
    NodeInclusionPolicyInPodTopologySpread NodeLogQuery NodeSwap PLEGOnDemandRelist PodDeletionCost PodLevelResources
    PodLifecycleSleepAction PodLifecycleSleepActionAllowZero PodObservedGenerationTracking
    PodReadyToStartContainersCondition PreventStaticPodAPIReferences ProcMountType RecoverVolumeExpansionFailure
    RecursiveReadOnlyMounts RelaxedDNSSearchValidation RelaxedEnvironmentVariableValidation ReloadKubeletClientCAFile
    ReloadKubeletServerCertificateFile ResourceHealthStatus ResourceHealthStatusMessage
    RestartAllContainersOnContainerExits RotateKubeletServerCertificate SELinuxChangePolicy
    SELinuxMountReadWriteOncePod SidecarContainers SupplementalGroupsPolicy TopologyManagerPolicyBetaOptions
    TopologyManagerPolicyOptions UserNamespacesSupport VolumeAttributesClass WindowsGracefulNodeShutdown
    """
)
"""A kubelet's, enabled by default."""
OFF: Final = _names(
    """
    AllowDNSOnlyNodeCSR CPUManagerPolicyAlphaOptions CRIListStreaming CSIVolumeHealth
    ChangeContainerStatusOnKubeletRestart ClusterTrustBundle ClusterTrustBundleProjection ContainerStopSignals
    CrossNamespaceVolumeDataSource DRANodeAllocatableResources DRAWorkloadResourceClaims EventedPLEG GenericWorkload
    GitRepoVolumeDriver ImageVolumeWithDigest InPlacePodVerticalScalingExclusiveCPUs
    InPlacePodVerticalScalingExclusiveMemory KubeletInUserNamespace KubeletRegistrationGetOnExistsOnly
    LocalStorageCapacityIsolationFSQuotaMonitoring LoggingAlphaOptions MemoryQoS PodAndContainerStatsFromCRI
    PodCertificateRequest PodLevelResourceManagers PodLogsQuerySplitStreams PodsAPI QOSReserved
    ReduceDefaultCrashLoopBackOffDecay RuntimeClassInImageCriApi SELinuxMount
    TaintTolerationComparisonOperators
    TopologyManagerPolicyAlphaOptions UserNamespacesHostNetworkSupport WindowsCPUAndMemoryAffinity WindowsHostNetwork
    """
)
"""A kubelet's, disabled by default."""
OTHERS: Final = _names(
    """
    APIResponseCompression APIServerIdentity APIServerTracing APIServingWithRoutine AggregatedDiscoveryRemoveBetaType
    AllowInsecureKubeletCertificateSigningRequests AllowOverwriteTerminationGracePeriodSeconds
    AllowParsingUserUIDFromCertAuth AllowServiceExternalIPs AllowUnsafeMalformedObjectDeletion
    AnonymousAuthConfigurableEndpoints AuthorizeNodeWithSelectors AuthorizePodWebsocketUpgradeCreatePermission
    AuthorizeWithSelectors BtreeWatchCache CBORServingAndStorage CRDObservedGenerationTracking
    CRDValidationRatcheting CSIServiceAccountTokenSecrets ClearingNominatedNodeNameAfterBinding
    CloudControllerManagerWatchBasedRoutesReconciliation CloudControllerManagerWebhook ConcurrentWatchObjectDecode
    ConsistentListFromCache ConstrainedImpersonation CoordinatedLeaderElection
    CustomResourceFieldSelectors DRADeviceBindingConditions DRADeviceTaintRules DRAListTypeAttributes
    DRAPartitionableDevices DRAResourceClaimDeviceStatus DRAResourceClaimGranularStatusAuthorization
    DRAResourcePoolStatus DRASchedulerFilterTimeout DeclarativeValidationTakeover
    DeploymentReplicaSetTerminatingReplicas DetectCacheInconsistency DisableAllocatorDualWrite ExecProbeTimeout
    ExternalServiceAccountTokenSigner GangScheduling HPAConfigurableTolerance HPAScaleToZero JobBackoffLimitPerIndex
    JobManagedBy JobPodReplacementPolicy JobSuccessPolicy KMSv1 KubeletCgroupDriverFromCRI
    ListFromCacheSnapshot LogarithmicScaleDown LoggingBetaOptions
    ManifestBasedAdmissionControlConfig MaxUnavailableStatefulSet MultiCIDRServiceAllocator MutablePVNodeAffinity
    MutablePodResourcesForSuspendedJobs MutableSchedulingDirectivesForSuspendedJobs MutatingAdmissionPolicy
    NFTablesProxyMode NominatedNodeNameForExpectation OpenAPIEnums OpportunisticBatching OrderedNamespaceDeletion
    PersistentVolumeClaimUnusedSinceTime PodSchedulingReadiness PodTopologyLabelsAdmission PortForwardWebsockets
    PreferSameTrafficDistribution RelaxedServiceNameValidation RemoteRequestHeaderUID
    ResilientWatchCacheInitialization RetryGenerateName SchedulerAsyncAPICalls
    SchedulerAsyncPreemption SchedulerPopFromBackoffQ SchedulerQueueingHints SeparateCacheWatchRPC
    SeparateTaintEvictionController ServiceAccountNodeAudienceRestriction ServiceAccountTokenJTI
    ServiceAccountTokenNodeBinding ServiceAccountTokenNodeBindingValidation ServiceAccountTokenPodNodeInfo
    ServiceCIDRStatusFieldWiping ShardedListAndWatch SizeBasedListCostEstimate StaleControllerConsistencyDaemonSet
    StaleControllerConsistencyJob StaleControllerConsistencyReplicaSet StaleControllerConsistencyStatefulSet
    StatefulSetSemanticRevisionComparison StorageCapacityScoring StorageNamespaceIndex StorageVersionAPI
    StorageVersionHash StorageVersionMigrator StreamingCollectionEncodingToJSON StreamingCollectionEncodingToProtobuf
    StrictIPCIDRValidation StructuredAuthenticationConfiguration StructuredAuthenticationConfigurationEgressSelector
    StructuredAuthenticationConfigurationJWKSMetrics SystemdWatchdog TokenRequestServiceAccountUIDValidation
    TopologyAwareWorkloadScheduling TranslateStreamCloseWebsocketRequests UnauthenticatedHTTP2DOSMitigation
    UnknownVersionInteroperabilityProxy VolumeLimitScaling WatchCacheInitializationPostStartHook WatchList WinDSR
    WinOverlay WorkloadAwarePreemption WorkloadWithJob
    """
)
"""Those that no kubelet looks at."""
SETTABLE: Final = _names(
    """
    CPUManagerPolicyAlphaOptions CPUManagerPolicyBetaOptions DisableCPUQuotaWithExclusiveCPUs GracefulNodeShutdown
    GracefulNodeShutdownBasedOnPodPriority KubeletCrashLoopBackOffMax KubeletEnsureSecretPulledImages
    RotateKubeletServerCertificate TopologyManagerPolicyAlphaOptions TopologyManagerPolicyBetaOptions
    """
)
"""Both values make a difference here."""


def enabled(gate: str, given: Mapping[str, bool]) -> bool:
    """``gate`` after what ``featureGates`` says."""
    return given.get(gate, gate in ON)


def problems(given: Mapping[str, bool]) -> list[str]:
    """What of ``featureGates`` cannot be had."""
    found = []
    for gate, value in sorted(given.items()):
        if gate in OTHERS or (gate == "AllAlpha" and not value):
            continue
        if gate in ("AllAlpha", "AllBeta"):
            found.append(f"feature gate {gate}={str(value).lower()} is not supported by this kubelet")
        elif gate not in ON and gate not in OFF:
            found.append(f"unrecognized feature gate: {gate}")
        elif value != (gate in ON) and gate not in SETTABLE:
            found.append(f"feature gate {gate}={str(value).lower()} is not supported by this kubelet")
    return found
