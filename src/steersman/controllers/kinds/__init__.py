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
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    garbagecollector,
    horizontalpodautoscaler,
    job,
    namespace,
    nodeipam,
    nodelifecycle,
    podgc,
    pvcprotection,
    pvprotection,
    replicaset,
    replicationcontroller,
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
    validatingadmissionpolicystatus,
)
from steersman.controllers.runtime import Registration

REGISTRY: Sequence[Registration] = (
    Registration(
        module=serviceaccounttoken,
        start=serviceaccounttoken.ServiceAccountTokenController,
        workers=lambda config: config.concurrent_serviceaccount_token_syncs,
        enabled=lambda config: bool(config.service_account_key_pem),
        service_account="",
    ),
    Registration(
        module=endpoints,
        start=endpoints.EndpointsController,
        workers=lambda config: config.concurrent_endpoint_syncs,
        keys=(endpoints.LEFTOVERS,),
        service_account="endpoint-controller",
        event_source="endpoint-controller",
    ),
    Registration(
        module=endpointslice,
        start=endpointslice.EndpointSliceController,
        workers=lambda config: config.concurrent_service_endpoint_syncs,
        event_source="endpoint-slice-controller",
    ),
    Registration(
        module=namespace,
        start=namespace.NamespaceController,
        workers=lambda config: config.concurrent_namespace_syncs,
    ),
    Registration(
        module=serviceaccount,
        start=serviceaccount.ServiceAccountController,
        service_account="service-account-controller",
    ),
    Registration(
        module=rootca,
        start=rootca.RootCAPublisher,
        enabled=lambda config: bool(config.root_ca_pem),
        service_account="root-ca-cert-publisher",
    ),
    Registration(
        module=deployment,
        start=deployment.DeploymentController,
        workers=lambda config: config.concurrent_deployment_syncs,
    ),
    Registration(
        module=daemonset,
        start=daemonset.DaemonSetController,
        workers=lambda config: config.concurrent_daemonset_syncs,
        service_account="daemon-set-controller",
    ),
    Registration(
        module=statefulset,
        start=statefulset.StatefulSetController,
        workers=lambda config: config.concurrent_statefulset_syncs,
    ),
    Registration(module=job, start=job.JobController, workers=lambda config: config.concurrent_job_syncs),
    Registration(
        module=replicaset,
        start=replicaset.ReplicaSetController,
        workers=lambda config: config.concurrent_replicaset_syncs,
    ),
    Registration(
        module=replicationcontroller,
        start=replicationcontroller.ReplicationControllerController,
        workers=lambda config: config.concurrent_rc_syncs,
        service_account="replication-controller",
        event_source="replication-controller",
    ),
    Registration(
        module=podgc,
        start=podgc.PodGarbageCollector,
        keys=(podgc.PASS,),
        service_account="pod-garbage-collector",
    ),
    Registration(
        module=nodeipam,
        start=nodeipam.NodeIPAMController,
        enabled=lambda config: config.allocate_node_cidrs,
        service_account="node-controller",
        event_source="cidrAllocator",
    ),
    Registration(
        module=nodelifecycle,
        start=nodelifecycle.NodeLifecycleController,
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
        workers=lambda config: config.concurrent_gc_syncs,
        enabled=lambda config: config.enable_garbage_collector,
        service_account="generic-garbage-collector",
    ),
    Registration(
        module=cronjob,
        start=cronjob.CronJobController,
        workers=lambda config: config.concurrent_cron_job_syncs,
    ),
    Registration(
        module=ttlafterfinished,
        start=ttlafterfinished.TTLAfterFinishedController,
        workers=lambda config: config.concurrent_ttl_after_finished_syncs,
    ),
    Registration(
        module=disruption,
        start=disruption.DisruptionController,
        event_source="controllermanager",
    ),
    Registration(
        module=resourcequota,
        start=resourcequota.ResourceQuotaController,
        workers=lambda config: config.concurrent_resource_quota_syncs,
    ),
    Registration(
        module=endpointslicemirroring,
        start=endpointslicemirroring.EndpointSliceMirroringController,
        workers=lambda config: config.mirroring_concurrent_service_endpoint_syncs,
        service_account="endpointslicemirroring-controller",
        event_source="endpoint-slice-mirroring-controller",
    ),
    Registration(
        module=csrapproving,
        start=csrapproving.CSRApprovingController,
        service_account="certificate-controller",
    ),
    Registration(
        module=csrsigning,
        start=csrsigning.CSRSigningController,
        enabled=lambda config: config.cluster_signing is not None or bool(config.signers),
        service_account="certificate-controller",
    ),
    Registration(
        module=csrcleaner,
        start=csrcleaner.CSRCleanerController,
        service_account="certificate-controller",
    ),
    Registration(module=clusterroleaggregation, start=clusterroleaggregation.ClusterRoleAggregationController),
    Registration(
        module=bootstrapsigner,
        start=bootstrapsigner.BootstrapSignerController,
        on_by_default=False,
        service_account="bootstrap-signer",
    ),
    Registration(
        module=tokencleaner,
        start=tokencleaner.TokenCleanerController,
        on_by_default=False,
        service_account="token-cleaner",
    ),
    Registration(
        module=pvcprotection,
        start=pvcprotection.PVCProtectionController,
        service_account="pvc-protection-controller",
    ),
    Registration(
        module=pvprotection,
        start=pvprotection.PVProtectionController,
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
        workers=lambda config: config.concurrent_horizontal_pod_autoscaler_syncs,
        service_account="horizontal-pod-autoscaler",
        event_source="horizontal-pod-autoscaler",
    ),
    Registration(module=ttl, start=ttl.TTLController),
    Registration(
        module=validatingadmissionpolicystatus,
        start=validatingadmissionpolicystatus.ValidatingAdmissionPolicyStatusController,
        workers=lambda config: config.concurrent_validating_admission_policy_status_syncs,
    ),
)
