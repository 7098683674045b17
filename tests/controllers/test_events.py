"""Every event of ``upstream_events``, made to happen: who tells it, of what, and in which words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest

from steersman.controllers.kinds import cronjob as cron
from steersman.controllers.rolloutplan import plan as rollout_plan
from steersman.meta.resources import (
    DAEMONSETS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
)
from tests.controllers import happenings, upstream_events
from tests.controllers import happenings_of_workloads as workloads
from tests.controllers.builders import workload
from tests.controllers.conftest import StartWorld
from tests.controllers.kinds import test_cronjob as crons
from tests.controllers.kinds.test_job import job
from tests.controllers.world import World

REFUSED = "the test refuses it"
Told = tuple[str, str, str]
"""(kind of the object, reason, message; ``*`` stands for anything)."""


@dataclass(frozen=True, slots=True)
class Case:
    component: str
    happen: Callable[[StartWorld], Awaitable[World]]
    told: Sequence[Told]


def told_of_pods(kind: str) -> list[Told]:
    return [
        (kind, "SuccessfulCreate", "Created pod: *-*"),
        (kind, "SuccessfulDelete", "Deleted pod: *-*"),
        (kind, "FailedCreate", f"Error creating: {REFUSED}"),
        (kind, "FailedDelete", f"Error deleting: {REFUSED}"),
    ]


NO_RESOURCE_METRICS = "unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
NO_CUSTOM_METRICS = "unable to fetch metrics from custom metrics API: no known available metric versions found"
NO_EXTERNAL_METRICS = (
    "unable to fetch metrics from external metrics API: the server could not find the requested resource "
    "(get queue.external.metrics.k8s.io)"
)
QUEUE = "&LabelSelector{MatchLabels:map[[]string]string{a: b,},MatchExpressions:[[]]LabelSelectorRequirement{},}"
NOT_CREATED = f"failed to create EndpointSlice for Service default/web: {REFUSED}"

CASES = [
    Case("deployment-controller", workloads.a_rollout, [
        ("Deployment", "ScalingReplicaSet", "Scaled up replica set web-* from 0 to 2"),
        ("Deployment", "ScalingReplicaSet", "Scaled down replica set web-* from 2 to 1"),
    ]),
    Case("deployment-controller", workloads.a_rollout_that_cannot_begin, [
        ("Deployment", "ReplicaSetCreateError", f'Failed to create new replica set "web-*": {REFUSED}'),
    ]),
    Case("deployment-controller", workloads.ways_back, [
        ("Deployment", "DeploymentRollbackRevisionNotFound", "Unable to find last revision."),
        ("Deployment", "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to."),
        ("Deployment", "DeploymentRollbackTemplateUnchanged",
         'The rollback revision contains the same template as current deployment "web"'),
        ("Deployment", "DeploymentRollback", 'Rolled back deployment "web" to revision 1'),
    ]),
    Case("replicaset-controller",
         workloads.pods_of("replicaset-controller", REPLICASETS, workload(REPLICASETS, replicas=1), workloads.NONE),
         told_of_pods("ReplicaSet")),
    Case("replication-controller", workloads.pods_of("replicationcontroller-controller", REPLICATIONCONTROLLERS, workloads.RC, workloads.NONE),
         told_of_pods("ReplicationController")),
    Case("daemonset-controller", workloads.pods_of("daemonset-controller", DAEMONSETS, workload(DAEMONSETS), workloads.NOWHERE),
         told_of_pods("DaemonSet")),
    Case("job-controller", workloads.pods_of("job-controller", JOBS, job(), workloads.SUSPENDED), told_of_pods("Job")),
    Case("daemonset-controller", workloads.daemons_that_end, [
        ("DaemonSet", "FailedDaemonPod", "Found failed daemon pod default/web-* on node n1, will try to kill it"),
        ("DaemonSet", "SucceededDaemonPod", "Found succeeded daemon pod default/web-* on node n1, will try to delete it"),
    ]),
    Case("statefulset-controller", workloads.pods_with_identities, [
        ("StatefulSet", "FailedCreate", f"Create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "FailedCreate",
         f"Create Pod web-0 in StatefulSet web failed error: failed to create PVC data-web-0: {REFUSED}"),
        ("StatefulSet", "SuccessfulCreate", "Create Claim data-web-0 Pod web-0 in StatefulSet web success"),
        ("StatefulSet", "FailedCreate", f"Create Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "SuccessfulCreate", "Create Pod web-0 in StatefulSet web successful"),
        ("StatefulSet", "FailedUpdate", f"Update Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "SuccessfulUpdate", "Update Pod web-0 in StatefulSet web successful"),
        ("StatefulSet", "FailedDelete", f"Delete Pod web-0 in StatefulSet web failed error: {REFUSED}"),
        ("StatefulSet", "SuccessfulDelete", "Delete Pod web-0 in StatefulSet web successful"),
    ]),
    Case("statefulset-controller", workloads.claims_that_are_in_the_way, [
        ("StatefulSet", "FailedCreate",
         "Create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"),
        ("StatefulSet", "ConflictingController",
         "PersistentVolumeClaim data-web-0 has a conflicting OwnerReference that acts as a manging controller, the retention "
         "policy is ignored for this claim"),
    ]),
    Case("job-controller", workloads.jobs_that_end, [
        ("Job", "Completed", "Job completed"),
        ("Job", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        ("Job", "DeadlineExceeded", "Job was active longer than specified deadline"),
        ("Job", "PodFailurePolicy",
         "Container main for pod default/code-* failed with exit code 42 matching FailJob rule at index 0"),
        ("Job", "PodFailurePolicy", "Pod default/cond-* has condition DisruptionTarget matching FailJob rule at index 1"),
        ("Job", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"),
        ("Job", "FailedIndexes", "Job has failed indexes"),
    ]),
    Case("job-controller", workloads.a_job_that_pauses, [
        ("Job", "Suspended", "Job suspended"),
        ("Job", "Resumed", "Job resumed"),
    ]),
    Case("job-controller", workloads.more_successes_than_wanted, [
        ("Job", "TooManySucceededPods", "Too many succeeded pods running after completion count reached"),
    ]),
    Case("cronjob-controller", workloads.a_schedule, [
        ("CronJob", "FailedCreate", f"Error creating job: {REFUSED}"),
        ("CronJob", "SuccessfulCreate", "Created job tick-*"),
        ("CronJob", "JobAlreadyActive",
         "Not starting job because prior execution is running and concurrency policy is Forbid"),
        ("CronJob", "SawCompletedJob", "Saw completed job: tick-*, condition: Complete"),
        ("CronJob", "FailedDelete", f"Deleted job: {REFUSED}"),
        ("CronJob", "SuccessfulDelete", "Deleted job tick-*"),
        ("CronJob", "MissingJob", "Active job went missing: tick-*"),
        ("CronJob", "UnexpectedJob", "Saw a job that the controller did not create or forgot: stranger"),
    ]),
    Case("cronjob-controller", workloads.schedules_that_were_missed, [
        ("CronJob", "InvalidSchedule",
         "invalid schedule: 59 23 31 2 [*] : time difference between two schedules is less than 1 second"),
        ("CronJob", "TooManyMissedTimes",
         "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"),
    ]),
    Case("horizontal-pod-autoscaler", happenings.autoscalers, [
        ("HorizontalPodAutoscaler", "FailedRescale",
         f"New size: 5; reason: Current number of replicas above Spec.MaxReplicas; error: {REFUSED}"),
        ("HorizontalPodAutoscaler", "SuccessfulRescale",
         "New size: 5; reason: Current number of replicas above Spec.MaxReplicas"),
        ("HorizontalPodAutoscaler", "FailedGetResourceMetric",
         f"failed to get cpu utilization: unable to get metrics for resource cpu: {NO_RESOURCE_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetResourceMetric",
         f"failed to get memory usage: unable to get metrics for resource memory: {NO_RESOURCE_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetContainerResourceMetric",
         f"failed to get cpu utilization: unable to get metrics for resource cpu: {NO_RESOURCE_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetPodsMetric", f"unable to get metric qps: {NO_CUSTOM_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedGetObjectMetric",
         f"unable to get metric hits: {NO_CUSTOM_METRICS} on Service default/web"),
        ("HorizontalPodAutoscaler", "FailedGetExternalMetric",
         f"unable to get external metric default/queue/{QUEUE}: {NO_EXTERNAL_METRICS}"),
        ("HorizontalPodAutoscaler", "FailedComputeMetricsReplicas",
         "invalid metrics (6 invalid out of 6), first error is: failed to get cpu resource metric value: failed to get cpu "
         f"utilization: unable to get metrics for resource cpu: {NO_RESOURCE_METRICS}"),
    ]),
    Case("horizontal-pod-autoscaler", happenings.autoscalers_that_do_not_know_their_pods, [
        ("HorizontalPodAutoscaler", "SelectorRequired", "selector is required"),
        ("HorizontalPodAutoscaler", "FailedComputeMetricsReplicas", "selector is required"),
        ("HorizontalPodAutoscaler", "InvalidSelector",
         "couldn't convert selector into a corresponding internal selector object: *"),
        ("HorizontalPodAutoscaler", "AmbiguousSelector",
         "pods by selector app=web are controlled by multiple HPAs: [[]{a default} {b default}]"),
    ]),
    Case("horizontal-pod-autoscaler", happenings.autoscalers_without_a_target, [
        ("HorizontalPodAutoscaler", "FailedGetScale", 'deployments.apps "web" not found'),
        ("HorizontalPodAutoscaler", "FailedGetScale", 'no matches for kind "Gadget" in group "apps"'),
        ("HorizontalPodAutoscaler", "FailedUpdateStatus", REFUSED),
    ]),
    Case("controllermanager", happenings.budgets, [
        ("PodDisruptionBudget", "NoPods", "No matching pods found"),
        ("PodDisruptionBudget", "CalculateExpectedPodCountFailed",
         'Failed to calculate the number of expected pods: found no controllers for pod "lost"'),
        ("PodDisruptionBudget", "UnmanagedPods",
         "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[[]string]string{app: web,},"
         "MatchExpressions:[[]]LabelSelectorRequirement{},}) were found to be unmanaged. As a result, the status of the PDB "
         "cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set "
         '".spec.minAvailable" field of the PDB to an integer value.'),
        ("Pod", "NotDeleted", "Pod was expected by PDB default/default to be deleted but it wasn't"),
        ("Pod", "MultiplePodDisruptionBudgets",
         'Pod "default"/"web-1" matches multiple PodDisruptionBudgets.  Chose "another" arbitrarily.'),
    ]),
    Case("endpoint-controller", happenings.endpoints_that_cannot_be_written, [
        ("Endpoints", "FailedToCreateEndpoint", f"Failed to create endpoint for service default/web: {REFUSED}"),
        ("Endpoints", "FailedToUpdateEndpoint", f"Failed to update endpoint default/web: {REFUSED}"),
    ]),
    Case("endpoint-slice-controller", happenings.endpoints_that_cannot_be_written, [
        ("Service", "FailedToUpdateEndpointSlices", f"Error updating Endpoint Slices for Service default/web: {NOT_CREATED}"),
    ]),
    Case("endpoint-slice-controller", happenings.hints_in_proportion, [
        ("Service", "TopologyAwareHintsDisabled",
         "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4"),
        ("Service", "TopologyAwareHintsDisabled",
         "Insufficient number of endpoints (0 endpoints, 2 zones), addressType: IPv4"),
        ("Service", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4"),
        ("Service", "TopologyAwareHintsDisabled",
         "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold "
         "(2 endpoints, 2 zones), addressType: IPv4"),
        ("Service", "TopologyAwareHintsDisabled", "Topology Aware Hints has been disabled, addressType: IPv4"),
    ]),
    Case("endpoint-slice-controller", happenings.an_endpoint_without_a_zone, [
        ("Service", "TopologyAwareHintsDisabled",
         "One or more endpoints do not have a zone specified, addressType: IPv4"),
    ]),
    Case("endpoint-slice-mirroring-controller", happenings.addresses_that_cannot_be_mirrored, [
        ("Endpoints", "TooManyAddressesToMirror",
         "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped"),
    ]),
    Case("garbage-collector-controller", happenings.an_owner_elsewhere, [
        ("Node", "OwnerRefInvalidNamespace",
         'ownerRef [[]batch/v1/Job, namespace: , name: owner, uid: *] does not exist in namespace ""'),
        ("ConfigMap", "OwnerRefInvalidNamespace",
         'ownerRef [[]batch/v1/Job, namespace: kube-system, name: owner, uid: *] does not exist in namespace "kube-system"'),
    ]),
    Case("cidrAllocator", happenings.blocks_of_addresses, [
        ("Node", "CIDRAssignmentFailed", "Node n1 status is now: CIDRAssignmentFailed"),
        ("Node", "CIDRNotAvailable", "Node n2 status is now: CIDRNotAvailable"),
    ]),
    Case("node-controller", happenings.a_node_that_falls_silent, [
        ("Node", "RegisteredNode", "Node n1 event: Registered Node n1 in Controller"),
        ("Node", "NodeNotReady", "Node n1 status is now: NodeNotReady"),
        ("Pod", "NodeNotReady", "Node is not ready"),
        ("Node", "RemovingNode", "Node n1 event: Removing Node n1 from Controller"),
    ]),
    Case("taint-eviction-controller", happenings.taints_that_come_and_go, [
        ("Pod", "TaintManagerEviction", "Marking for deletion Pod default/now"),
        ("Pod", "TaintManagerEviction", "Cancelling deletion of Pod default/later"),
    ]),
    Case("resource_claim", happenings.devices_that_break, [
        ("Pod", "FailedResourceClaimCreation",
         'PodResourceClaim gpu: resource claim template "gpu": resourceclaimtemplate.resource.k8s.io "gpu" not found'),
    ]),
    Case("device-taint-eviction-controller", happenings.devices_that_break, [
        ("Pod", "DeviceTaintManagerEviction", "Marking for deletion"),
        ("Pod", "DeviceTaintManagerEviction", "Cancelling deletion"),
    ]),
    Case("service-cidr-controller", happenings.a_range_that_cannot_be_served, [
        ("ServiceCIDR", "KubernetesServiceCIDRError", "The ServiceCIDR Status can not be set to Ready=True"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.component}-{case.happen.__name__}")
async def test_what_happened_is_told(world_of: StartWorld, case: Case) -> None:
    world = await case.happen(world_of)
    found = [
        (event["involvedObject"]["kind"], event["reason"], event["message"])
        for event in (await world.client.list(EVENTS)).items
        if event["source"]["component"] == case.component
    ]
    for kind, reason, message in case.told:
        assert any((kind, reason) == entry[:2] and fnmatchcase(entry[2], message) for entry in found), (reason, found)


OF_PLANS: list[tuple[str, Callable[[], Sequence[Any]]]] = [
    ("deployment-controller", lambda: rollout_plan(workload(DEPLOYMENTS, selector={}), (), {}, 0.0).events),
    ("cronjob-controller", lambda: cron.plan(crons.cronjob("never"), (), 1e9).events),
    ("cronjob-controller", lambda: cron.plan(crons.cronjob(timeZone="Mars/Base"), (), 1e9).events),
    ("cronjob-controller", lambda: cron.plan(crons.cronjob("TZ=UTC * * * * *"), (), 1e9).events),
]
"""Events about objects that the server does not let in: of those that were there before it became strict."""


@pytest.mark.parametrize(("component", "events"), OF_PLANS)
def test_what_the_server_lets_in_no_more_is_told_in_upstreams_words(
    component: str, events: Callable[[], Sequence[Any]]
) -> None:
    event = events()[0]
    assert upstream_events.row_of(component, event.type, event.reason, event.message) is not None


UNREACHABLE = {
    ("cronjob-controller", "MissSchedule"): "a time that is searched for after now - deadline is never late",
    ("daemonset-controller", "SelectingAll"): "the server refuses an empty selector; as for Deployments",
    ("endpoint-slice-mirroring-controller", "InvalidIPAddress"): "the server refuses such addresses",
}


def test_every_event_of_upstreams_is_shown() -> None:
    shown = {
        (case.component, upstream_events.row_of(case.component, kind, reason, _sample(message)))
        for case in CASES
        for _, reason, message in case.told
        for kind in ("Normal", "Warning")
    } | {
        (component, upstream_events.row_of(component, event.type, event.reason, event.message))
        for component, events in OF_PLANS
        for event in events()
    }
    missing = [
        (component, row.reason, row.message)
        for component, rows in upstream_events.EVENTS.items()
        for row in rows
        if (component, row) not in shown and (component, row.reason) not in UNREACHABLE
    ]
    assert missing == []


def _sample(pattern: str) -> str:
    return pattern.replace("[[]", "[").replace("[*]", "\0").replace("*", "x").replace("\0", "*")
