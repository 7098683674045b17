"""Pods with users of their own: each its range of ids, kept over restarts, refused where the runtime cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steersman.kubelet.container_config import ContainerInputs, container_config
from steersman.kubelet.linux_resources import ResourcePolicy
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.podspec import app_containers
from steersman.kubelet.runtimes.api import RuntimeHandler
from steersman.kubelet.runtimes.containers import Mount
from steersman.kubelet.runtimes.cri_requests import container_config as message
from steersman.kubelet.runtimes.sandboxes import UserNamespace
from steersman.kubelet.security_context import SecurityContextError
from steersman.kubelet.user_namespaces import HOST, UserNamespaces
from steersman.meta.objects import Object
from tests.kubelet.pods import pod

CAN = (RuntimeHandler(name="", user_namespaces=True), RuntimeHandler(name="old"))
LENGTH = 65536


def namespaces(tmp_path: Path, slots: int = 3) -> UserNamespaces:
    paths = PodPaths(root=tmp_path)
    return UserNamespaces(paths, ids_per_pod=LENGTH, subordinate=(2 * LENGTH, slots * LENGTH))


def own(uid: str) -> Object:
    return pod(uid=uid, hostUsers=False)


def first(users: UserNamespace) -> int:
    assert users.mode == "POD" and users.uids == users.gids
    (mapping,) = users.uids
    assert (mapping.container_id, mapping.length) == (0, LENGTH)
    return mapping.host_id


@pytest.mark.parametrize("obj", [pod(), pod(hostUsers=True)])
def test_a_pod_that_does_not_ask_has_the_nodes_users(tmp_path: Path, obj: Object) -> None:
    assert namespaces(tmp_path).of(obj, "", ()) == HOST
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("handler", "handlers", "message"),
    [
        ("", (), "can't set `spec.hostUsers: false`, runtime does not support user namespaces"),
        ("old", CAN, 'RuntimeClass handler "old" does not support user namespaces'),
        ("unknown", CAN, 'RuntimeClass handler "unknown" does not support user namespaces'),
    ],
)
def test_a_runtime_that_cannot(
    tmp_path: Path, handler: str, handlers: tuple[RuntimeHandler, ...], message: str
) -> None:
    with pytest.raises(SecurityContextError, match=message):
        namespaces(tmp_path).of(own("a"), handler, handlers)


def test_every_pod_has_its_own_range_until_it_is_over(tmp_path: Path) -> None:
    users = namespaces(tmp_path)
    ranges = [first(users.of(own(uid), "", CAN)) for uid in ("a", "b", "c")]
    assert ranges == [2 * LENGTH, 3 * LENGTH, 4 * LENGTH]
    assert first(users.of(own("b"), "", CAN)) == ranges[1]
    with pytest.raises(SecurityContextError, match="could not find an empty slot"):
        users.of(own("d"), "", CAN)
    users.release("b")
    users.release("never seen")
    assert first(users.of(own("d"), "", CAN)) == ranges[1]


def test_a_later_kubelet_gives_nothing_twice(tmp_path: Path) -> None:
    before = namespaces(tmp_path)
    ranges = {uid: first(before.of(own(uid), "", CAN)) for uid in ("a", "b")}
    (tmp_path / "pods" / "other").mkdir()
    before.release("a")
    after = namespaces(tmp_path)
    after.load()
    assert first(after.of(own("b"), "", CAN)) == ranges["b"]
    assert first(after.of(own("c"), "", CAN)) == ranges["a"]


def written(host_id: int, length: int) -> str:
    mapping = [{"hostId": host_id, "containerId": 0, "length": length}]
    return json.dumps({"uidMappings": mapping, "gidMappings": mapping})


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        '{"uidMappings": [], "gidMappings": []}',
        written(2 * LENGTH, LENGTH).replace("gidMappings", "others"),
        written(0, LENGTH),
        written(2 * LENGTH, 1),
    ],
)
def test_a_file_that_says_something_else_is_not_passed_over(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "pods" / "a"
    folder.mkdir(parents=True)
    (folder / "userns").write_text(content)
    with pytest.raises(ValueError, match="user namespace of pod a"):
        namespaces(tmp_path).load()


@pytest.mark.parametrize("subordinate", [(LENGTH + 1, LENGTH), (0, LENGTH), (LENGTH, 100)])
def test_ranges_that_do_not_fit(subordinate: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        UserNamespaces(None, ids_per_pod=LENGTH, subordinate=subordinate)


def test_the_runtime_is_told_for_the_container_and_each_of_its_mounts(tmp_path: Path) -> None:
    obj = own("a")
    (only,) = app_containers(obj)
    config = container_config(
        ContainerInputs(
            pod=obj,
            container=only,
            restart_count=0,
            image_ref="image",
            image=None,
            environment={},
            mounts=[Mount(container_path="/data", host_path="/host")],
            termination_message_path="/log",
            policy=ResourcePolicy(memory_capacity_bytes=1 << 30),
            seccomp_root="/seccomp",
            users=namespaces(tmp_path).of(obj, "", CAN),
        )
    )
    sent = message(config)
    mapping = [(2 * LENGTH, 0, LENGTH)]
    options = sent.linux.security_context.namespace_options.userns_options
    for found in (options.uids, options.gids, *((m.uid_mappings) for m in sent.mounts)):
        assert [(item.host_id, item.container_id, item.length) for item in found] == mapping
    assert len(sent.mounts) == 2
