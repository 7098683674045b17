"""What real containers see of claims and of folders of the node, and with which groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from msgspec.structs import replace

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS
from tests.kubelet.real.conftest import NODE, RealNode, is_ready, shell, succeeded

pytestmark = pytest.mark.real


def made(node: RealNode, name: str) -> Path:
    """A folder of the node's, gone with the test."""
    folder = node.directory / "kubelet" / name
    folder.mkdir(parents=True)
    return folder


async def bind(node: RealNode, name: str, *, source: Object, owner: Object | None = None) -> None:
    """A claim of that name and the volume that it has got, as their controllers leave them."""
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    metadata: Object = {"name": name, "namespace": "default"}
    if owner is not None:
        metadata["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Pod", "name": objects.name(owner), "uid": objects.uid(owner),
             "controller": True, "blockOwnerDeletion": True}
        ]  # fmt: skip
    claim = await node.client.create(
        PERSISTENTVOLUMECLAIMS,
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata,
            "spec": {**common, "volumeName": f"pv-{name}", "resources": {"requests": {"storage": "1Mi"}}},
        },
    )  # fmt: skip
    reference = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": name, "uid": objects.uid(claim)}
    await node.client.create(
        PERSISTENTVOLUMES,
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{name}"},
            "spec": {**common, "capacity": {"storage": "1Mi"}, "claimRef": reference, **source},
        },
    )  # fmt: skip
    await node.client.patch(
        PERSISTENTVOLUMECLAIMS, name, {"status": {"phase": "Bound"}}, namespace="default", subresource="status",
        patch_type=STRATEGIC_MERGE_PATCH,
    )  # fmt: skip


def local(folder: Path) -> Object:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]}]
    return {"local": {"path": str(folder)}, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}


async def test_claims_of_a_folder_of_a_local_volume_and_of_the_pods_own(node: RealNode) -> None:
    kept, disk, own = (made(node, name) for name in ("kept", "disk", "own"))
    await bind(node, "kept", source={"hostPath": {"path": str(kept)}})
    await bind(node, "disk", source=local(disk))
    async with node.kubelet():
        pod = await node.create(
            "claims",
            shell(
                "echo a > /kept/f; echo b > /disk/f; echo c > /own/f; touch /seen/x || echo read-only; stat -c %g /disk",
                volumeMounts=[
                    {"name": "kept", "mountPath": "/kept"},
                    {"name": "disk", "mountPath": "/disk"},
                    {"name": "own", "mountPath": "/own"},
                    {"name": "seen", "mountPath": "/seen"},
                ],
            ),
            restartPolicy="Never",
            securityContext={"fsGroup": 4242},
            volumes=[
                {"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}},
                {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}},
                {"name": "seen", "persistentVolumeClaim": {"claimName": "kept", "readOnly": True}},
                {
                    "name": "own",
                    "ephemeral": {
                        "volumeClaimTemplate": {
                            "spec": {
                                "accessModes": ["ReadWriteOnce"],
                                "resources": {"requests": {"storage": "1Mi"}},
                            }
                        }
                    },
                },
            ],
        )
        await bind(node, "claims-own", source={"hostPath": {"path": str(own)}}, owner=pod)
        await node.until("claims", succeeded)
        assert [(folder / "f").read_text() for folder in (kept, disk, own)] == ["a\n", "b\n", "c\n"]
        assert node.log_of(pod, "main").splitlines()[-2:] == ["read-only", "4242"], "the local volume is the group's"
        await node.delete("claims")
    assert (kept / "f").exists(), "what is claimed outlives the pod"


async def test_folders_of_the_node_by_their_type(node: RealNode) -> None:
    base = made(node, "types")
    (base / "file").write_text("there\n")

    def host(name: str, path: str, kind: str) -> Object:
        return {"name": name, "hostPath": {"path": str(base / path), "type": kind}}

    async with node.kubelet():
        pod = await node.create(
            "types",
            shell("cat /file; touch /made/x; [ -f /fresh ] && echo fresh", volumeMounts=[
                {"name": "file", "mountPath": "/file", "readOnly": True},
                {"name": "made", "mountPath": "/made"},
                {"name": "fresh", "mountPath": "/fresh"},
            ]),
            restartPolicy="Never",
            volumes=[host("file", "file", "File"), host("made", "made", "DirectoryOrCreate"),
                     host("fresh", "fresh", "FileOrCreate")],
        )  # fmt: skip
        await node.until("types", succeeded)
        assert node.log_of(pod, "main") == "there\nfresh\n"
        assert (base / "made" / "x").exists()
        await node.create(
            "wrong",
            shell("true", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            volumes=[host("v", "file", "Directory")],
        )

        async def told() -> bool:
            return any(reason == "FailedMount" and "is not a directory" in said for reason, said in await node.events())

        await node.eventually(told)
        await node.delete("types", "wrong")


async def test_read_only_all_the_way_down_where_the_runtime_can(node: RealNode) -> None:
    """``IfPossible`` says in the status what came of it; ``Enabled`` does not start where it cannot be had."""
    async with node.kubelet() as kubelet:
        mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "IfPossible"}
        pod = await node.create(
            "possible", shell("touch /v/x 2>/dev/null || echo refused; sleep 1000", volumeMounts=[mount]),
            volumes=[{"name": "v", "emptyDir": {}}],
        )  # fmt: skip
        found = await node.until("possible", is_ready)
        await node.wait(lambda: node.log_of(pod, "main") == "refused\n")
        status = found["status"]["containerStatuses"][0]["volumeMounts"][0]
        handlers = ((kubelet.node or {}).get("status") or {}).get("runtimeHandlers") or []
        can = any(
            (item.get("features") or {}).get("recursiveReadOnlyMounts") for item in handlers if not item.get("name")
        )
        assert status["recursiveReadOnly"] == ("Enabled" if can else "Disabled")
        await node.create(
            "enabled", shell("sleep 1000", volumeMounts=[{**mount, "recursiveReadOnly": "Enabled"}]),
            volumes=[{"name": "v", "emptyDir": {}}],
        )  # fmt: skip
        if can:
            await node.until("enabled", is_ready)
        else:
            await node.until("enabled", lambda pod: "CreateContainerConfigError" in str(pod["status"]))
        await node.delete("possible", "enabled")


