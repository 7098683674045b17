"""Who may have an image that is on the node already: by policy, and by what is on record of who pulled it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.registry_credentials.keyring import Credential, Login, Source
from steersman.kubelet.registry_credentials.pull_records import FileRecords
from steersman.kubelet.registry_credentials.pulled_images import PulledImages
from steersman.kubelet.registry_credentials.verification import verification_policy
from steersman.kubelet.runtimes.images import Image

IMAGE, REF = "reg.example/app:1", "sha256:1"


def secret(name: str, user: str = "me") -> Credential:
    source = Source(kind="Secret", uid=f"uid-{name}", namespace="ns", name=name)
    return Credential(login=Login(username=user), source=source)


def account(name: str) -> Credential:
    source = Source(kind="ServiceAccount", uid=f"uid-{name}", namespace="ns", name=name)
    return Credential(login=Login(username="any"), source=source)


class Node:
    def __init__(self, root: Path, policy: str = "NeverVerifyPreloadedImages", *allowed: str) -> None:
        self.root = root
        self.clock = FakeClock()
        self.results: list[str] = []
        self.pulled = PulledImages(
            FileRecords(root), verification_policy(policy, allowed), clock=self.clock,
            checked=self.results.append,
        )  # fmt: skip

    async def pull(self, credential: Credential | None, image: str = IMAGE, ref: str | None = REF) -> None:
        await self.pulled.begin(image)
        await self.pulled.end(image, ref, credential)

    async def may(self, *shown: Credential, image: str = IMAGE, ref: str = REF) -> bool:
        async def credentials() -> list[Credential]:
            return list(shown)

        return not await self.pulled.must_pull(image, ref, credentials)

    def files(self, kind: str) -> list[dict[str, object]]:
        return [json.loads(path.read_text()) for path in (self.root / "image_manager" / kind).iterdir()]


async def test_images_that_nobody_pulled_here_are_everybodys(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert await node.may()
    assert node.results == ["credentialPolicyAllowed"]


async def test_images_pulled_without_credentials_are_everybodys(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.pull(None)
    assert await node.may()
    assert not await node.may(image="other.example/app:1"), "under that name nobody has shown anything"
    assert node.results == ["credentialRecordFound", "mustAuthenticate"]


async def test_images_pulled_with_a_secret_are_for_who_has_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.pull(secret("mine"))
    assert not await node.may()
    assert not await node.may(secret("theirs", "them"))
    assert await node.may(secret("mine"))
    assert await node.may(secret("copy")), "the same login in another secret"
    assert await node.may(secret("copy", "rotated")), "which is remembered, so that its login may change"
    assert await node.may(secret("mine", "new")), "a rotated secret"
    assert not await node.may(account("default"))


async def test_images_pulled_with_a_service_accounts_token_are_for_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.pull(account("builder"))
    assert await node.may(account("builder"))
    assert not await node.may(account("default"))
    assert not await node.may(secret("mine"))
    await node.pull(secret("mine"))
    assert await node.may(secret("mine"))
    assert await node.may(account("builder"))
    await node.pull(None)
    assert await node.may()


async def test_records_outlive_the_kubelet(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.pull(secret("mine"))
    await node.pull(account("builder"))
    [record] = node.files("pulled")
    assert record.pop("lastUpdatedTime")
    assert record == {
        "kind": "ImagePulledRecord", "apiVersion": "kubelet.config.k8s.io/v1beta1", "imageRef": REF,
        "credentialMapping": {
            "reg.example/app": {
                "kubernetesSecrets": [
                    {"uid": "uid-mine", "namespace": "ns", "name": "mine", "credentialHash": secret("mine").hash}
                ],
                "kubernetesServiceAccounts": [{"uid": "uid-builder", "namespace": "ns", "name": "builder"}],
            }
        },
    }  # fmt: skip
    assert node.files("pulling") == []
    later = Node(tmp_path)
    assert await later.may(secret("mine"))
    assert await later.may(account("builder"))
    assert not await later.may(secret("theirs", "them"))


async def test_a_pull_that_the_kubelet_did_not_live_to_see_end(tmp_path: Path) -> None:
    await Node(tmp_path).pulled.begin(IMAGE)
    node = Node(tmp_path)
    assert not await node.may(secret("mine")), "it was pulled here, who knows by whom"
    await node.pulled.adopt([Image(id=REF, repo_tags=(IMAGE,)), Image(id="sha256:2", repo_tags=("b:1",))])
    assert node.files("pulling") == []
    assert [record["imageRef"] for record in node.files("pulled")] == [REF]
    assert not await node.may(secret("mine"))
    await node.pull(secret("mine"))
    assert await node.may(secret("mine"))


async def test_failed_pulls_leave_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.pulled.begin(IMAGE)
    await node.pulled.begin(IMAGE)
    await node.pulled.end(IMAGE, None)
    assert len(node.files("pulling")) == 1, "another pull of it still runs"
    assert not await node.may()
    await node.pulled.end(IMAGE, None)
    assert (node.files("pulling"), node.files("pulled")) == ([], [])
    assert await node.may()


async def test_records_go_with_their_images(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for ref in ("sha256:1", "sha256:2", "sha256:3"):
        await node.pull(None, ref=ref)
        await node.clock.advance(10)
    await node.pulled.prune(["sha256:2"], began_s=node.clock.now() - 15)
    assert sorted(str(record["imageRef"]) for record in node.files("pulled")) == ["sha256:2", "sha256:3"]


async def test_a_record_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.pull(None)
    [path] = (tmp_path / "image_manager" / "pulled").iterdir()
    path.write_text("{}")
    later = Node(tmp_path)
    assert not await later.may()
    assert later.results == ["error"]
    await later.pull(None)
    assert await later.may()


@pytest.mark.parametrize(
    ("policy", "preloaded", "pulled"),
    [("NeverVerify", True, True), ("NeverVerifyPreloadedImages", True, False), ("AlwaysVerify", False, False)],
)
async def test_policies(tmp_path: Path, policy: str, preloaded: bool, pulled: bool) -> None:
    node = Node(tmp_path, policy)
    await node.pull(secret("mine"))
    assert await node.may(ref="sha256:preloaded", image="p.example/x") is preloaded
    assert await node.may() is pulled


async def test_images_on_the_list_are_everybodys(tmp_path: Path) -> None:
    node = Node(tmp_path, "NeverVerifyAllowlistedImages", "reg.example/app", "open.example/*")
    for image, expected in (
        ("reg.example/app:2", True), ("reg.example/app2", False), ("open.example/x/y", True), ("busybox", False)
    ):  # fmt: skip
        assert await node.may(image=image) is expected, image


@pytest.mark.parametrize("pattern", [" a", "", "*", "/*", "a*b", "a:1", "A", "a/*/b"])
def test_patterns_that_cannot_be_used(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        verification_policy("NeverVerifyAllowlistedImages", [pattern])
