"""Each volume type: what it makes ready, and what it refuses."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.volume_manager import MountFailed
from steersman.kubelet.volumes.mounts import MOUNTINFO, keeps_memory_off_disk, mount_points
from steersman.meta.objects import Object
from tests.kubelet.pods import UID, container, pod
from tests.kubelet.volumes.conftest import Harness

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount memory file systems")


def with_pages(*sizes: str) -> Object:
    amounts = {f"hugepages-{size}": "4Mi" for size in sizes}
    return pod(container("main", resources={"requests": amounts, "limits": amounts}))


@pytest.mark.skipif("hugetlbfs" not in Path("/proc/filesystems").read_text(), reason="a kernel without huge pages")
@pytest.mark.parametrize("medium", ["HugePages", "HugePages-2Mi"])
async def test_empty_dir_of_huge_pages(harness: Harness, medium: str) -> None:
    path = await harness.mount(with_pages("2Mi"), emptyDir={"medium": medium})
    assert os.statvfs(path).f_bsize == 2 << 20
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    assert await harness.mount(with_pages("2Mi"), emptyDir={"medium": medium}) == path


@pytest.mark.parametrize(
    ("sizes", "medium", "complaint"),
    [
        ((), "HugePages", "there is no resource request for huge pages"),
        (("2Mi", "1Gi"), "HugePages", "can't be used if container requests multiple huge page sizes"),
        (("2Mi",), "HugePages-1Gi", "has no resource request for huge pages of its size"),
    ],
)
async def test_huge_pages_that_were_not_requested(
    harness: Harness, sizes: tuple[str, ...], medium: str, complaint: str
) -> None:
    with pytest.raises(MountFailed, match=complaint):
        await harness.mount(with_pages(*sizes), emptyDir={"medium": medium})


async def test_empty_dir_is_open_to_all_and_kept_on_a_second_mount(harness: Harness) -> None:
    path = await harness.mount(emptyDir={})
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    (path / "f").write_text("x")
    assert (await harness.mount(emptyDir={}) / "f").read_text() == "x"


async def test_last_words_outlive_the_volumes(harness: Harness) -> None:
    """A pod that has ended keeps its containers' termination messages for as long as its status may be computed anew."""
    path = await harness.mount(emptyDir={"medium": "Memory"})
    words = PodPaths(root=harness.root).termination_message(UID, "c", "0")
    words.parent.mkdir(parents=True)
    words.write_text("DONE")
    await harness.manager.unmount(UID)
    assert not path.exists()
    assert words.read_text() == "DONE"


async def test_empty_dir_in_memory_has_a_size(harness: Harness) -> None:
    path = await harness.mount(emptyDir={"medium": "Memory", "sizeLimit": "1Mi"})
    assert str(path) in mount_points()
    info = os.statvfs(path)
    assert info.f_blocks * info.f_frsize == 2**20


async def test_memory_is_not_swapped_where_the_kernel_can_help_it(harness: Harness) -> None:
    harness.cluster.objects["secrets", "s"] = {"data": {"password": "c2VjcmV0"}}
    can = keeps_memory_off_disk()
    for path in (await harness.mount(emptyDir={"medium": "Memory"}), await harness.mount(secret={"secretName": "s"})):
        [line] = [line for line in MOUNTINFO.read_text().splitlines() if f" {path} " in line]
        assert ("noswap" in line.split()[-1].split(",")) == can


async def test_empty_dir_belongs_to_the_fs_group(harness: Harness) -> None:
    path = await harness.mount(pod(securityContext={"fsGroup": 4242}), emptyDir={})
    assert path.stat().st_gid == 4242
    assert path.stat().st_mode & stat.S_ISGID


async def test_an_unknown_medium_is_refused_by_name(harness: Harness) -> None:
    assert "Tape" in await harness.fails(emptyDir={"medium": "Tape"})


async def test_config_map_keys_are_files(harness: Harness) -> None:
    harness.cluster.objects["configmaps", "c"] = {
        "data": {"a": "1"},
        "binaryData": {"b": base64.b64encode(b"\xff").decode()},
    }
    path = await harness.mount(configMap={"name": "c", "defaultMode": 0o400})
    assert (path / "a").read_text() == "1"
    assert (path / "b").read_bytes() == b"\xff"
    assert stat.S_IMODE((path / "a").stat().st_mode) == 0o400