async def test_groups_of_the_image_by_the_pods_policy(node: RealNode) -> None:
    """``Strict`` leaves out what the image's ``/etc/group`` says, or is refused where the runtime cannot."""
    async with node.kubelet() as kubelet:
        merged = await node.create(
            "merged", shell("id -G"), restartPolicy="Never",
            securityContext={"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000],
                             "supplementalGroupsPolicy": "Merge"},
        )  # fmt: skip
        await node.until("merged", succeeded)
        assert sorted(node.log_of(merged, "main").split()) == ["3000", "4000"]
        strict = await node.create(
            "strict", shell("id -G"), restartPolicy="Never",
            securityContext={"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroupsPolicy": "Strict"},
        )  # fmt: skip
        features = ((kubelet.node or {}).get("status") or {}).get("features") or {}
        if features.get("supplementalGroupsPolicy"):
            await node.until("strict", succeeded)
            assert node.log_of(strict, "main").split() == ["3000"]
        else:
            pod = await node.until("strict", lambda pod: pod["status"].get("phase") == "Failed")
            assert pod["status"]["reason"] == "SupplementalGroupsPolicyNotSupported"
        await node.delete("merged", "strict")


async def test_a_link_that_is_swapped_without_end_leads_no_container_out(node: RealNode) -> None:
    """One container swaps a folder for a link to the node's, while others mount it: none of them sees the node's."""
    secret, swapped = made(node, "nodes-own"), made(node, "swapped")
    (secret / "leak").write_text("the node's")
    swap = f"cd /v; while true; do mkdir -p d; mv -T d x; rm -rf x; ln -sfn {secret} l; mv -T l x; rm -f x; done"
    async with node.kubelet():
        await node.create(
            "swaps",
            shell(swap, name="swap", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            volumes=[{"name": "v", "hostPath": {"path": str(swapped)}}],
        )  # fmt: skip
        await node.until("swaps", is_ready)
        names = [f"victim-{number}" for number in range(8)]
        for name in names:
            await node.create(
                name,
                shell("[ -e /out/leak ] && echo LEAKED; exit 0",
                      volumeMounts=[{"name": "v", "mountPath": "/out", "subPath": "x", "readOnly": True}]),
                restartPolicy="Never",
                volumes=[{"name": "v", "hostPath": {"path": str(swapped)}}],
            )  # fmt: skip

        def decided(pod: Object) -> bool:
            waits = [entry["state"].get("waiting") or {} for entry in pod["status"].get("containerStatuses") or ()]
            return pod["status"].get("phase") in ("Succeeded", "Failed") or any(
                entry.get("reason") in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
                for entry in waits
            )

        for name in names:
            pod = await node.until(name, decided, within_s=60)
            if succeeded(pod):
                assert "LEAKED" not in node.log_of(pod, "main")
        await node.delete("swaps", *names)


async def test_static_pods_from_a_url(node: RealNode) -> None:
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "remote", "namespace": "default"},
        "spec": {"containers": [shell("sleep 1000")], "terminationGracePeriodSeconds": 1},
    }
    told = {"text": yaml.safe_dump(manifest)}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=told["text"], content_type="application/yaml")

    server = web.AppRunner(_app(answer))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    port = server.addresses[0][1]
    node.config = replace(node.config, static_pod_url=f"http://127.0.0.1:{port}/pods", static_pod_url_check_s=0.2)
    try:
        async with node.kubelet() as kubelet:

            async def mirrored() -> bool:
                try:
                    return is_ready(await node.client.get(PODS, f"remote-{NODE}", namespace="default"))
                except NotFound:
                    return False

            await node.eventually(mirrored)
            told["text"] = yaml.safe_dump({"apiVersion": "v1", "kind": "PodList", "items": []})
            await node.until_gone(f"remote-{NODE}")
            await node.wait(lambda: not kubelet.workers)
    finally:
        await server.cleanup()


def _app(answer: Any) -> web.Application:
    app = web.Application()
    app.router.add_get("/pods", answer)
    return app
