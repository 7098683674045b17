"""KubeSchedulerConfiguration: defaults, plugin sets, and refusals that name what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta.objects import Object
from steersman.scheduler.component import DEFAULT_PLUGINS, default_configuration
from steersman.scheduler.configuration import ConfigurationError, SchedulerConfiguration, read_configuration
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.pod_info import parse_pod
from tests.scheduler.builders import cluster_of, node, pod

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
TAINT = {"key": "x", "effect": "NoSchedule"}


def read(**fields: Any) -> SchedulerConfiguration:
    return read_configuration({**HEAD, **fields}, DEFAULT_PLUGINS)


def profile(**fields: Any) -> Any:
    return read(profiles=[fields]).frameworks["default-scheduler"]


def test_the_default_profile_is_upstreams() -> None:
    framework = default_configuration().frameworks["default-scheduler"]
    assert [plugin.NAME for plugin in framework.filter] == [
        "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit",
        "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread",
        "InterPodAffinity", "DynamicResources", "NodeDeclaredFeatures",
    ]  # fmt: skip
    assert {scored.plugin.NAME: scored.weight for scored in framework.score} == {
        "TaintToleration": 3, "NodeAffinity": 2, "NodeResourcesFit": 1, "PodTopologySpread": 2, "InterPodAffinity": 2,
        "DynamicResources": 2, "NodeResourcesBalancedAllocation": 1, "ImageLocality": 1,
    }  # fmt: skip
    assert framework.queue_sort.NAME == "PrioritySort"
    assert [plugin.NAME for plugin in framework.post_filter] == ["DynamicResources", "DefaultPreemption"]


def test_a_point_can_disable_everything_and_enable_some() -> None:
    only = {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 7}]}
    framework = profile(plugins={"preScore": only, "score": only})
    assert [(scored.plugin.NAME, scored.weight) for scored in framework.score] == [("NodeResourcesFit", 7)]
    assert len(framework.filter) == 14


def test_a_plugin_can_be_switched_off_at_score_or_filter_alone() -> None:
    """``score: {disabled: [{name: ImageLocality}]}`` is how upstream's documentation switches a score off."""
    off = {"disabled": [{"name": "ImageLocality"}, {"name": "TaintToleration"}]}
    framework = profile(plugins={"score": off, "filter": off})
    assert {"ImageLocality", "TaintToleration"}.isdisjoint(scored.plugin.NAME for scored in framework.score)
    core = SchedulerCore({"default-scheduler": framework}, cluster_of(node("a", taints=[TAINT])))
    assert core.decide(parse_pod(pod())).node_name == "a"


def test_a_plugin_without_filter_still_says_which_nodes_are_in_question() -> None:
    """``preFilter`` is a point of its own: it may reject the pod as a whole, or all nodes but those it names."""
    framework = profile(plugins={"filter": {"disabled": [{"name": "NodeAffinity"}, {"name": "VolumeBinding"}]}})
    core = SchedulerCore({"default-scheduler": framework}, cluster_of(node("a"), node("b", cpu="64")))
    only_a = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [only_a]}}
    assert core.decide(parse_pod(pod(affinity={"nodeAffinity": required}))).node_name == "a"
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "missing"}}]
    refused = core.decide(parse_pod(pod("p2", volumes=volumes)))
    assert refused.diagnosis is not None
    assert 'persistentvolumeclaim "missing" not found' in refused.diagnosis.message


def test_multi_point_disables_a_plugin_everywhere() -> None:
    framework = profile(plugins={"multiPoint": {"disabled": [{"name": "InterPodAffinity"}]}})
    assert "InterPodAffinity" not in framework.plugins


def test_what_a_point_says_itself_comes_before_multi_point() -> None:
    framework = profile(plugins={"filter": {"enabled": [{"name": "NodeResourcesFit"}, {"name": "NodePorts"}]}})
    assert [plugin.NAME for plugin in framework.filter][:3] == ["NodeResourcesFit", "NodePorts", "NodeUnschedulable"]


