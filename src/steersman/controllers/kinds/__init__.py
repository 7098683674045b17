"""Every controller, one row each; the file of that name says what it watches, owns, writes and keeps true.

``service_account`` and ``event_source`` are upstream's names where they differ from the controller's.
"""

from __future__ import annotations

from collections.abc import Sequence

from steersman.controllers.kinds import (
    bootstrapsigner,
    clusterroleaggregation,
    cronjob,
    csrapproving,
    csrcleaner,
    csrsigning,
    daemonset,
    deployment,
    devicetainteviction,
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    ephemeralvolume,
    garbagecollector,
    horizontalpodautoscaler,
    job,
    legacyserviceaccounttokencleaner,
    namespace,
    nodeipam,
    nodelifecycle,
    persistentvolumeattachdetach,
    persistentvolumebinder,
    persistentvolumeexpander,
    podgc,
    pvcprotection,
    pvprotection,
    replicaset,
    replicationcontroller,
    resourceclaim,
    resourcequota,
    rootca,
    serviceaccount,
    serviceaccounttoken,
    servicecidr,
    statefulset,
    tainteviction,
    tokencleaner,
    ttl,
    ttlafterfinished,
    volumeattributesclassprotection,
)
from steersman.controllers.runtime import NotRun, Registration

REGISTRY: Sequence[Registration] = (
    Registration(
        module=serviceaccounttoken,
        start=serviceaccounttoken.ServiceAccountTokenController,
        aliases=("serviceaccount-token",),
        workers=lambda config: config.concurrent_serviceaccount_token_syncs,
        enabled=lambda config: bool(config.service_account_key_pem),
        service_account="",
    ),
    Registration(
        module=endpoints,
        start=endpoints.EndpointsController,
        aliases=("endpoint",),
        workers=lambda config: config.concurrent_endpoint_syncs,
        keys=(endpoints.LEFTOVERS,),
        service_account="endpoint-controller",
        event_source="endpoint-controller",
    ),
    Registration(
        module=endpointslice,
        start=endpointslice.EndpointSliceController,
        aliases=("endpointslice",),
        workers=lambda config: config.concurrent_service_endpoint_syncs,
        event_source="endpoint-slice-controller",
    ),
    Registration(
        module=namespace,
        start=namespace.NamespaceController,
        aliases=("namespace",),
        workers=lambda config: config.concurrent_namespace_syncs,
    ),
    Registration(
        module=serviceaccount,
        start=serviceaccount.ServiceAccountController,
        aliases=("serviceaccount",),
        service_account="service-account-controller",
    ),
    Registration(
        module=rootca,
        start=rootca.RootCAPublisher,
        aliases=("root-ca-cert-publisher",),
        enabled=lambda config: bool(config.root_ca_pem),
        service_account="root-ca-cert-publisher",
    ),
    Registration(
        module=deployment,
        start=deployment.DeploymentController,
        aliases=("deployment",),
        workers=lambda config: config.concurrent_deployment_syncs,
    ),
    Registration(
        module=daemonset,
        start=daemonset.DaemonSetController,
        aliases=("daemonset",),
        workers=lambda config: config.concurrent_daemonset_syncs,
        service_account="daemon-set-controller",
    ),
    Registration(
        module=statefulset,
        start=statefulset.StatefulSetController,
        aliases=("statefulset",),
        workers=lambda config: config.concurrent_statefulset_syncs,
    ),
    Registration(
        module=job, aliases=("job",), start=job.JobController, workers=lambda config: config.concurrent_job_syncs
    ),
    Registration(
        module=replicaset,
        start=replicaset.ReplicaSetController,
        aliases=("replicaset",),
        workers=lambda config: config.concurrent_replicaset_syncs,
    ),
    Registration(
        module=replicationcontroller,
        start=replicationcontroller.ReplicationControllerController,
        aliases=("replicationcontroller",),
        workers=lambda config: config.concurrent_rc_syncs,
        service_account="replication-controller",
        event_source="replication-controller",
    ),
    Registration(
        module=podgc,
        start=podgc.PodGarbageCollector,
        aliases=("podgc",),
        keys=(podgc.PASS,),
        service_account="pod-garbage-collector",
    ),
    Registration(
        module=nodeipam,
        start=nodeipam.NodeIPAMController,
        aliases=("nodeipam",),
        enabled=lambda config: config.allocate_node_cidrs,
        service_account="node-controller",
        event_source="cidrAllocator",
    ),
    Registration(
        module=nodelifecycle,
        start=nodelifecycle.NodeLifecycleController,
        aliases=("nodelifecycle",),
        workers=lambda config: 8,
        service_account="node-controller",
        event_source="node-controller",
    ),
    Registration(
        module=tainteviction,
        start=tainteviction.TaintEvictionController,
        workers=lambda config: 8,
        service_account="node-controller",
    ),
    Registration(
        module=garbagecollector,
        start=garbagecollector.GarbageCollector,
        aliases=("garbagecollector",),
        workers=lambda config: config.concurrent_gc_syncs,
        enabled=lambda config: config.enable_garbage_collector,
        service_account="generic-garbage-collector",
    ),
    Registration(
        module=cronjob,
        start=cronjob.CronJobController,
        aliases=("cronjob",),
        workers=lambda config: config.concurrent_cron_job_syncs,
    ),
    Registration(
        module=ttlafterfinished,
        start=ttlafterfinished.TTLAfterFinishedController,
        aliases=("ttl-after-finished",),
        workers=lambda config: config.concurrent_ttl_after_finished_syncs,
    ),
    Registration(
        module=disruption,
        start=disruption.DisruptionController,
        aliases=("disruption",),
        event_source="controllermanager",
    ),
    Registration(
        module=resourcequota,
        start=resourcequota.ResourceQuotaController,
        aliases=("resourcequota",),
        workers=lambda config: config.concurrent_resource_quota_syncs,
    ),
    Registration(
        module=endpointslicemirroring,
        start=endpointslicemirroring.EndpointSliceMirroringController,
        aliases=("endpointslicemirroring",),
        workers=lambda config: config.mirroring_concurrent_service_endpoint_syncs,
        service_account="endpointslicemirroring-controller",
        event_source="endpoint-slice-mirroring-controller",
    ),
    Registration(
        module=csrapproving,
        start=csrapproving.CSRApprovingController,
        aliases=("csrapproving",),
        service_account="certificate-controller",
    ),
    Registration(
        module=csrsigning,
        start=csrsigning.CSRSigningController,
        aliases=("csrsigning",),
        enabled=lambda config: config.cluster_signing is not None or bool(config.signers),
        service_account="certificate-controller",
    ),
    Registration(
        module=csrcleaner,
        start=csrcleaner.CSRCleanerController,
        aliases=("csrcleaner",),
        service_account="certificate-controller",
    ),
    Registration(
        module=clusterroleaggregation,
        aliases=("clusterrole-aggregation",),
        start=clusterroleaggregation.ClusterRoleAggregationController,
    ),
    Registration(
        module=bootstrapsigner,
        start=bootstrapsigner.BootstrapSignerController,
        aliases=("bootstrapsigner",),
        on_by_default=False,
        service_account="bootstrap-signer",
    ),
    Registration(
        module=tokencleaner,
        start=tokencleaner.TokenCleanerController,
        aliases=("tokencleaner",),
        on_by_default=False,
        service_account="token-cleaner",
    ),
    Registration(
        module=persistentvolumebinder,
        start=persistentvolumebinder.PersistentVolumeBinder,
        aliases=("persistentvolume-binder",),
        service_account="persistent-volume-binder",
        event_source="persistentvolume-controller",
    ),
    Registration(
        module=persistentvolumeattachdetach,
        start=persistentvolumeattachdetach.AttachDetachController,
        aliases=("attachdetach",),
        workers=lambda config: 10,
        service_account="attachdetach-controller",
        event_source="attachdetach-controller",
    ),
    Registration(
        module=persistentvolumeexpander,
        start=persistentvolumeexpander.PersistentVolumeExpander,
        aliases=("persistentvolume-expander",),
        workers=lambda config: 10,
        service_account="expand-controller",
        event_source="volume_expand",
    ),
    Registration(
        module=ephemeralvolume,
        start=ephemeralvolume.EphemeralVolumeController,
        aliases=("ephemeral-volume",),
        workers=lambda config: config.concurrent_ephemeralvolume_syncs,
        event_source="ephemeral_volume",
    ),
    Registration(
        module=volumeattributesclassprotection,
        start=volumeattributesclassprotection.VolumeAttributesClassProtectionController,
    ),
    Registration(
        module=resourceclaim,
        start=resourceclaim.ResourceClaimController,
        aliases=("resource-claim-controller",),
        workers=lambda config: config.concurrent_resourceclaim_syncs,
        service_account="resource-claim-controller",
        event_source="resource_claim",
    ),
    Registration(
        module=devicetainteviction,
        start=devicetainteviction.DeviceTaintEvictionController,
        workers=lambda config: config.concurrent_device_taint_eviction_syncs,
    ),
    Registration(
        module=legacyserviceaccounttokencleaner,
        start=legacyserviceaccounttokencleaner.LegacyServiceAccountTokenCleaner,
        aliases=("legacy-service-account-token-cleaner",),
        keys=(legacyserviceaccounttokencleaner.PASS,),
        service_account="legacy-service-account-token-cleaner",
    ),
    Registration(
        module=pvcprotection,
        start=pvcprotection.PVCProtectionController,
        aliases=("pvc-protection",),
        service_account="pvc-protection-controller",
    ),
    Registration(
        module=pvprotection,
        start=pvprotection.PVProtectionController,
        aliases=("pv-protection",),
        service_account="pv-protection-controller",
    ),
    Registration(
        module=servicecidr,
        start=servicecidr.ServiceCIDRController,
        service_account="service-cidrs-controller",
    ),
    Registration(
        module=horizontalpodautoscaler,
        start=horizontalpodautoscaler.HorizontalPodAutoscalerController,
        aliases=("horizontalpodautoscaling",),
        workers=lambda config: config.concurrent_horizontal_pod_autoscaler_syncs,
        service_account="horizontal-pod-autoscaler",
        event_source="horizontal-pod-autoscaler",
    ),
    Registration(module=ttl, aliases=("ttl",), start=ttl.TTLController),
)

