"""Enumerated types of the controllers that make pods, and of disruption budgets and resource claims."""

from __future__ import annotations

from steersman.schema.enumerations.enumeration import Enumeration
from steersman.schema.groups.apps.daemonset import UPDATE_STRATEGIES
from steersman.schema.groups.apps.deployment import STRATEGIES
from steersman.schema.groups.apps.statefulset import MANAGEMENT_POLICIES
from steersman.schema.groups.batch.cronjob import CONCURRENCY_POLICIES
from steersman.schema.groups.batch.jobpolicies import ACTIONS, OPERATORS
from steersman.schema.groups.batch.jobspec import COMPLETION_MODES, REPLACEMENT_POLICIES
from steersman.schema.groups.policy.poddisruptionbudget import EVICTION_POLICIES
from steersman.schema.groups.resource.claimrules import ALLOCATION_MODES, EFFECTS
from steersman.schema.groups.resource.claimrules import OPERATORS as TOLERATION_OPERATORS
from steersman.schema.groups.resource.claimstatus import SOURCES

_APPS = "io.k8s.api.apps.v1"
_BATCH = "io.k8s.api.batch.v1"
_RESOURCE = "io.k8s.api.resource.v1"

WORKLOADS: tuple[Enumeration, ...] = (
    Enumeration(
        values=UPDATE_STRATEGIES,
        meanings={
            "OnDelete": "a pod is replaced when it is deleted.",
            "RollingUpdate": "pods are replaced node after node.",
        },
        fields=(f"{_APPS}.DaemonSetUpdateStrategy/type",),
    ),
    Enumeration(
        values=UPDATE_STRATEGIES,
        meanings={
            "OnDelete": "a pod is replaced when it is deleted; revisions are not rolled out.",
            "RollingUpdate": "pods are replaced one after the other, from the highest ordinal down.",
        },
        fields=(f"{_APPS}.StatefulSetUpdateStrategy/type",),
    ),
    Enumeration(
        values=STRATEGIES,
        meanings={
            "Recreate": "all pods are removed before new ones are made.",
            "RollingUpdate": "the new ReplicaSet grows while the old ones shrink.",
        },
        fields=(f"{_APPS}.DeploymentStrategy/type",),
    ),
    Enumeration(
        values=MANAGEMENT_POLICIES,
        meanings={
            "OrderedReady": "pods are made in order and removed in reverse, each when the one before it is ready or gone.",
            "Parallel": "all pods are made or removed at once.",
        },
        fields=(f"{_APPS}.StatefulSetSpec/podManagementPolicy",),
    ),
    Enumeration(
        values=CONCURRENCY_POLICIES,
        meanings={
            "Allow": "Jobs may run side by side.",
            "Forbid": "a run is left out while the one before it runs.",
            "Replace": "the Job that runs makes way for the new one.",
        },
        fields=(f"{_BATCH}.CronJobSpec/concurrencyPolicy",),
    ),
    Enumeration(
        values=COMPLETION_MODES,
        meanings={
            "Indexed": "complete when one pod has succeeded for each index from 0 to completions-1.",
            "NonIndexed": "complete when as many pods as completions have succeeded, whichever.",
        },
        fields=(f"{_BATCH}.JobSpec/completionMode",),
    ),
    Enumeration(
        values=REPLACEMENT_POLICIES,
        meanings={
            "Failed": "a pod is replaced when it has ended (phase Failed or Succeeded).",
            "TerminatingOrFailed": "a pod is replaced as soon as it fails or is being deleted.",
        },
        fields=(f"{_BATCH}.JobSpec/podReplacementPolicy",),
    ),
    Enumeration(values=OPERATORS, fields=(f"{_BATCH}.PodFailurePolicyOnExitCodesRequirement/operator",)),
    Enumeration(
        values=ACTIONS,
        meanings={
            "Count": "the failure counts towards backoffLimit, as without a policy.",
            "FailIndex": "the pod's index fails without a retry. Only with backoffLimitPerIndex.",
            "FailJob": "the Job fails, and its pods are ended.",
            "Ignore": "the failure does not count, and the pod is replaced.",
        },
        fields=(f"{_BATCH}.PodFailurePolicyRule/action",),
    ),
    Enumeration(
        values=EVICTION_POLICIES,
        meanings={
            "AlwaysAllow": "running pods that are not healthy may be evicted whatever the budget says.",
            "IfHealthyBudget": "they may be evicted where as many pods are healthy as are desired.",
        },
        fields=("io.k8s.api.policy.v1.PodDisruptionBudgetSpec/unhealthyPodEvictionPolicy",),
    ),
    Enumeration(values=SOURCES, fields=(f"{_RESOURCE}.DeviceAllocationConfiguration/source",)),
    Enumeration(
        values=ALLOCATION_MODES,
        fields=(f"{_RESOURCE}.DeviceSubRequest/allocationMode", f"{_RESOURCE}.ExactDeviceRequest/allocationMode"),
    ),
    Enumeration(
        values=EFFECTS,
        meanings={
            "NoExecute": "pods that use the device and do not tolerate the taint are evicted.",
            "NoSchedule": "the device is not given to pods that do not tolerate the taint; those that have it keep it.",
            "None": "nothing; the taint only informs.",
        },
        fields=(f"{_RESOURCE}.DeviceTaint/effect", f"{_RESOURCE}.DeviceToleration/effect"),
    ),
    Enumeration(values=TOLERATION_OPERATORS, fields=(f"{_RESOURCE}.DeviceToleration/operator",)),
)