async def test_items_choose_keys_paths_and_modes(harness: Harness) -> None:
    harness.cluster.objects["configmaps", "c"] = {"data": {"a": "1", "b": "2"}}
    path = await harness.mount(configMap={"name": "c", "items": [{"key": "a", "path": "d/x", "mode": 0o440}]})
    assert (path / "d" / "x").read_text() == "1"
    assert not (path / "b").exists()
    message = await harness.fails(configMap={"name": "c", "items": [{"key": "z", "path": "z"}]})
    assert message == 'MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: z'


async def test_a_missing_object_fails_unless_it_is_optional(harness: Harness) -> None:
    assert await harness.fails(secret={"secretName": "s"}) == (
        'MountVolume.SetUp failed for volume "v" : secrets "s" not found'
    )
    assert not list((await harness.mount(secret={"secretName": "s", "optional": True})).glob("[!.]*"))


async def test_secrets_are_in_memory_and_follow_their_object(harness: Harness) -> None:
    def secret(value: str) -> Object:
        return {"data": {"k": base64.b64encode(value.encode()).decode()}}

    harness.cluster.objects["secrets", "s"] = secret("old")
    path = await harness.mount(secret={"secretName": "s"})
    assert str(path) in mount_points()
    harness.cluster.objects["secrets", "s"] = secret("new")
    await harness.mount(secret={"secretName": "s"})
    assert (path / "k").read_text() == "new"


async def test_downward_api_shows_the_pod(harness: Harness) -> None:
    obj = pod(container(resources={"limits": {"cpu": "2"}}), metadata={"labels": {"b": "2", "a": 'x"y'}})
    path = await harness.mount(
        obj,
        downwardAPI={
            "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
            ]
        },
    )
    assert (path / "labels").read_text() == 'a="x\\"y"\nb="2"'
    assert (path / "cpu").read_text() == "2"


async def test_projected_puts_sources_side_by_side(harness: Harness) -> None:
    harness.cluster.objects["configmaps", "c"] = {"data": {"ca.crt": "cert"}}
    path = await harness.mount(
        projected={
            "sources": [
                {"serviceAccountToken": {"path": "token", "audience": "me", "expirationSeconds": 600}},
                {"configMap": {"name": "c"}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]
        }
    )
    assert {entry: (path / entry).read_text() for entry in ("token", "ca.crt", "namespace")} == {
        "token": "token for me 600", "ca.crt": "cert", "namespace": "default"
    }  # fmt: skip


async def test_a_token_is_for_the_user_that_the_pod_runs_as(harness: Harness) -> None:
    obj = pod(securityContext={"runAsUser": 1000})
    path = await harness.mount(obj, projected={"sources": [{"serviceAccountToken": {"path": "token"}}]})
    info = (path / "token").stat()
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (1000, 0o600)


@pytest.mark.parametrize(
    ("kind", "make", "fits"),
    [
        ("", None, True), ("DirectoryOrCreate", None, True), ("FileOrCreate", None, True), ("Directory", None, False),
        ("Directory", "folder", True), ("File", "folder", False), ("File", "file", True), ("Socket", "file", False),
    ],
)  # fmt: skip
async def test_host_path_types(harness: Harness, tmp_path: Path, kind: str, make: str | None, fits: bool) -> None:
    target = tmp_path / "target"
    if make == "folder":
        target.mkdir()
    elif make == "file":
        target.touch()
    source = {"path": str(target), "type": kind}
    if fits:
        assert await harness.mount(hostPath=source) == target
    else:
        assert "hostPath type check failed" in await harness.fails(hostPath=source)


async def test_an_empty_dir_that_was_not_finished_is_made_anew_and_a_finished_one_is_the_containers(
    harness: Harness,
) -> None:
    folder = harness.root / "pods" / UID / "volumes" / "kubernetes.io~empty-dir"
    (folder / ".v").mkdir(parents=True, mode=0o700)
    obj = pod(securityContext={"fsGroup": 4242})
    path = await harness.mount(obj, emptyDir={})
    assert [entry.name for entry in folder.iterdir()] == ["v"]
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o2777, 4242)
    path.chmod(0o700)
    os.chown(path, 7, 7)
    assert await harness.mount(obj, emptyDir={}) == path
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o700, 7)