CLOUD = "it belongs to a cloud provider, and none is built in"
"""Upstream's reason too, since Kubernetes v1.31."""


def _gate(*names: str) -> str:
    return f"it is disabled by a feature gate ({', '.join(names)})"


NOT_RUN: Sequence[NotRun] = (
    NotRun(name="service-lb-controller", aliases=("service",), because=CLOUD),
    NotRun(name="node-route-controller", aliases=("route",), because=CLOUD),
    NotRun(name="cloud-node-lifecycle-controller", aliases=("cloud-node-lifecycle",), because=CLOUD),
    NotRun(name="podcertificaterequest-cleaner-controller", because=_gate("PodCertificateRequest")),
    NotRun(name="kube-apiserver-serving-clustertrustbundle-publisher-controller", because=_gate("ClusterTrustBundle")),
    NotRun(name="podgroup-protection-controller", because=_gate("GenericWorkload")),
    NotRun(name="resourcepoolstatusrequest-controller", because=_gate("DRAResourcePoolStatus")),
    NotRun(
        name="storageversion-garbage-collector-controller",
        aliases=("storage-version-gc",),
        because=_gate("APIServerIdentity", "StorageVersionAPI"),
    ),
    NotRun(name="storage-version-migrator-controller", aliases=("svm",), because=_gate("StorageVersionMigrator")),
    NotRun(
        name="selinux-warning-controller",
        because="it is not built in: it only emits metrics and events about volumes shared by pods of several SELinux labels",
        is_off_by_default=True,
    ),
)
"""Upstream's controllers that are not started here, as upstream itself does not start them by default."""
