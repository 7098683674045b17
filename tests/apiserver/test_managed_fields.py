"""Every write keeps track of who owns which field; a write that changes nothing leaves no trace."""

from __future__ import annotations

import json

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver import ownership
from steersman.apiserver.call import Call
from steersman.apiserver.requestinfo import request_info
from steersman.client.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, Client
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    DAEMONSETS,
    DEPLOYMENTS,
    HORIZONTALPODAUTOSCALERS_V1,
    NAMESPACES,
    NODES,
    PODS,
    ROLES,
    STATEFULSETS,
)
from steersman.meta.wire import Request
from steersman.schema.groups import REGISTRY
from steersman.schema.managedfields.typed import type_of
from tests.apiserver.builders import config_map, deployment, pod


def managers_of(obj: Object) -> list[tuple[str, str, str]]:
    return [
        (entry["manager"], entry["operation"], entry.get("subresource", ""))
        for entry in obj["metadata"].get("managedFields", ())
    ]


def fields_of(obj: Object, manager: str) -> Object:
    return next(entry["fieldsV1"] for entry in obj["metadata"]["managedFields"] if entry["manager"] == manager)


def changed(obj: Object, **data: str) -> Object:
    return {**obj, "data": {**obj["data"], **data}}


class TestManagers:
    @pytest.mark.parametrize(
        ("user_agent", "manager"),
        [
            ("kubectl/v1.36.0 (linux/amd64) kubernetes/abc", "kubectl"),
            ("kube-controller-manager", "kube-controller-manager"),
            ("a\x00b/1", "ab"),
            ("x" * 200, "x" * 128),
            ("ä" * 100, "ä" * 64),
            ("", "unknown"),
            ("/v1", "unknown"),
        ],
    )
    async def test_a_client_is_known_by_its_user_agent(self, client: Client, user_agent: str, manager: str) -> None:
        created = await client.with_user_agent(user_agent).create(CONFIGMAPS, config_map())
        assert managers_of(created) == [(manager, "Update", "")]

    async def test_or_by_the_name_it_gives(self, client: Client) -> None:
        path = CONFIGMAPS.path("default")
        answer = await client.request(
            "POST", path, body=json.dumps(config_map()).encode(), query={"fieldManager": "me"}
        )
        assert managers_of(answer.content) == [("me", "Update", "")]

    async def test_a_name_of_control_characters_is_refused(self, client: Client) -> None:
        path = CONFIGMAPS.path("default")
        answer = await client.request(
            "POST", path, body=json.dumps(config_map()).encode(), query={"fieldManager": "a\x00"}
        )
        assert (answer.status, answer.content["details"]["causes"][0]["field"]) == (422, "fieldManager")


