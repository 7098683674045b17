"""Every event that controllers of kube-controller-manager v1.36 record: component, type, reason and the message as a pattern.

Read from upstream's recorders. ``conftest.world_of`` holds every event of every test against this table; ``test_events`` shows each
row of the controllers that are not storage's (theirs are shown by their own tests).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ERROR = r".+"
NAME = r"[a-z0-9.-]+"


@dataclass(frozen=True, slots=True)
class Row:
    type: str
    reason: str
    message: str
    """A regular expression of the whole message."""


def _pods() -> list[Row]:
    return [
        Row("Normal", "SuccessfulCreate", rf"Created pod: {NAME}"),
        Row("Normal", "SuccessfulDelete", rf"Deleted pod: {NAME}"),
        Row("Warning", "FailedCreate", rf"Error creating: {ERROR}"),
        Row("Warning", "FailedDelete", rf"Error deleting: {ERROR}"),
    ]


EVENTS: Mapping[str, Sequence[Row]] = {
    "deployment-controller": [
        Row("Normal", "ScalingReplicaSet", rf"Scaled up replica set {NAME} from \d+ to \d+"),
        Row("Normal", "ScalingReplicaSet", rf"Scaled down replica set {NAME} from \d+ to \d+"),
        Row("Warning", "ReplicaSetCreateError", rf'Failed to create new replica set "{NAME}": {ERROR}'),
        Row("Normal", "DeploymentRollback", rf'Rolled back deployment "{NAME}" to revision \d+'),
        Row("Warning", "DeploymentRollbackRevisionNotFound", r"Unable to find the revision to rollback to\."),
        Row("Warning", "DeploymentRollbackRevisionNotFound", r"Unable to find last revision\."),
        Row(
            "Warning", "DeploymentRollbackTemplateUnchanged",
            rf'The rollback revision contains the same template as current deployment "{NAME}"',
        ),
        Row(
            "Warning", "SelectingAll",
            r"This deployment is selecting all pods\. A non-empty selector is required\.",
        ),
    ],
    "replicaset-controller": _pods(),
    "replication-controller": _pods(),
    "statefulset-controller": [
        Row("Normal", "SuccessfulCreate", rf"Create Pod {NAME} in StatefulSet {NAME} successful"),
        Row("Normal", "SuccessfulUpdate", rf"Update Pod {NAME} in StatefulSet {NAME} successful"),
        Row("Normal", "SuccessfulDelete", rf"Delete Pod {NAME} in StatefulSet {NAME} successful"),
        Row("Normal", "SuccessfulCreate", rf"Create Claim {NAME} Pod {NAME} in StatefulSet {NAME} success"),
        Row("Warning", "FailedCreate", rf"Create Claim {NAME} for Pod {NAME} in StatefulSet {NAME} failed error: {ERROR}"),
        Row(
            "Warning", "FailedCreate",
            rf"Create Pod {NAME} in StatefulSet {NAME} failed error: failed to create PVC {NAME}: {ERROR}",
        ),
        Row("Warning", "FailedCreate", rf"Create Pod {NAME} in StatefulSet {NAME} failed error: pvc {NAME} is being deleted"),
        Row("Warning", "FailedCreate", rf"Create Pod {NAME} in StatefulSet {NAME} failed error: (?!failed|pvc).+"),
        Row("Warning", "FailedUpdate", rf"Update Pod {NAME} in StatefulSet {NAME} failed error: {ERROR}"),
        Row("Warning", "FailedDelete", rf"Delete Pod {NAME} in StatefulSet {NAME} failed error: {ERROR}"),
        Row(
            "Warning", "ConflictingController",
            rf"PersistentVolumeClaim {NAME} has a conflicting OwnerReference that acts as a manging controller, "
            r"the retention policy is ignored for this claim",
        ),
    ],
    "daemonset-controller": [
        *_pods(),
        Row("Warning", "FailedDaemonPod", rf"Found failed daemon pod {NAME}/{NAME} on node {NAME}, will try to kill it"),
        Row(
            "Normal", "SucceededDaemonPod",
            rf"Found succeeded daemon pod {NAME}/{NAME} on node {NAME}, will try to delete it",
        ),
        Row(
            "Warning", "SelectingAll",
            r"This daemon set is selecting all pods\. A non-empty selector is required\.",
        ),
    ],
    "job-controller": [
        *_pods(),
        Row("Normal", "Suspended", "Job suspended"),
        Row("Normal", "Resumed", "Job resumed"),
        Row("Normal", "Completed", "Job completed"),
        Row(
            "Warning", "TooManySucceededPods",
            "Too many succeeded pods running after completion count reached",
        ),
        Row("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        Row("Warning", "DeadlineExceeded", "Job was active longer than specified deadline"),
        Row(
            "Warning", "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        ),
        Row("Warning", "FailedIndexes", "Job has failed indexes"),
        Row(
            "Warning", "PodFailurePolicy",
            rf"Container {NAME} for pod {NAME}/{NAME} failed with exit code \d+ matching FailJob rule at index \d+",
        ),
        Row("Warning", "PodFailurePolicy", rf"Pod {NAME}/{NAME} has condition \w+ matching FailJob rule at index \d+"),
    ],
    "cronjob-controller": [
        Row("Normal", "SuccessfulCreate", rf"Created job {NAME}"),
        Row("Normal", "SuccessfulDelete", rf"Deleted job {NAME}"),
        Row("Warning", "FailedCreate", rf"Error creating job: {ERROR}"),
        Row("Warning", "FailedDelete", rf"Deleted job: {ERROR}"),
        Row("Normal", "SawCompletedJob", rf"Saw completed job: {NAME}, condition: (Complete|Failed)"),
        Row("Normal", "MissingJob", rf"Active job went missing: {NAME}"),
        Row("Warning", "UnexpectedJob", rf"Saw a job that the controller did not create or forgot: {NAME}"),
        Row(
            "Normal", "JobAlreadyActive",
            "Not starting job because prior execution is running and concurrency policy is Forbid",
        ),
        Row(
            "Warning", "MissSchedule",
            r"Missed scheduled time to start a job: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000",
        ),
        Row(
            "Warning", "TooManyMissedTimes",
            r"too many missed start times\. Set or decrease \.spec\.startingDeadlineSeconds or check clock skew",
        ),
        Row(
            "Warning", "InvalidSchedule",
            r"invalid schedule: .+ : time difference between two schedules is less than 1 second",
        ),
        Row("Warning", "UnparseableSchedule", r'unparseable schedule: ".+" : .+'),
        Row("Warning", "UnknownTimeZone", r'invalid timeZone: ".+": .+'),
        Row(
            "Warning", "UnsupportedSchedule",
            r'CRON_TZ or TZ used in schedule ".+" is not officially supported, see '
            r"https://kubernetes\.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
        ),
    ],
    "horizontal-pod-autoscaler": [
        Row("Normal", "SuccessfulRescale", r"New size: \d+; reason: .+"),
        Row("Warning", "FailedRescale", rf"New size: \d+; reason: .+; error: {ERROR}"),
        Row("Warning", "FailedGetScale", ERROR),
        Row("Warning", "FailedComputeMetricsReplicas", r"(invalid metrics \(\d+ invalid out of \d+\), first error is: )?.+"),
        Row("Warning", "FailedUpdateStatus", ERROR),
        Row("Warning", "SelectorRequired", "selector is required"),
        Row(
            "Warning", "InvalidSelector",
            rf"couldn't convert selector into a corresponding internal selector object: {ERROR}",
        ),
        Row(
            "Warning", "AmbiguousSelector",
            r"pods by selector .+ are controlled by multiple HPAs: \[\{.+ .+\}( \{.+ .+\})+\]",
        ),
        Row("Warning", "FailedGetResourceMetric", rf"failed to get {NAME} (utilization|usage): {ERROR}"),
        Row("Warning", "FailedGetContainerResourceMetric", rf"failed to get {NAME} (utilization|usage): {ERROR}"),
        Row("Warning", "FailedGetPodsMetric", rf"unable to get metric {NAME}: {ERROR}"),
        Row("Warning", "FailedGetObjectMetric", rf"unable to get metric {NAME}: .+ on \w+ {NAME}/{NAME}"),
        Row("Warning", "FailedGetExternalMetric", rf"unable to get external metric {NAME}/{NAME}/(nil|&LabelSelector.+): {ERROR}"),
    ],
    "controllermanager": [
        Row("Normal", "NoPods", "No matching pods found"),
        Row("Warning", "CalculateExpectedPodCountFailed", rf"Failed to calculate the number of expected pods: {ERROR}"),
        Row(
            "Warning", "UnmanagedPods",
            r"Pods selected by this PodDisruptionBudget \(selector: &LabelSelector\{.+\}\) were found to be unmanaged\. As a "
            r"result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior\. To account "
            r'for these pods please set "\.spec\.minAvailable" field of the PDB to an integer value\.',
        ),
        Row("Warning", "NotDeleted", rf"Pod was expected by PDB {NAME}/{NAME} to be deleted but it wasn't"),
        Row(
            "Warning", "MultiplePodDisruptionBudgets",
            rf'Pod "{NAME}"/"{NAME}" matches multiple PodDisruptionBudgets\.  Chose "{NAME}" arbitrarily\.',
        ),
    ],
    "endpoint-controller": [
        Row("Warning", "FailedToCreateEndpoint", rf"Failed to create endpoint for service {NAME}/{NAME}: {ERROR}"),
        Row("Warning", "FailedToUpdateEndpoint", rf"Failed to update endpoint {NAME}/{NAME}: {ERROR}"),
    ],
    "endpoint-slice-controller": [
        Row("Warning", "FailedToUpdateEndpointSlices", rf"Error updating Endpoint Slices for Service {NAME}/{NAME}: {ERROR}"),
        Row("Normal", "TopologyAwareHintsEnabled", r"Topology Aware Hints has been enabled, addressType: IPv[46]"),
        Row("Warning", "TopologyAwareHintsDisabled", r"Topology Aware Hints has been disabled, addressType: IPv[46]"),
        Row(
            "Warning", "TopologyAwareHintsDisabled",
            r"Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv[46]",
        ),
        Row(
            "Warning", "TopologyAwareHintsDisabled",
            r"Insufficient number of endpoints \(\d+ endpoints, \d+ zones\), addressType: IPv[46]",
        ),
        Row(
            "Warning", "TopologyAwareHintsDisabled",
            r"Unable to allocate minimum required endpoints to each zone without exceeding overload threshold "
            r"\(\d+ endpoints, \d+ zones\), addressType: IPv[46]",
        ),
        Row(
            "Warning", "TopologyAwareHintsDisabled",
            r"One or more endpoints do not have a zone specified, addressType: IPv[46]",
        ),
    ],
    "endpoint-slice-mirroring-controller": [
        Row(
            "Warning", "TooManyAddressesToMirror",
            r"A max of \d+ addresses can be mirrored to EndpointSlices per Endpoints subset\. \d+ addresses were skipped",
        ),
        Row("Warning", "InvalidIPAddress", r"Skipped \d+ invalid IP addresses when mirroring to EndpointSlices"),
    ],
    "garbage-collector-controller": [
        Row(
            "Warning", "OwnerRefInvalidNamespace",
            r"ownerRef \[.+/.+, namespace: .*, name: .+, uid: .+\] does not exist in namespace \".*\"",
        ),
    ],
    "cidrAllocator": [
        Row("Normal", "CIDRNotAvailable", rf"Node {NAME} status is now: CIDRNotAvailable"),
        Row("Normal", "CIDRAssignmentFailed", rf"Node {NAME} status is now: CIDRAssignmentFailed"),
    ],
    "node-controller": [
        Row("Normal", "RegisteredNode", rf"Node {NAME} event: Registered Node {NAME} in Controller"),
        Row("Normal", "RemovingNode", rf"Node {NAME} event: Removing Node {NAME} from Controller"),
        Row("Normal", "NodeNotReady", rf"Node {NAME} status is now: NodeNotReady"),
        Row("Warning", "NodeNotReady", "Node is not ready"),
    ],
    "taint-eviction-controller": [
        Row("Normal", "TaintManagerEviction", rf"Marking for deletion Pod {NAME}/{NAME}"),
        Row("Normal", "TaintManagerEviction", rf"Cancelling deletion of Pod {NAME}/{NAME}"),
    ],
    "device-taint-eviction-controller": [
        Row("Normal", "DeviceTaintManagerEviction", "Marking for deletion"),
        Row("Normal", "DeviceTaintManagerEviction", "Cancelling deletion"),
    ],
    "resource_claim": [
        Row("Warning", "FailedResourceClaimCreation", rf"PodResourceClaim {NAME}: {ERROR}"),
    ],
    "service-cidr-controller": [
        Row("Warning", "KubernetesServiceCIDRError", r"The ServiceCIDR Status can not be set to Ready=True"),
    ],
}  # fmt: skip

STORAGE = frozenset({"persistentvolume-controller", "attachdetach-controller", "volume_expand", "ephemeral_volume"})
"""Components whose events the tests of volumes show."""

NOT_RECORDED: Mapping[str, str] = {
    "UnParseableCronJobSchedule": "an update to such a schedule is invalid; UnparseableSchedule tells of one that is stored",
    "FailedGet": "a Job to be replaced is read from the cache",
    "UnknownCompletionMode": "the server refuses other modes",
    "InvalidMetricSourceType": "the server refuses other types",
    "FailedToListPods, FailedToListEndpointSlices": "upstream too reads a cache and never fails",
    "WorkloadCreated": "a feature gate that is off by default",
    "DeletingAllPods, NodeControllerEviction": "upstream too deletes pods through taints only",
}
"""Reasons in upstream's source that are not recorded here, and why."""


def row_of(component: str, kind: str, reason: str, message: str) -> Row | None:
    """The row that an event is one of."""
    return next(
        (
            row
            for row in EVENTS.get(component, ())
            if (row.type, row.reason) == (kind, reason)
            and re.fullmatch(row.message, message.removeprefix("(combined from similar events): "), re.DOTALL)
        ),
        None,
    )
