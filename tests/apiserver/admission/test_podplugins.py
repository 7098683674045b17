"""Plugins that look at pods: images, selectors, tolerations, affinity, topology, runtime classes, features of nodes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.apiserver.admission.alwayspullimages import AlwaysPullImages
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.extendedresourcetoleration import ExtendedResourceToleration
from steersman.apiserver.admission.limitpodhardantiaffinitytopology import LimitPodHardAntiAffinityTopology
from steersman.apiserver.admission.nodedeclaredfeatures import NodeDeclaredFeatureValidator
from steersman.apiserver.admission.podnodeselector import ANNOTATION, NodeSelectors, PodNodeSelector, node_selectors
from steersman.apiserver.admission.podtolerationrestriction import (
    DEFAULTS,
    WHITELIST,
    ClusterTolerations,
    PodTolerationRestriction,
    cluster_tolerations,
)
from steersman.apiserver.admission.podtopologylabels import PodTopologyLabels
from steersman.apiserver.admission.runtimeclass import RuntimeClass
from steersman.meta.errors import APIError, Forbidden, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, NAMESPACES, NODES, PODS, RUNTIMECLASSES
from tests.apiserver.admission.asking import asked, mutated, refusal
from tests.apiserver.builders import config_map, pod
from tests.apiserver.readers import ListedObjects, named


def _pod(**spec: Any) -> Object:
    made = pod("p")
    made["spec"].update(spec)
    return made


def _annotated(**annotations: str) -> ListedObjects:
    return ListedObjects([(NAMESPACES, {"metadata": {"name": "default", "annotations": annotations}})])


class TestAlwaysPullImages:
    plugin = AlwaysPullImages()

    async def test_every_image_of_a_new_pod_is_pulled(self) -> None:
        made = _pod(
            initContainers=[{"name": "i", "image": "i", "imagePullPolicy": "Never"}],
            volumes=[
                {"name": "v", "image": {"reference": "r", "pullPolicy": "IfNotPresent"}},
                {"name": "e", "emptyDir": {}},
            ],
        )
        before = copy.deepcopy(made)
        spec = (await mutated(self.plugin, asked(PODS, made)))["spec"]
        assert made == before
        assert [spec[field][0]["imagePullPolicy"] for field in ("containers", "initContainers")] == ["Always", "Always"]
        assert spec["volumes"] == [
            {"name": "v", "image": {"reference": "r", "pullPolicy": "Always"}},
            {"name": "e", "emptyDir": {}},
        ]
        assert await refusal(self.plugin, asked(PODS, {**made, "spec": spec})) == ""

    async def test_nothing_is_copied_for_pods_that_pull_anyway(self) -> None:
        made = _pod(containers=[{"name": "c", "image": "i", "imagePullPolicy": "Always"}])
        assert await self.plugin.mutate(asked(PODS, made)) is None

    async def test_what_webhooks_set_back_is_refused(self) -> None:
        one = {"name": "c", "image": "i", "imagePullPolicy": "Never"}
        assert await refusal(self.plugin, asked(PODS, _pod(containers=[one]))) == (
            'pods "p" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: "Never": supported values: "Always"'
        )
        both = _pod(containers=[one], volumes=[{"name": "v", "image": {"reference": "r"}}])
        text = await refusal(self.plugin, asked(PODS, both))
        assert text.startswith("[")
        assert text.endswith('spec.volumes[0].image.pullPolicy: Unsupported value: "": supported values: "Always"]')
        with pytest.raises(APIError) as caught:
            await self.plugin.validate(asked(PODS, both))
        assert (caught.value.code, caught.value.reason) == (500, "")

    async def test_updates_concern_it_only_with_a_new_image(self) -> None:
        old = _pod(containers=[{"name": "c", "image": "i", "imagePullPolicy": "Never"}])
        assert await self.plugin.mutate(asked(PODS, copy.deepcopy(old), old)) is None
        new = _pod(containers=[{"name": "c", "image": "j", "imagePullPolicy": "Never"}])
        changed = await mutated(self.plugin, asked(PODS, new, old))
        assert changed["spec"]["containers"][0]["imagePullPolicy"] == "Always"
        assert await self.plugin.mutate(asked(PODS, new, old, subresource="ephemeralcontainers")) is None
        assert await self.plugin.mutate(asked(CONFIGMAPS, config_map())) is None


class TestPodNodeSelector:
    @pytest.mark.parametrize(
        ("annotations", "default", "given", "expected"),
        [
            ({}, "", {}, {}),
            ({}, "env=test", {}, {"env": "test"}),
            ({ANNOTATION: "infra = false"}, "env=test", {}, {"infra": "false"}),
            ({ANNOTATION: ""}, "env=test", {}, {}),
            ({ANNOTATION: "a=1,b=2"}, "", {"b": "2", "c": "3"}, {"a": "1", "b": "2", "c": "3"}),
        ],
    )
    async def test_the_selector_of_the_namespace_is_added(
        self, annotations: dict[str, str], default: str, given: dict[str, str], expected: dict[str, str]
    ) -> None:
        plugin = PodNodeSelector(_annotated(**annotations), NodeSelectors(default=default))
        changed = await mutated(plugin, asked(PODS, _pod(nodeSelector=given)))
        assert changed["spec"]["nodeSelector"] == expected

    @pytest.mark.parametrize(
        ("annotation", "allowed", "given", "why"),
        [
            ("a=1", "", {"a": "2"}, "pods \"p\" is forbidden: pod node label selector conflicts with its namespace node label selector"),
            ("a=1", "a=1,b=2", {"b": "3"}, "pods \"p\" is forbidden: pod node label selector labels conflict with its namespace whitelist"),
            ("a=1", "b=2", {"b": "2"}, "pods \"p\" is forbidden: pod node label selector labels conflict with its namespace whitelist"),
            ("a==1", "", {}, "invalid selector: [a  1]"),
            ("-a=1", "", {}, '<nil>: Invalid value: "-a": name part must consist of'),
        ],
    )  # fmt: skip
    async def test_conflicts_are_refused_in_both_steps(
        self, annotation: str, allowed: str, given: dict[str, str], why: str
    ) -> None:
        selectors = NodeSelectors(allowed={"default": allowed} if allowed else {})
        plugin = PodNodeSelector(_annotated(**{ANNOTATION: annotation}), selectors)
        request = asked(PODS, _pod(nodeSelector=given))
        with pytest.raises(APIError) as caught:
            await plugin.mutate(request)
        assert caught.value.message.startswith(why)
        assert (await refusal(plugin, request)).startswith(why)

    async def test_a_namespace_that_is_missing_is_not_found(self) -> None:
        with pytest.raises(NotFound):
            await PodNodeSelector(ListedObjects()).mutate(asked(PODS, _pod()))

    def test_its_configuration_is_by_namespace(self) -> None:
        section = {"clusterDefaultNodeSelector": "a=b", "team": "c=d"}
        found = node_selectors({"podNodeSelectorPluginConfig": section})
        assert found == NodeSelectors(default="a=b", allowed={"team": "c=d"})
        assert section == {"clusterDefaultNodeSelector": "a=b", "team": "c=d"}
        assert node_selectors(None) == NodeSelectors()
        malformed: list[Object] = [{"other": {}}, {"podNodeSelectorPluginConfig": {"a": 1}}]
        for wrong in malformed:
            with pytest.raises(AdmissionConfigurationError, match="PodNodeSelector: "):
                node_selectors(wrong)


def _toleration(key: str = "", effect: str = "NoSchedule", **fields: Any) -> Object:
    return {**({"key": key} if key else {}), "operator": "Exists", "effect": effect, **fields}


MEMORY_PRESSURE = _toleration("node.kubernetes.io/memory-pressure")
BURSTABLE = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]


class TestPodTolerationRestriction:
    cluster = ClusterTolerations(default=[_toleration("cluster")], whitelist=[_toleration("cluster"), _toleration("a")])

    @pytest.mark.parametrize(
        ("annotations", "spec", "expected"),
        [
            ({}, {}, [_toleration("cluster")]),
            ({DEFAULTS: ""}, {}, []),
            ({DEFAULTS: '[{"key":"a","operator":"Exists","effect":"NoSchedule"}]'}, {}, [_toleration("a")]),
            ({WHITELIST: "", DEFAULTS: ""}, {"containers": BURSTABLE}, [MEMORY_PRESSURE]),
            ({}, {"tolerations": [_toleration("a")]}, [_toleration("a"), _toleration("cluster")]),
            ({WHITELIST: ""}, {"tolerations": [_toleration(effect="")]}, [_toleration(effect="")]),
        ],
    )
    async def test_defaults_are_merged(self, annotations: dict[str, str], spec: Object, expected: list[Object]) -> None:
        plugin = PodTolerationRestriction(_annotated(**annotations), self.cluster)
        changed = await mutated(plugin, asked(PODS, _pod(**spec)))
        assert changed["spec"].get("tolerations", []) == expected

    async def test_updates_get_no_defaults(self) -> None:
        plugin = PodTolerationRestriction(_annotated(), self.cluster)
        assert await plugin.mutate(asked(PODS, _pod(), _pod())) is None

    @pytest.mark.parametrize(
        ("annotations", "scope"),
        [({}, "cluster"), ({WHITELIST: '[{"key":"c","operator":"Exists"}]', DEFAULTS: ""}, "namespace")],
    )
    async def test_what_the_whitelist_does_not_cover_is_refused(self, annotations: dict[str, str], scope: str) -> None:
        plugin = PodTolerationRestriction(_annotated(**annotations), self.cluster)
        request = asked(PODS, _pod(tolerations=[_toleration("b")]))
        why = (
            f"pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
        )
        with pytest.raises(APIError, match="possibly merged") as caught:
            await plugin.mutate(request)
        assert (caught.value.code, caught.value.message) == (500, why)
        assert await refusal(plugin, request) == why

    async def test_an_annotation_that_is_no_list_fails(self) -> None:
        plugin = PodTolerationRestriction(_annotated(**{DEFAULTS: "{"}))
        with pytest.raises(APIError, match="defaultTolerations of namespace default"):
            await plugin.mutate(asked(PODS, _pod()))

    def test_its_configuration_is_checked(self) -> None:
        head = {"apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": "Configuration"}
        found = cluster_tolerations({**head, "default": [_toleration("a")]})
        assert found == ClusterTolerations(default=[_toleration("a")], whitelist=())
        wrong = {"key": "a", "operator": "Nope"}
        for configuration, why in (
            ({"kind": "Configuration"}, "is not a Configuration"),
            ({**head, "defaults": []}, "unknown fields defaults"),
            ({**head, "whitelist": [wrong]}, r"podtolerationrestriction.whitelist\[0\].operator: Unsupported value"),
        ):
            with pytest.raises(AdmissionConfigurationError, match=why):
                cluster_tolerations(configuration)


async def test_devices_are_tolerated_by_who_asks_for_them() -> None:
    plugin = ExtendedResourceToleration()
    made = _pod(
        containers=[{"name": "c", "resources": {"requests": {"example.com/gpu": "1", "cpu": "1"}}}],
        initContainers=[{"name": "i", "resources": {"requests": {"example.com/fpga": "1", "hugepages-2Mi": "2Mi"}}}],
        tolerations=[_toleration("x")],
    )
    changed = await mutated(plugin, asked(PODS, made))
    fpga, gpu = _toleration("example.com/fpga"), _toleration("example.com/gpu")
    assert changed["spec"]["tolerations"] == [_toleration("x"), fpga, gpu]
    assert await plugin.mutate(asked(PODS, changed)) is None


async def test_hard_anti_affinity_is_by_host_name_only() -> None:
    plugin = LimitPodHardAntiAffinityTopology()

    def made(key: str) -> Object:
        terms = [{"topologyKey": key, "labelSelector": {}}]
        return _pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})

    assert await refusal(plugin, asked(PODS, made("kubernetes.io/hostname"))) == ""
    assert await refusal(plugin, asked(PODS, made("zone"))) == (
        'pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key '
        "kubernetes.io/hostname is allowed"
    )


class TestPodTopologyLabels:
    zone = "topology.kubernetes.io/zone"
    reader = ListedObjects(
        [(NODES, {"metadata": {"name": "n", "labels": {zone: "a", "topology.kubernetes.io/region": "r", "x": "y"}}})]
    )
    plugin = PodTopologyLabels(reader)

    async def test_a_bound_pod_gets_zone_and_region(self) -> None:
        made = pod("p", labels={"app": "web", self.zone: "mine"})
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        wanted = {self.zone: "a", "topology.kubernetes.io/region": "r"}
        for obj, subresource, before in (
            (binding, "binding", {}),
            (pod("p", node="n", labels=made["metadata"]["labels"]), "", {"app": "web"}),
        ):
            changed = await mutated(self.plugin, asked(PODS, obj, subresource=subresource))
            assert changed["metadata"]["labels"] == {**before, **wanted}

    @pytest.mark.parametrize(
        "target", [{"kind": "Node", "name": "absent"}, {"kind": "Rack", "name": "n"}, {"kind": "Node"}]
    )
    async def test_other_targets_change_nothing(self, target: Object) -> None:
        binding = {"metadata": {"name": "p"}, "target": target}
        assert await self.plugin.mutate(asked(PODS, binding, subresource="binding")) is None
        assert await self.plugin.mutate(asked(PODS, pod("p"))) is None


class TestRuntimeClass:
    gvisor = named(
        "gvisor",
        overhead={"podFixed": {"cpu": "100m"}},
        scheduling={"nodeSelector": {"runtime": "gvisor"}, "tolerations": [_toleration("gvisor")]},
    )
    plugin = RuntimeClass(ListedObjects([(RUNTIMECLASSES, gvisor), (RUNTIMECLASSES, named("plain"))]))
    UNASKED = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
    MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"

    async def test_overhead_and_scheduling_are_taken_over(self) -> None:
        made = _pod(runtimeClassName="gvisor", nodeSelector={"a": "b"})
        spec = (await mutated(self.plugin, asked(PODS, made)))["spec"]
        assert spec["overhead"] == {"cpu": "100m"}
        assert spec["nodeSelector"] == {"a": "b", "runtime": "gvisor"}
        assert spec["tolerations"] == [_toleration("gvisor")]
        assert await refusal(self.plugin, asked(PODS, {**made, "spec": spec})) == ""

    @pytest.mark.parametrize(
        ("spec", "why"),
        [
            ({"runtimeClassName": "absent"}, 'pod rejected: RuntimeClass "absent" not found'),
            ({"runtimeClassName": "gvisor", "overhead": {"cpu": "1"}}, MISMATCH),
            (
                {"runtimeClassName": "gvisor", "nodeSelector": {"runtime": "runc"}},
                "conflict: runtimeClass.scheduling.nodeSelector[runtime] = gvisor; pod.spec.nodeSelector[runtime] = runc",
            ),
        ],
    )
    async def test_what_does_not_fit_is_refused(self, spec: Object, why: str) -> None:
        with pytest.raises(Forbidden) as caught:
            await self.plugin.mutate(asked(PODS, _pod(**spec)))
        assert caught.value.message == f'pods "p" is forbidden: {why}'

    @pytest.mark.parametrize(
        ("spec", "why"),
        [
            ({"overhead": {"cpu": "1"}}, UNASKED),
            ({"runtimeClassName": "plain", "overhead": {"cpu": "1"}}, UNASKED),
            ({"runtimeClassName": "gvisor"}, MISMATCH),
            ({"runtimeClassName": "gvisor", "overhead": {"cpu": "0.1"}}, ""),
            ({}, ""),
        ],
    )
    async def test_overhead_is_checked_after_webhooks(self, spec: Object, why: str) -> None:
        expected = f'pods "p" is forbidden: {why}' if why else ""
        assert await refusal(self.plugin, asked(PODS, _pod(**spec))) == expected

    async def test_a_name_that_is_yet_to_be_generated_is_shown_as_far_as_it_is_known(self) -> None:
        made = _pod(runtimeClassName="absent")
        made["metadata"] = {"generateName": "web-", "namespace": "default"}
        with pytest.raises(Forbidden, match='pods "web-" is forbidden: pod rejected'):
            await self.plugin.mutate(asked(PODS, made))


class TestNodeDeclaredFeatures:
    @staticmethod
    def _resized(generation: int, **spec: Any) -> Object:
        made = _pod(nodeName="n", **spec)
        made["metadata"]["generation"] = generation
        return made

    @pytest.mark.parametrize(
        ("declared", "why"),
        [
            (["InPlacePodLevelResourcesVerticalScaling"], ""),
            (
                [],
                'pods "p" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which are not '
                'available on node "n"',
            ),
        ],
    )
    async def test_an_update_needs_what_its_node_declares(self, declared: list[str], why: str) -> None:
        node = {"metadata": {"name": "n"}, "status": {"declaredFeatures": declared}}
        plugin = NodeDeclaredFeatureValidator(ListedObjects([(NODES, node)]))
        old = self._resized(1, resources={"requests": {"cpu": "1"}})
        new = self._resized(2, resources={"requests": {"cpu": "2"}})
        assert await refusal(plugin, asked(PODS, new, old, subresource="resize")) == why
        same = self._resized(1, resources={"requests": {"cpu": "2"}})
        assert await refusal(plugin, asked(PODS, same, old, subresource="resize")) == ""

    async def test_init_containers_that_are_no_sidecars_need_a_feature_of_their_own(self) -> None:
        plugin = NodeDeclaredFeatureValidator(ListedObjects([(NODES, named("n"))]))

        def made(generation: int, cpu: str, **container: str) -> Object:
            init = {"name": "i", "image": "i", "resources": {"requests": {"cpu": cpu}}, **container}
            return self._resized(generation, initContainers=[init])

        text = await refusal(plugin, asked(PODS, made(2, "2"), made(1, "1"), subresource="resize"))
        assert "InPlacePodVerticalScalingInitContainers" in text
        sidecar = {"restartPolicy": "Always"}
        request = asked(PODS, made(2, "2", **sidecar), made(1, "1", **sidecar), subresource="resize")
        assert await refusal(plugin, request) == ""
