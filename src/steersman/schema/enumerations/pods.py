"""Enumerated types of pods and what they are made of."""

from __future__ import annotations

from steersman.schema.enumerations.enumeration import Enumeration
from steersman.schema.groups.core.podspec.containers import MESSAGE_POLICIES, PROTOCOLS, PULL_POLICIES
from steersman.schema.groups.core.podspec.handlers import SCHEMES, SIGNALS
from steersman.schema.groups.core.podspec.placement import (
    INCLUSION_POLICIES,
    TAINT_EFFECTS,
    TOLERATION_OPERATORS,
    UNSATISFIABLE_ACTIONS,
)
from steersman.schema.groups.core.podspec.security import (
    GROUP_CHANGE_POLICIES,
    GROUPS_POLICIES,
    PROC_MOUNTS,
    PROFILES,
)
from steersman.schema.groups.core.podspec.specification import DNS_POLICIES, PREEMPTION_POLICIES, RESTART_POLICIES
from steersman.schema.groups.core.podspec.volumes import PROPAGATION

_CORE = "io.k8s.api.core.v1"

PODS: tuple[Enumeration, ...] = (
    Enumeration(values=RESTART_POLICIES, fields=(f"{_CORE}.PodSpec/restartPolicy",)),
    Enumeration(
        values=DNS_POLICIES,
        meanings={
            "ClusterFirst": "asks the cluster's DNS; pods in the node's network ask as the node does.",
            "ClusterFirstWithHostNet": "asks the cluster's DNS, in the node's network too.",
            "Default": "asks as the node does.",
            "None": "asks what dnsConfig says, and nothing else.",
        },
        fields=(f"{_CORE}.PodSpec/dnsPolicy",),
    ),
    Enumeration(
        values=PREEMPTION_POLICIES,
        meanings={
            "Never": "pods wait until there is room.",
            "PreemptLowerPriority": "pods of lower priority may be removed to make room.",
        },
        fields=(f"{_CORE}.PodSpec/preemptionPolicy", "io.k8s.api.scheduling.v1.PriorityClass/preemptionPolicy"),
    ),
    Enumeration(
        values=("Failed", "Pending", "Running", "Succeeded", "Unknown"),
        meanings={
            "Failed": "all containers have ended for good, and at least one of them with an error.",
            "Pending": "accepted, and not all containers have been set up: it waits for a node, or for images.",
            "Running": "bound to a node with all containers set up, and at least one of them runs, starts or restarts.",
            "Succeeded": "all containers have ended without an error and will not be started again.",
            "Unknown": "the node could not be asked. Deprecated: no longer set.",
        },
        fields=(f"{_CORE}.PodStatus/phase",),
    ),
    Enumeration(
        values=("BestEffort", "Burstable", "Guaranteed"),
        meanings={
            "BestEffort": "nothing is requested and nothing is limited.",
            "Burstable": "something is requested or limited.",
            "Guaranteed": "CPU and memory are limited to what is requested, in all containers.",
        },
        fields=(f"{_CORE}.PodStatus/qosClass",),
    ),
    Enumeration(
        values=PULL_POLICIES,
        meanings={
            "Always": "the image is looked up in its registry at each start; a start fails where that fails.",
            "IfNotPresent": "the image is pulled where the node does not have it.",
            "Never": "the image is never pulled; a start fails where the node does not have it.",
        },
        fields=(
            f"{_CORE}.Container/imagePullPolicy",
            f"{_CORE}.EphemeralContainer/imagePullPolicy",
            f"{_CORE}.ImageVolumeSource/pullPolicy",
        ),
    ),
    Enumeration(
        values=MESSAGE_POLICIES,
        meanings={
            "FallbackToLogsOnError": "as File; the end of the log where a container fails and has not written the file.",
            "File": "the content of the file that terminationMessagePath names.",
        },
        fields=(f"{_CORE}.Container/terminationMessagePolicy", f"{_CORE}.EphemeralContainer/terminationMessagePolicy"),
    ),
    Enumeration(
        values=PROTOCOLS,
        fields=(
            f"{_CORE}.ContainerPort/protocol",
            f"{_CORE}.EndpointPort/protocol",
            f"{_CORE}.PortStatus/protocol",
            f"{_CORE}.ServicePort/protocol",
            "io.k8s.api.discovery.v1.EndpointPort/protocol",
            "io.k8s.api.networking.v1.IngressPortStatus/protocol",
            "io.k8s.api.networking.v1.NetworkPolicyPort/protocol",
        ),
    ),
    Enumeration(values=SIGNALS, fields=(f"{_CORE}.ContainerStatus/stopSignal", f"{_CORE}.Lifecycle/stopSignal")),
    Enumeration(
        values=SCHEMES,
        meanings={"HTTP": "in the clear.", "HTTPS": "over TLS; the certificate is not verified."},
        fields=(f"{_CORE}.HTTPGetAction/scheme",),
    ),
    Enumeration(
        values=PROPAGATION,
        meanings={
            "Bidirectional": "mounts made on either side appear on the other and in other containers (rshared).",
            "HostToContainer": "mounts made on the node appear in the container, not the other way round (rslave).",
            "None": "mounts made later appear on their own side only (private).",
        },
        fields=(f"{_CORE}.VolumeMount/mountPropagation",),
    ),
    Enumeration(
        values=GROUP_CHANGE_POLICIES,
        meanings={
            "Always": "the volume's owner and permissions are set at each mount.",
            "OnRootMismatch": "they are set where those of the volume's root directory are not as expected.",
        },
        fields=(f"{_CORE}.PodSecurityContext/fsGroupChangePolicy",),
    ),
    Enumeration(
        values=GROUPS_POLICIES,
        meanings={
            "Merge": "the listed groups, and those that the image's /etc/group gives the user.",
            "Strict": "the listed groups only.",
        },
        fields=(f"{_CORE}.PodSecurityContext/supplementalGroupsPolicy",),
    ),
    Enumeration(
        values=PROC_MOUNTS,
        meanings={
            "Default": "the container runtime hides parts of /proc and makes others read-only.",
            "Unmasked": "all of /proc, as the kernel shows it.",
        },
        fields=(f"{_CORE}.SecurityContext/procMount",),
    ),
    Enumeration(
        values=PROFILES,
        meanings={
            "Localhost": "a profile that is on the node already.",
            "RuntimeDefault": "the container runtime's own profile.",
            "Unconfined": "no profile.",
        },
        fields=(f"{_CORE}.AppArmorProfile/type", f"{_CORE}.SeccompProfile/type"),
    ),
    Enumeration(
        values=TAINT_EFFECTS,
        meanings={
            "NoExecute": "pods that do not tolerate the taint are evicted.",
            "NoSchedule": "the scheduler places no pods that do not tolerate the taint; those that run stay.",
            "PreferNoSchedule": "the scheduler avoids the node for pods that do not tolerate the taint.",
        },
        fields=(f"{_CORE}.Taint/effect", f"{_CORE}.Toleration/effect"),
    ),
    Enumeration(values=TOLERATION_OPERATORS, fields=(f"{_CORE}.Toleration/operator",)),
    Enumeration(
        values=("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"),
        fields=(f"{_CORE}.NodeSelectorRequirement/operator",),
    ),
    Enumeration(
        values=INCLUSION_POLICIES,
        meanings={
            "Honor": "nodes that the pod may not be placed on are left out of the skew.",
            "Ignore": "they count.",
        },
        fields=(
            f"{_CORE}.TopologySpreadConstraint/nodeAffinityPolicy",
            f"{_CORE}.TopologySpreadConstraint/nodeTaintsPolicy",
        ),
    ),
    Enumeration(
        values=UNSATISFIABLE_ACTIONS,
        meanings={
            "DoNotSchedule": "the pod waits until the constraint can be kept.",
            "ScheduleAnyway": "the pod is placed where the constraint is violated least.",
        },
        fields=(f"{_CORE}.TopologySpreadConstraint/whenUnsatisfiable",),
    ),
)