def bound(harness: Harness, name: str, source: Object, **metadata: Any) -> Object:
    """A claim ``name`` and the volume behind it."""
    harness.cluster.objects["persistentvolumeclaims", name] = {
        "metadata": {"uid": "claim", **metadata}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}
    }  # fmt: skip
    volume: Object = {"spec": {"claimRef": {"uid": "claim"}, **source}}
    harness.cluster.objects["persistentvolumes", "pv"] = volume
    return volume


async def test_a_claim_that_goes_or_whose_volume_is_elsewhere(harness: Harness, tmp_path: Path) -> None:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}]}]
    affinity = {"required": {"nodeSelectorTerms": terms}}
    bound(harness, "c", {"local": {"path": str(tmp_path)}, "nodeAffinity": affinity})
    assert await harness.mount(persistentVolumeClaim={"claimName": "c"}) == tmp_path
    terms[0]["matchExpressions"][0]["values"] = ["node-2"]
    assert "no matching NodeSelectorTerms" in await harness.fails(persistentVolumeClaim={"claimName": "c"})
    bound(harness, "c", {"local": {"path": str(tmp_path)}}, deletionTimestamp="2026-01-01T00:00:00Z")
    assert "is being deleted" in await harness.fails(persistentVolumeClaim={"claimName": "c"})


async def test_an_ephemeral_claim_has_to_be_the_pods_own(harness: Harness, tmp_path: Path) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": UID, "controller": True}
    bound(harness, "web-v", {"hostPath": {"path": str(tmp_path)}}, ownerReferences=[owner])
    assert await harness.mount(ephemeral={"volumeClaimTemplate": {}}) == tmp_path
    owner["uid"] = "another"
    assert "was not created for pod default/web" in await harness.fails(ephemeral={"volumeClaimTemplate": {}})


@pytest.mark.parametrize(("policy", "reaches"), [("OnRootMismatch", False), ("Always", True), (None, True)])
async def test_a_group_that_owns_the_top_already(
    harness: Harness, tmp_path: Path, policy: str | None, reaches: bool
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    bound(harness, "c", {"local": {"path": str(disk)}})
    obj = pod(securityContext={"fsGroup": 4242, "fsGroupChangePolicy": policy})
    await harness.mount(obj, persistentVolumeClaim={"claimName": "c"})
    (disk / "later").touch()
    os.chown(disk / "later", 0, 0)
    await harness.mount(obj, persistentVolumeClaim={"claimName": "c"})
    assert ((disk / "later").stat().st_gid == 4242) is reaches


async def test_a_claim_of_a_local_volume(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    harness.cluster.objects["persistentvolumeclaims", "c"] = {
        "metadata": {"uid": "claim"}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}
    }  # fmt: skip
    volume: Object = {"spec": {"claimRef": {"uid": "claim"}, "local": {"path": str(tmp_path / "disk")}}}
    harness.cluster.objects["persistentvolumes", "pv"] = volume
    assert await harness.mount(persistentVolumeClaim={"claimName": "c"}) == tmp_path / "disk"
    volume["spec"]["claimRef"]["uid"] = "another"
    assert "bound to another claim" in await harness.fails(persistentVolumeClaim={"claimName": "c"})
    volume["spec"] = {"claimRef": {"uid": "claim"}, "nfs": {}}
    assert "nfs is not supported" in await harness.fails(persistentVolumeClaim={"claimName": "c"})


async def test_an_unsupported_type_is_refused_by_name(harness: Harness) -> None:
    assert "volume type nfs is not supported" in await harness.fails(nfs={"server": "x", "path": "/"})
    assert "clusterTrustBundle" in await harness.fails(projected={"sources": [{"clusterTrustBundle": {"path": "x"}}]})
