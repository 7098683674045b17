"""The default plugins, one a file. ``REGISTRY`` is the list; nothing registers itself."""

from __future__ import annotations

from typing import Any

from steersman.scheduler.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from steersman.scheduler.plugins.default_binder import DefaultBinder
from steersman.scheduler.plugins.default_preemption import DefaultPreemption
from steersman.scheduler.plugins.dynamic_resources import DynamicResources
from steersman.scheduler.plugins.image_locality import ImageLocality
from steersman.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from steersman.scheduler.plugins.node_affinity import NodeAffinity
from steersman.scheduler.plugins.node_declared_features import NodeDeclaredFeatures
from steersman.scheduler.plugins.node_name import NodeName
from steersman.scheduler.plugins.node_ports import NodePorts
from steersman.scheduler.plugins.node_resources_fit import NodeResourcesFit
from steersman.scheduler.plugins.node_unschedulable import NodeUnschedulable
from steersman.scheduler.plugins.node_volume_limits import NodeVolumeLimits
from steersman.scheduler.plugins.pod_topology_spread import PodTopologySpread
from steersman.scheduler.plugins.priority_sort import PrioritySort
from steersman.scheduler.plugins.scheduling_gates import SchedulingGates
from steersman.scheduler.plugins.taint_toleration import TaintToleration
from steersman.scheduler.plugins.volume_binding import VolumeBinding
from steersman.scheduler.plugins.volume_restrictions import VolumeRestrictions
from steersman.scheduler.plugins.volume_zone import VolumeZone

REGISTRY: tuple[tuple[type[Any], int], ...] = (
    (SchedulingGates, 0),
    (PrioritySort, 0),
    (NodeUnschedulable, 0),
    (NodeName, 0),
    (TaintToleration, 3),
    (NodeAffinity, 2),
    (NodePorts, 0),
    (NodeResourcesFit, 1),
    (VolumeRestrictions, 0),
    (NodeVolumeLimits, 0),
    (VolumeBinding, 0),
    (VolumeZone, 0),
    (PodTopologySpread, 2),
    (InterPodAffinity, 2),
    (DynamicResources, 2),
    (DefaultPreemption, 0),
    (NodeResourcesBalancedAllocation, 1),
    (ImageLocality, 1),
    (DefaultBinder, 0),
    (NodeDeclaredFeatures, 0),
)
"""Plugin classes in the order in which a default profile calls them, with the weight of their scores."""