class TestWrites:
    async def test_defaults_belong_to_the_creator_what_admission_adds_to_nobody(self, client: Client) -> None:
        created = await client.create(PODS, pod())
        spec = fields_of(created, "steersman")["f:spec"]
        assert "f:dnsPolicy" in spec
        assert created["spec"]["tolerations"]
        assert "f:tolerations" not in spec

    async def test_a_generated_name_is_not_owned_its_base_is(self, client: Client) -> None:
        obj = config_map(generateName="c-")
        del obj["metadata"]["name"]
        created = await client.create(CONFIGMAPS, obj)
        assert list(fields_of(created, "steersman")["f:metadata"]) == ["f:generateName"]

    async def test_put_and_every_type_of_patch(self, client: Client) -> None:
        created = await client.with_user_agent("put").create(CONFIGMAPS, config_map())
        await client.with_user_agent("put").update(CONFIGMAPS, changed(created, put="1"))
        patches = {
            MERGE_PATCH: {"data": {"merge": "1"}},
            STRATEGIC_MERGE_PATCH: {"data": {"strategic": "1"}},
            JSON_PATCH: [{"op": "add", "path": "/data/json", "value": "1"}],
        }
        for patch_type, patch in patches.items():
            await client.patch(
                CONFIGMAPS, "a", patch, namespace="default", patch_type=patch_type, field_manager=patch_type
            )
        after = await client.get(CONFIGMAPS, "a", namespace="default")
        assert fields_of(after, "put")["f:data"] == {".": {}, "f:key": {}, "f:put": {}}
        for patch_type, name in zip(patches, ("merge", "strategic", "json"), strict=True):
            assert fields_of(after, patch_type) == {"f:data": {f"f:{name}": {}}}

    async def test_put_that_creates(self, client: Client) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "default"},
            "spec": {"holderIdentity": "x"},
        }  # fmt: skip
        path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
        answer = await client.request("PUT", path, body=json.dumps(lease).encode())
        assert (answer.status, managers_of(answer.content)) == (201, [("steersman", "Update", "")])

    async def test_status_is_a_manager_of_its_own(self, client: Client) -> None:
        created = await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
        condition = {"type": "T", "status": "True", "lastTransitionTime": None}
        after = await client.update(
            NAMESPACES, {**created, "status": {**created["status"], "conditions": [condition]}}, subresource="status"
        )
        assert managers_of(after)[-1] == ("steersman", "Update", "status")
        assert list(after["metadata"]["managedFields"][-1]["fieldsV1"]) == ["f:status"]

    async def test_what_a_path_cannot_write_it_does_not_own(self, client: Client) -> None:
        created = await client.create(DEPLOYMENTS, deployment())
        wanted = {**created, "spec": {**created["spec"], "replicas": 7}, "status": {"replicas": 1}}
        wanted["metadata"] = {**created["metadata"], "labels": {"a": "b"}}
        after = await client.with_user_agent("status").update(DEPLOYMENTS, wanted, subresource="status")
        assert fields_of(after, "status") == {"f:status": {"f:replicas": {}}}

    async def test_the_server_does_not_own_what_it_writes_itself(self, client: Client) -> None:
        created = await client.create(PODS, pod())
        binding = {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"},
        }  # fmt: skip
        await client.request("POST", PODS.path("default", "a", "binding"), body=json.dumps(binding).encode())
        bound = await client.get(PODS, "a", namespace="default")
        assert bound["spec"]["nodeName"] == "n"
        assert bound["metadata"]["managedFields"] == created["metadata"]["managedFields"]

    async def test_dry_run_shows_what_would_be_owned(self, client: Client) -> None:
        created = await client.create(CONFIGMAPS, config_map())
        path = CONFIGMAPS.path("default", "a")
        query = {"dryRun": "All", "fieldManager": "dry"}
        answer = await client.request("PUT", path, body=json.dumps(changed(created, new="1")).encode(), query=query)
        assert ("dry", "Update", "") in managers_of(answer.content)
        assert await client.get(CONFIGMAPS, "a", namespace="default") == created

    async def test_at_most_ten_updaters_are_kept_apart(self, client: Client, clock: FakeClock) -> None:
        current = await client.create(CONFIGMAPS, config_map())
        for number in range(12):
            await clock.advance(1)
            current = await client.with_user_agent(f"m{number}").update(
                CONFIGMAPS, changed(current, **{f"k{number}": ""})
            )
        assert len(managers_of(current)) == 10
        assert managers_of(current)[0][0] == "ancient-changes"


class TestNoOperation:
    async def test_nothing_changes_when_nothing_changes(self, client: Client, clock: FakeClock) -> None:
        created = await client.create(PODS, pod())
        await clock.advance(60)
        assert await client.with_user_agent("other").update(PODS, created) == created
        bare = {**created, "metadata": {**created["metadata"]}}
        del bare["metadata"]["managedFields"]
        assert await client.with_user_agent("other").update(PODS, bare) == created
        assert await client.patch(PODS, "a", {"status": {}}, namespace="default", subresource="status") == created
        assert await client.patch(PODS, "a", {}, namespace="default") == created

    async def test_what_is_put_back_does_not_count_either(self, client: Client, clock: FakeClock) -> None:
        """The label of a status update is lost, so that only the time of its manager would change."""
        await client.create(DEPLOYMENTS, deployment())
        patch = {"status": {"replicas": 1}, "spec": {"replicas": 9}}
        path = {"namespace": "default", "subresource": "status"}
        first = await client.patch(DEPLOYMENTS, "a", patch, **path)  # type: ignore[arg-type]
        await clock.advance(60)
        assert await client.patch(DEPLOYMENTS, "a", patch, **path) == first  # type: ignore[arg-type]

    async def test_times_alone_are_no_difference(self) -> None:
        entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {}}}
        old = config_map(managedFields=[{**entry, "time": "1"}])
        assert ownership.compared(config_map(managedFields=[{**entry, "time": "2"}]), old) == "equal_objects"
        other = config_map(managedFields=[{**entry, "manager": "n", "time": "2"}])
        assert ownership.compared(other, old) == "unequal_objects_fast"
        different = changed(config_map(managedFields=[{**entry, "time": "2"}]), a="b")
        assert ownership.compared(different, old) == "unequal_objects_slow"


