"""Updates and applies keep track of who owns what, as KEP-555 lays down."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.meta.errors import APIError, BadRequest
from steersman.schema.managedfields import fieldset, managers
from steersman.schema.managedfields.conflict import ApplyConflict
from steersman.schema.managedfields.operations import LAST_APPLIED, Version, apply, reset_fields, update
from steersman.schema.managedfields.typed import type_of

DEPLOYMENT = type_of("io.k8s.api.apps.v1.Deployment")
POD = type_of("io.k8s.api.core.v1.Pod")
CONFIG_MAP = type_of("io.k8s.api.core.v1.ConfigMap")
SERVICE = type_of("io.k8s.api.core.v1.Service")
MAIN = reset_fields(has_status=True, subresource="")
STATUS = reset_fields(has_status=True, subresource="status")


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "d"}, "data": data}


def applied(live: Any, config: Any, manager: str = "a", now: float = 0, **options: Any) -> dict[str, Any]:
    options = {"structure": CONFIG_MAP, "api_version": config["apiVersion"], **options}
    return apply(live, config, manager=manager, now=now, **options)


def updated(live: Any, new: Any, manager: str = "u", now: float = 0, **options: Any) -> dict[str, Any]:
    options = {"structure": CONFIG_MAP, "api_version": new["apiVersion"], **options}
    return update(live, new, manager=manager, now=now, **options)


def changed(live: dict[str, Any], **data: str | None) -> dict[str, Any]:
    new = {**live["data"], **data}
    return {**live, "data": {key: value for key, value in new.items() if value is not None}}


def owners(obj: dict[str, Any]) -> dict[str, set[str]]:
    """Paths by ``manager/operation[/subresource]``."""
    found: dict[str, set[str]] = {}
    for entry in obj["metadata"].get("managedFields", []):
        name = f"{entry['manager']}/{entry['operation']}"
        if "subresource" in entry:
            name += f"/{entry['subresource']}"
        found[name] = {fieldset.path_text(path) for path in fieldset.paths(entry["fieldsV1"])}
    return found


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "d"}, "spec": spec}


def pod_template(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"template": {"spec": {"containers": list(containers)}}}


class TestUpdate:
    def test_the_creator_owns_what_it_set_but_not_what_the_server_sets(self) -> None:
        obj = config_map(a="1")
        obj["metadata"].update(uid="x", resourceVersion="1", creationTimestamp="t", generation=1, labels={"l": "v"})
        created = updated(None, obj, now=5)
        assert owners(created) == {"u/Update": {".metadata.labels", ".metadata.labels.l", ".data", ".data.a"}}
        entry = created["metadata"]["managedFields"][0]
        assert {key: entry[key] for key in entry if key != "fieldsV1"} == {
            "manager": "u",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "1970-01-01T00:00:05Z",
            "fieldsType": "FieldsV1",
        }

    def test_fields_are_laid_out_as_upstream_writes_them(self) -> None:
        """As ``kubectl get --show-managed-fields`` shows a created Deployment of a real cluster."""
        container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {}}
        spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"type": "Recreate"}}
        obj = deployment(**spec, **pod_template(container))
        obj["spec"]["template"]["metadata"] = {"labels": {"a": "b"}}
        created = update(None, obj, manager="m", api_version="apps/v1", now=0, structure=DEPLOYMENT, ignored=MAIN)
        assert created["metadata"]["managedFields"][0]["fieldsV1"] == {
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:strategy": {"f:type": {}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"c"}': {
                                ".": {},
                                "f:image": {},
                                "f:name": {},
                                "f:ports": {
                                    ".": {},
                                    'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                                },
                                "f:resources": {},
                            }
                        }
                    },
                },
            }
        }

    def test_who_changes_a_field_takes_it(self) -> None:
        live = updated(None, config_map(a="1", b="1"), "first")
        after = updated(live, changed(live, a="2"), "second", now=9)
        assert owners(after) == {"first/Update": {".data", ".data.b"}, "second/Update": {".data.a"}}

    def test_who_removes_a_field_owns_nothing_and_nobody_owns_the_field(self) -> None:
        live = updated(None, config_map(a="1", b="1"), "first")
        after = updated(live, changed(live, a=None), "second")
        assert owners(after) == {"first/Update": {".data", ".data.b"}}

    def test_a_write_without_change_keeps_managed_fields_as_they_are(self) -> None:
        live = updated(None, config_map(a="1"), "first", now=1)
        live["metadata"].update(uid="x", resourceVersion="5")
        again = updated(live, {**live, "metadata": {**live["metadata"], "resourceVersion": "6"}}, "second", now=99)
        assert again["metadata"]["managedFields"] is live["metadata"]["managedFields"]

    def test_status_and_main_are_different_managers_and_own_different_fields(self) -> None:
        obj = {**deployment(replicas=1), "status": {"replicas": 1}}
        created = update(None, obj, manager="m", api_version="apps/v1", now=0, structure=DEPLOYMENT, ignored=MAIN)
        assert owners(created) == {"m/Update": {".spec.replicas"}}
        new = {**created, "status": {"replicas": 2, "readyReplicas": 1}}
        after = update(
            created, new, manager="m", api_version="apps/v1", subresource="status", now=1, structure=DEPLOYMENT,
            ignored=STATUS,
        )  # fmt: skip
        assert owners(after) == {
            "m/Update": {".spec.replicas"},
            "m/Update/status": {".status.readyReplicas", ".status.replicas"},
        }

    def test_clients_may_forget_or_rewrite_managers_but_not_lose_them_by_accident(self) -> None:
        live = updated(None, config_map(a="1"), "first")
        live["metadata"]["uid"] = "x"

        def sent(entries: Any) -> dict[str, Any]:
            new = changed(live, a="2")
            return updated(live, {**new, "metadata": {**new["metadata"], "managedFields": entries}}, "second")

        lost = {**live, "metadata": {key: value for key, value in live["metadata"].items() if key != "managedFields"}}
        assert owners(updated(live, lost, "second")) == owners(live)
        assert owners(sent([])) == owners(sent([{}])) == {}
        assert owners(sent([{"operation": "Nonsense"}])) == {"first/Update": {".data"}, "second/Update": {".data.a"}}
        rewritten = copy.deepcopy(live["metadata"]["managedFields"])
        rewritten[0]["manager"] = "renamed"
        assert owners(sent(rewritten)) == {"renamed/Update": {".data"}, "second/Update": {".data.a"}}

    def test_an_object_that_was_never_tracked_stays_untracked_by_updates(self) -> None:
        live = config_map(a="1")
        live["metadata"]["uid"] = "x"
        assert "managedFields" not in updated(live, changed(live, a="2"))["metadata"]

    def test_at_most_ten_updaters_are_kept_apart(self) -> None:
        live = updated(None, config_map(), "creator")
        for number in range(14):
            live = updated(live, changed(live, **{f"k{number}": "v"}), f"m{number:02}", now=number)
        found = owners(live)
        assert len(found) == managers.MAX_UPDATE_MANAGERS
        assert {".data.k0", ".data.k1", ".data.k2", ".data.k3"} <= found["ancient-changes/Update"]
        assert "m13/Update" in found

    def test_elements_without_keys_have_empty_ones_so_that_validation_can_name_them(self) -> None:
        obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"image": "x"}]}}
        created = update(None, obj, manager="m", api_version="v1", now=0, structure=POD)
        [entry] = created["metadata"]["managedFields"]
        assert list(entry["fieldsV1"]["f:spec"]["f:containers"]) == ['k:{"name":""}']

    def test_elements_that_are_no_objects_leave_an_object_untracked(self) -> None:
        obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": ["x"]}}
        created = update(None, obj, manager="m", api_version="v1", now=0, structure=POD)
        assert "managedFields" not in created["metadata"]

    def test_objects_of_one_shape_share_their_fields(self) -> None:
        first, second = updated(None, config_map(a="1")), updated(None, config_map(a="2"))
        fields = [obj["metadata"]["managedFields"][0]["fieldsV1"] for obj in (first, second)]
        assert fields[0] is fields[1]


class TestApply:
    def test_applying_creates_and_owns_exactly_the_configuration(self) -> None:
        created = applied(None, config_map(a="1"), now=7)
        assert created["data"] == {"a": "1"}
        assert owners(created) == {"a/Apply": {".data.a"}}
        assert created["metadata"]["managedFields"][0]["time"] == "1970-01-01T00:00:07Z"

    def test_a_field_that_is_left_out_goes_unless_another_owns_it(self) -> None:
        live = applied(None, config_map(mine="1", shared="1"))
        live = applied(live, config_map(shared="1"), "b")
        after = applied(live, config_map())
        assert after["data"] == {"shared": "1"}
        assert owners(after) == {"a/Apply": {".data"}, "b/Apply": {".data.shared"}}

    def test_fields_that_nobody_applied_stay(self) -> None:
        live = applied(None, config_map(mine="1"))
        live = updated(live, changed(live, theirs="1"))
        after = applied(live, config_map(other="1"))
        assert after["data"] == {"theirs": "1", "other": "1"}

    def test_anothers_value_conflicts(self) -> None:
        live = applied(None, config_map(x="1", y="1"))
        with pytest.raises(ApplyConflict) as refused:
            applied(live, config_map(x="2"), "b")
        assert refused.value.message == 'Apply failed with 1 conflict: conflict with "a": .data.x'
        assert refused.value.status()["details"]["causes"] == [
            {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".data.x"}
        ]
        assert refused.value.http_code == 409

    def test_several_conflicts_are_listed_by_manager(self) -> None:
        live = applied(None, config_map(x="1", y="1"))
        live = updated(live, changed(live, z="1"), "u")
        with pytest.raises(ApplyConflict) as refused:
            applied(live, config_map(x="2", y="2", z="2"), "b")
        assert refused.value.message == (
            'Apply failed with 3 conflicts: conflicts with "a":\n- .data.x\n- .data.y\n'
            'conflicts with "u" using v1:\n- .data.z'
        )

    def test_the_same_value_is_shared_without_conflict(self) -> None:
        live = applied(None, config_map(x="1"))
        after = applied(live, config_map(x="1"), "b")
        assert owners(after) == {"a/Apply": {".data.x"}, "b/Apply": {".data.x"}}

    def test_force_takes_the_field(self) -> None:
        live = applied(None, config_map(x="1", y="1"))
        after = applied(live, config_map(x="2"), "b", force=True)
        assert after["data"] == {"x": "2", "y": "1"}
        assert owners(after) == {"a/Apply": {".data.y"}, "b/Apply": {".data.x"}}

    def test_applying_again_changes_nothing(self) -> None:
        live = applied(None, config_map(x="1"), now=1)
        assert applied(live, config_map(x="1"), now=50) == live

    def test_elements_of_keyed_lists_are_owned_one_by_one(self) -> None:
        options: dict[str, Any] = {"structure": DEPLOYMENT, "ignored": MAIN}
        a = deployment(**pod_template({"name": "a", "image": "1"}))
        b = deployment(**pod_template({"name": "b", "image": "1"}, {"name": "a", "tty": True}))
        live = applied(None, a, **options)
        live = applied(live, b, "b", **options)
        names = [entry["name"] for entry in live["spec"]["template"]["spec"]["containers"]]
        assert names == ["b", "a"]
        assert live["spec"]["template"]["spec"]["containers"][1] == {"name": "a", "image": "1", "tty": True}
        after = applied(live, deployment(), "b", **options)
        assert after["spec"]["template"]["spec"]["containers"] == [{"name": "a", "image": "1"}]

    def test_ports_are_told_apart_by_the_default_protocol_too(self) -> None:
        def service(*ports: dict[str, Any]) -> dict[str, Any]:
            return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list(ports)}}

        live = applied(None, service({"port": 80, "protocol": "TCP", "name": "a"}), structure=SERVICE)
        after = applied(live, service({"port": 80, "targetPort": 1}), "b", structure=SERVICE)
        assert after["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "name": "a", "targetPort": 1}]

    def test_atomic_values_are_owned_as_a_whole(self) -> None:
        options: dict[str, Any] = {"structure": DEPLOYMENT, "ignored": MAIN}
        live = applied(None, deployment(selector={"matchLabels": {"a": "b"}}), **options)
        assert owners(live) == {"a/Apply": {".spec.selector"}}
        with pytest.raises(ApplyConflict, match=r"\.spec\.selector"):
            applied(live, deployment(selector={"matchLabels": {"c": "d"}}), "b", **options)
        after = applied(live, deployment(selector={"matchLabels": {"c": "d"}}), "b", force=True, **options)
        assert after["spec"]["selector"] == {"matchLabels": {"c": "d"}}

    def test_sets_are_united(self) -> None:
        def finalizers(*names: str) -> dict[str, Any]:
            obj = config_map()
            obj["metadata"]["finalizers"] = list(names)
            return obj

        live = applied(None, finalizers("x", "y"))
        live = applied(live, finalizers("z"), "b")
        assert live["metadata"]["finalizers"] == ["x", "y", "z"]
        assert applied(live, finalizers("y"))["metadata"]["finalizers"] == ["y", "z"]

    def test_what_an_untracked_object_had_belongs_to_before_first_apply(self) -> None:
        live = config_map(x="1")
        live["metadata"]["uid"] = "u"
        with pytest.raises(ApplyConflict, match=r'"before-first-apply" using v1: \.data\.x'):
            applied(live, config_map(x="2"))
        after = applied(live, config_map(y="1"))
        assert owners(after) == {"a/Apply": {".data.y"}, "before-first-apply/Update": {".data", ".data.x"}}

    def test_kubectl_may_move_from_client_side_to_server_side_apply(self) -> None:
        config = config_map(x="1")
        text = '{"apiVersion":"v1","data":{"x":"1"},"kind":"ConfigMap","metadata":{"name":"c","namespace":"d"}}\n'
        obj = config_map(x="1")
        obj["metadata"]["annotations"] = {LAST_APPLIED: text}
        live = updated(None, obj, "kubectl-client-side-apply")
        after = applied(live, config_map(x="2"), "kubectl")
        assert after["data"] == {"x": "2"}
        assert after["metadata"]["annotations"][LAST_APPLIED] == text.replace('"1"', '"2"')
        with pytest.raises(ApplyConflict):
            applied(live, config_map(x="2"), "somebody")
        scaled = updated(live, changed(live, x="9"), "autoscaler")
        with pytest.raises(ApplyConflict, match='"autoscaler"'):
            applied(scaled, config, "kubectl")

    @pytest.mark.parametrize(
        ("config", "failure", "text"),
        [
            ({"apiVersion": "v2", "kind": "ConfigMap"}, BadRequest, "invalid object type: /v2, Kind=ConfigMap"),
            (
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": []}},
                BadRequest,
                "metadata.managedFields must be nil",
            ),
            (
                {**config_map(), "datum": {}},
                APIError,
                "failed to create typed patch object (d/c; /v1, Kind=ConfigMap): .datum: field not declared in schema",
            ),
            (
                {**config_map(), "data": []},
                APIError,
                "failed to create typed patch object (d/c; /v1, Kind=ConfigMap): .data: expected map, got &{[]}",
            ),
        ],
    )
    def test_a_configuration_must_fit(self, config: Any, failure: type[APIError], text: str) -> None:
        with pytest.raises(failure) as refused:
            applied(None, config, api_version="v1")
        assert refused.value.message == text

    def test_duplicate_elements_are_refused(self) -> None:
        config = deployment(**pod_template({"name": "a"}, {"name": "a"}))
        with pytest.raises(
            APIError, match=r'\.spec\.template\.spec\.containers: duplicate entries for key \[name="a"\]'
        ):
            applied(None, config, structure=DEPLOYMENT)

    def test_fields_of_the_other_path_are_not_owned(self) -> None:
        config = {**deployment(replicas=1), "status": {"replicas": 1}}
        assert owners(applied(None, config, structure=DEPLOYMENT, ignored=MAIN)) == {"a/Apply": {".spec.replicas"}}


class TestVersions:
    """Two versions of one kind: the older one calls ``data`` ``entries``."""

    def other(self, api_version: str) -> Version | None:
        if api_version != "old/v1":
            return None

        def renamed(obj: dict[str, Any], before: str, after: str, version: str) -> dict[str, Any]:
            return {
                **{after if key == before else key: value for key, value in obj.items()},
                **({"apiVersion": version} if obj else {}),
            }

        return Version(
            type=type_of("io.k8s.api.core.v1.ConfigMap"),
            convert=lambda obj: renamed(obj, "data", "binaryData", "old/v1"),
            convert_back=lambda obj: renamed(obj, "binaryData", "data", "v1"),
        )

    def live(self) -> dict[str, Any]:
        old = {**config_map(), "apiVersion": "old/v1", "binaryData": {"x": "1", "y": "1"}}
        del old["data"]
        created = applied(None, old, api_version="old/v1")
        return {**config_map(x="1", y="1"), "metadata": created["metadata"]}

    def test_ownership_in_another_version_is_converted(self) -> None:
        live = self.live()
        with pytest.raises(ApplyConflict, match=r"\.binaryData\.x"):
            applied(live, config_map(x="2"), "b", versions=self.other)
        after = applied(live, config_map(x="1"), versions=self.other)
        assert after["data"] == {"x": "1"}
        assert after["metadata"]["managedFields"][0]["apiVersion"] == "v1"

    def test_managers_of_a_version_that_is_gone_are_forgotten(self) -> None:
        after = updated(self.live(), config_map(x="2", y="1"), "u")
        assert owners(after) == {"u/Update": {".data.x"}}


def test_a_reference_may_be_owned_by_field_where_others_of_its_kind_are_not() -> None:
    volume = type_of("io.k8s.api.core.v1.PersistentVolume")
    obj = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}}
    claimed = applied(None, {**obj, "spec": {"claimRef": {"name": "c"}}}, structure=volume)
    assert owners(claimed)["a/Apply"] == {".spec.claimRef.name"}