def test_arguments_reach_their_plugin() -> None:
    args = {"apiVersion": HEAD["apiVersion"], "kind": "NodeResourcesFitArgs",
            "scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 3}]}}  # fmt: skip
    framework = profile(pluginConfig=[{"name": "NodeResourcesFit", "args": args}])
    assert framework.plugins["NodeResourcesFit"].strategy == "MostAllocated"


def test_several_profiles_share_a_scheduler() -> None:
    configuration = read(profiles=[{"schedulerName": "a"}, {"schedulerName": "b"}])
    assert list(configuration.frameworks) == ["a", "b"]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"apiVersion": "kubescheduler.config.k8s.io/v1beta3", "kind": "KubeSchedulerConfiguration"}, "v1beta3"),
        ({**HEAD, "colour": "red"}, 'colour: unknown field "colour"'),
        ({**HEAD, "percentageOfNodesToScore": 101}, "percentageOfNodesToScore: Invalid value: 101"),
        ({**HEAD, "profiles": [{"percentageOfNodesToScore": -1}]}, "profiles[0].percentageOfNodesToScore: Invalid value"),
        ({**HEAD, "enableProfiling": True}, "enableProfiling: Unsupported value: true"),
        ({**HEAD, "clientConnection": {"contentType": "application/vnd.kubernetes.protobuf"}},
         'clientConnection.contentType: Unsupported value: "application/vnd.kubernetes.protobuf"'),
        ({**HEAD, "clientConnection": {"burst": -1}}, "clientConnection.burst: Invalid value: -1: must be non-negative"),
        ({**HEAD, "leaderElection": {"leaseDuration": "5s"}}, "must be greater than `RenewDeadline`"),
        ({**HEAD, "leaderElection": {"retryPeriod": "0s"}}, "retryPeriod: Invalid value: 0s: must be greater than zero"),
        ({**HEAD, "parallelism": -1}, "parallelism: Invalid value"),
        ({**HEAD, "podInitialBackoffSeconds": 0}, "podInitialBackoffSeconds: Invalid value"),
        ({**HEAD, "podMaxBackoffSeconds": 0}, "podMaxBackoffSeconds: Invalid value"),
        ({**HEAD, "profiles": [{}, {}]}, "profiles[0].schedulerName: Required value"),
        ({**HEAD, "profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]}, "Duplicate value"),
        ({**HEAD, "profiles": [{"plugins": {"filter": {"enabled": [{"name": "X"}]}}}]}, "no such plugin"),
        ({**HEAD, "profiles": [{"plugins": {"guess": {}}}]}, "plugins.guess: unknown field"),
        ({**HEAD, "profiles": [{"plugins": {"bind": {"disabled": [{"name": "*"}]}}}]}, "plugins.bind: Required value"),
        ({**HEAD, "profiles": [{"pluginConfig": [{"name": "NodeAffinity", "args": {"x": 1}}]}]}, "unknown field"),
        ({**HEAD, "profiles": [{"plugins": {"preFilter": {"disabled": [{"name": "NodePorts"}]}}}]},
         "plugins.filter: Unsupported value: NodePorts"),
        ({**HEAD, "profiles": [{"plugins": {"preScore": {"disabled": [{"name": "*"}]}}}]},
         "plugins.score: Unsupported value: TaintToleration: it needs preScore"),
        ({**HEAD, "profiles": [{"pluginConfig": [{"name": "InterPodAffinity",
                                                  "args": {"hardPodAffinityWeight": 101}}]}]}, "valid range [0-100]"),
        ({**HEAD, "extenders": [{"urlPrefix": "http://x", "prioritizeVerb": "p"}]}, "positive weight"),
        ({**HEAD, "extenders": [{"bindVerb": "b"}, {"bindVerb": "b"}]}, "only one extender can implement bind"),
        ({**HEAD, "extenders": [{"managedResources": [{"name": "cpu"}]}]}, "is an invalid extended resource name"),
        ({**HEAD, "extenders": [{"managedResources": [{"name": "a.b/c"}]}] * 2}, "duplicate extender managed resource name"),
        ({**HEAD, "extenders": [{"tlsConfig": {"caData": "?"}}]}, "tlsConfig.caData: Invalid value"),
        ({**HEAD, "leaderElection": {"resourceLock": "endpoints"}}, 'resourceLock value must be "leases"'),
        ({**HEAD, "leaderElection": {"leaseDuration": "soon"}}, "leaseDuration: Invalid value"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_name(document: Object, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read_configuration(document, DEFAULT_PLUGINS)
    assert problem in str(refusal.value)


def test_resources_that_an_extender_manages_are_ignored_by_the_fit() -> None:
    extender = {"urlPrefix": "http://x", "filterVerb": "filter",
                "managedResources": [{"name": "example.com/gpu", "ignoredByScheduler": True}]}  # fmt: skip
    framework = read(extenders=[extender]).frameworks["default-scheduler"]
    assert framework.plugins["NodeResourcesFit"].ignored_resources == {"example.com/gpu"}


def test_profiles_may_score_another_share_of_the_nodes() -> None:
    configuration = read(
        percentageOfNodesToScore=50,
        profiles=[{"schedulerName": "a"}, {"schedulerName": "b", "percentageOfNodesToScore": 10}],
    )
    assert [framework.percentage_to_score for framework in configuration.frameworks.values()] == [50, 10]


def test_a_rate_is_a_rate_only_where_it_is_stated() -> None:
    assert read().client_connection.qps == 0
    limited = read(clientConnection={"qps": 20}).client_connection
    assert (limited.qps, limited.burst) == (20, 100)
    assert read(clientConnection={"qps": -1}).client_connection.qps == 0
