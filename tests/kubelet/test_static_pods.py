"""Static pods from files and URLs, and their mirrors."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from steersman.aio.clock import FakeClock, SystemClock
from steersman.aio.tasks import TaskGroup
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.kubelet.mirror_pods import mirror_of
from steersman.kubelet.podspec import is_mirror, is_static
from steersman.kubelet.static_manifests import ManifestError, static_pod, static_pods
from steersman.kubelet.static_pods import StaticPods
from steersman.kubelet.static_pods_url import StaticPodURL
from steersman.kubelet.static_source import StaticSource
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.testing.waiting import eventually

MANIFEST = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: b}]}\n"


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    pod = static_pod(MANIFEST, origin="/f.yaml", node_name="node-1", seen="now")
    assert objects.key_of(pod) == "default/web-node-1"
    assert pod["spec"]["nodeName"] == "node-1"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]
    assert is_static(pod) and not is_mirror(pod)


def test_its_identity_is_its_file_and_content() -> None:
    first = static_pod(MANIFEST, origin="/f", node_name="n", seen="1")
    assert objects.uid(first) == objects.uid(static_pod(MANIFEST, origin="/f", node_name="n", seen="2"))
    assert objects.uid(first) != objects.uid(static_pod(MANIFEST, origin="/g", node_name="n", seen="1"))
    changed = static_pod(MANIFEST.replace("image: b", "image: c"), origin="/f", node_name="n", seen="1")
    assert objects.uid(first) != objects.uid(changed)


@pytest.mark.parametrize("text", ["", "[", "kind: Pod", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "apiVersion: apps/v1\nkind: Deployment"])  # fmt: skip
def test_what_is_no_pod_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        static_pod(text, origin="/f", node_name="n", seen="")


def test_a_mirror_belongs_to_the_node_and_has_no_uid_of_its_own() -> None:
    pod = static_pod(MANIFEST, origin="/f", node_name="n", seen="")
    mirror = mirror_of(pod, {"metadata": {"name": "n", "uid": "node-uid"}})
    assert is_mirror(mirror)
    assert "uid" not in mirror["metadata"]
    assert mirror["metadata"]["ownerReferences"][0]["uid"] == "node-uid"


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ("serviceAccountName: x", "serviceaccounts"),
        ("imagePullSecrets: [{name: x}]", "secrets"),
        ("volumes: [{name: v, secret: {secretName: x}}]", r"secrets \(via secret volumes\)"),
        ("volumes: [{name: v, configMap: {name: x}}]", r"configmaps \(via configmap volumes\)"),
        ("volumes: [{name: v, persistentVolumeClaim: {claimName: x}}]", "persistentvolumeclaims"),
        ("volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]", "serviceaccounts"),
    ],
)
def test_a_static_pod_cannot_lean_on_the_api(spec: str, reference: str) -> None:
    text = MANIFEST.replace("spec: {", "spec: {" + spec + ", ")
    if "serviceAccountToken" in spec:
        text = text.replace("spec: {", "spec: {serviceAccountName: x, ")
    with pytest.raises(ManifestError, match=f"static pods may not reference {reference}"):
        static_pod(text, origin="/f", node_name="n", seen="")


@pytest.mark.parametrize("kind", ["configMapKeyRef", "secretKeyRef"])
def test_nor_can_its_environment(kind: str) -> None:
    env = f"env: [{{name: A, valueFrom: {{{kind}: {{name: x, key: y}}}}}}]"
    with pytest.raises(ManifestError, match=r"static pods may not reference (configmaps|secrets)"):
        static_pod(MANIFEST.replace("image: b", f"image: b, {env}"), origin="/f", node_name="n", seen="")


def test_an_invalid_pod_is_refused_with_the_field() -> None:
    with pytest.raises(ManifestError, match=r"spec.restartPolicy"):
        static_pod(
            MANIFEST.replace("spec: {", "spec: {restartPolicy: Sometimes, "), origin="/f", node_name="n", seen=""
        )


def test_a_url_may_hold_several_pods_that_are_not_tied_to_the_node() -> None:
    text = "apiVersion: v1\nkind: PodList\nitems:\n" + "".join(
        f"- metadata: {{name: {name}}}\n  spec: {{containers: [{{name: a, image: b}}]}}\n" for name in ("x", "y")
    )
    pods = static_pods(text, origin="http://a/", node_name="n", seen="")
    assert [objects.name(pod) for pod in pods] == ["x-n", "y-n"]
    assert objects.annotations(pods[0])["kubernetes.io/config.source"] == "http"
    assert not pods[0]["spec"].get("tolerations")
    elsewhere = static_pods(text, origin="http://a/", node_name="m", seen="")
    assert objects.uid(pods[0]) == objects.uid(elsewhere[0])


class Manifests:
    """A server of manifests on loopback."""

    def __init__(self) -> None:
        self.text, self.status = MANIFEST, 200
        self.asked: list[Mapping[str, str]] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(dict(request.headers))
        return web.Response(status=self.status, text=self.text)

    @asynccontextmanager
    async def served(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """The URL."""
        runner = web.ServerRunner(web.Server(self.answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/pods"
        finally:
            await runner.cleanup()


@pytest.fixture
def manifests() -> Manifests:
    return Manifests()


async def test_pods_follow_what_the_url_says_and_outlive_its_failures(manifests: Manifests) -> None:
    seen: list[list[str]] = []
    async with manifests.served() as url:
        source = StaticPodURL(
            url, headers={"X-Role": ("edge",)}, node_name="n", clock=SystemClock(), check_s=0.02,
            changed=lambda pods: seen.append(sorted(objects.name(pod) for pod in pods.values())),
        )  # fmt: skip
        async with TaskGroup("test") as group:
            group.spawn(source.run(), name="source")
            await eventually(lambda: seen == [["web-n"]])
            assert manifests.asked[0]["X-Role"] == "edge"
            manifests.text = MANIFEST.replace("web", "other")
            await eventually(lambda: seen[-1] == ["other-n"])
            manifests.status = 500
            asked = len(manifests.asked)
            await eventually(lambda: len(manifests.asked) > asked + 2)
            manifests.status, manifests.text = 200, "no pod at all"
            asked = len(manifests.asked)
            await eventually(lambda: len(manifests.asked) > asked + 2)
            assert seen == [["web-n"], ["other-n"]]
            manifests.text = ""
            await eventually(lambda: seen[-1] == [])


FOLLOW = """
import asyncio, sys
from steersman.aio.clock import SystemClock
from steersman.kubelet.static_pods_url import StaticPodURL