class TestWhatOnlyTheServerSees:
    """Upstream compares objects as Go's types have them, with annotations and lists that nobody sent."""

    async def test_the_generation_annotation_of_daemon_sets(self, client: Client) -> None:
        obj: Object = {**deployment(), "kind": "DaemonSet"}
        obj["spec"].pop("replicas")
        created = await client.create(DAEMONSETS, obj)
        annotation: Object = {"f:deprecated.daemonset.template.generation": {}}
        assert fields_of(created, "steersman")["f:metadata"] == {"f:annotations": {".": {}, **annotation}}
        replaced = await client.with_user_agent("other").update(DAEMONSETS, obj)
        assert fields_of(replaced, "other")["f:metadata"] == {"f:annotations": annotation}
        assert replaced["metadata"]["annotations"] == created["metadata"]["annotations"]

    async def test_a_list_that_an_update_leaves_out(self, client: Client) -> None:
        role: Object = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "a", "namespace": "default"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        }
        await client.create(ROLES, role)
        del role["rules"]
        assert managers_of(await client.with_user_agent("other").update(ROLES, role)) == [("other", "Update", "")]

    async def test_the_target_of_an_autoscaler_that_names_none(self, client: Client) -> None:
        spec = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
        created = await client.create(
            HORIZONTALPODAUTOSCALERS_V1,
            {
                "apiVersion": "autoscaling/v1",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "a", "namespace": "default"},
                "spec": spec,
            },
        )
        assert created["spec"]["targetCPUUtilizationPercentage"] == 80
        assert "f:targetCPUUtilizationPercentage" in fields_of(created, "steersman")["f:spec"]

    async def test_zero_values_are_nobodys_when_an_object_is_created(self, client: Client) -> None:
        stateful: Object = {**deployment(), "kind": "StatefulSet"}
        created = await client.create(STATEFULSETS, stateful)
        assert created["spec"]["serviceName"] == ""
        assert "f:serviceName" not in fields_of(created, "steersman")["f:spec"]

    async def test_times_of_conditions_that_nobody_set(self, client: Client) -> None:
        await client.create(PODS, pod())
        patch = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        patched = await client.patch(PODS, "a", patch, namespace="default", subresource="status")
        (owned,) = (e for e in patched["metadata"]["managedFields"] if e.get("subresource") == "status")
        ready = owned["fieldsV1"]["f:status"]["f:conditions"]['k:{"type":"Ready"}']
        assert set(ready) == {".", "f:type", "f:status", "f:lastProbeTime", "f:lastTransitionTime"}


class TestResetting:
    @pytest.mark.parametrize("entries", [[], [{}]])
    async def test_managers_can_be_forgotten(self, client: Client, entries: list[Object]) -> None:
        created = await client.create(CONFIGMAPS, config_map())
        forgotten = await client.patch(CONFIGMAPS, "a", {"metadata": {"managedFields": entries}}, namespace="default")
        assert managers_of(forgotten) == []
        after = await client.update(CONFIGMAPS, changed(forgotten, more="1"))
        assert managers_of(after) == []
        assert managers_of(created) == [("steersman", "Update", "")]

    async def test_what_is_malformed_is_ignored(self, client: Client) -> None:
        created = await client.create(CONFIGMAPS, config_map())
        entry = {**created["metadata"]["managedFields"][0], "fieldsV1": {"nonsense": {}}}
        after = await client.update(
            CONFIGMAPS, {**created, "metadata": {**created["metadata"], "managedFields": [entry]}}
        )
        assert after == created

    async def test_managers_can_be_rewritten_but_not_through_a_subresource(self, client: Client) -> None:
        created = await client.create(
            NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"a": "b"}}}
        )
        entry = {**created["metadata"]["managedFields"][0], "manager": "renamed"}
        patch = {"metadata": {"managedFields": [entry]}}
        assert await client.patch(NODES, "n", patch, subresource="status") == created
        after = await client.patch(NODES, "n", patch)
        assert managers_of(after) == [("renamed", "Update", "")]


def test_admission_cannot_spoil_managed_fields() -> None:
    request = Request(method="POST", path=CONFIGMAPS.path("default"))
    call = Call(request=request, info=request_info(request), received_s=0)
    entries = [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]
    obj = config_map(managedFields=[{"operation": "Steal"}])
    ownership.after_admission(call, obj, entries)
    assert obj["metadata"]["managedFields"] == entries
    assert call.warnings[0].startswith(".metadata.managedFields was in an invalid state after admission; ")
    without: Object = config_map()
    ownership.after_admission(call, without, entries)
    assert "managedFields" not in without["metadata"]


def test_every_kind_has_a_type() -> None:
    assert [kind.definition for kind in REGISTRY if kind.is_stored and type_of(kind.definition).form != "struct"] == []