def changed(pods):
    print(*(pod["metadata"]["name"] for pod in pods.values()), flush=True)

source = StaticPodURL(sys.argv[1], headers={}, node_name="n", clock=SystemClock(), check_s=0.05, changed=changed)
asyncio.run(source.run())
"""


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_url_of_https_is_read_where_the_machine_trusts_it(
    manifests: Manifests, tmp_path: Path, trusted: bool
) -> None:
    """Which authorities a machine trusts is read once in a process, so that it takes another one."""
    pki = ClusterPKI(tmp_path, clock=SystemClock())
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    serving = pki.pair("apiserver")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(serving.certificate, serving.key)
    async with manifests.served(context) as url:
        authority = {"SSL_CERT_FILE": str(pki.authority.pair.certificate)} if trusted else {}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FOLLOW, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(sys.path), **authority},
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        try:
            async with asyncio.timeout(60):
                if trusted:
                    assert await process.stdout.readline() == b"web-n\n"
                else:
                    assert b"CERTIFICATE_VERIFY_FAILED" in await process.stderr.readline()
        finally:
            process.kill()
            await process.communicate()
    assert bool(manifests.asked) == trusted


async def test_a_single_file_may_be_named_instead_of_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(MANIFEST)
    (tmp_path / "other.yaml").write_text(MANIFEST.replace("web", "other"))
    seen: list[list[str]] = []
    source = StaticPods(
        file, node_name="n", clock=FakeClock(), check_s=20,
        changed=lambda pods: seen.append(sorted(objects.name(pod) for pod in pods.values())),
    )  # fmt: skip
    async with TaskGroup("test") as group:
        group.spawn(source.run(), name="source")
        await eventually(lambda: seen == [["web-n"]])
        file.write_text(MANIFEST.replace("web", "changed"))
        await eventually(lambda: seen[-1] == ["changed-n"])


def test_sources_are_put_together_and_a_name_is_taken_once() -> None:
    appeared: list[str] = []
    vanished: list[str] = []
    source = StaticSource(
        None, appeared=lambda pod: appeared.append(objects.uid(pod)), vanished=vanished.append,  # type: ignore[arg-type]
        mirrored=lambda uid: None, node=lambda: None,
    )  # fmt: skip

    def of(origin: str, text: str = MANIFEST) -> dict[str, Object]:
        pod = static_pod(text, origin=origin, node_name="n", seen="")
        return {objects.uid(pod): pod}

    first, second, other = of("/f"), of("http://a/"), of("http://a/", MANIFEST.replace("web", "other"))
    source.set_pods("file", first)
    assert source.has_read("file") and not source.has_read("http")
    source.set_pods("http", {**second, **other})
    assert set(appeared) == {*first, *other}
    source.set_pods("file", {})
    assert set(vanished) == set(first)
    assert source.find(next(iter(second))) is not None, "the name is free for the other one now"
