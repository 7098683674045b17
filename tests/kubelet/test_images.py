"""Image names, pull secrets and pull policies."""

from __future__ import annotations

import base64
import json
import random

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.image_credentials import credentials_for, repository_of
from steersman.kubelet.images import CannotStart, ImageManager, with_default_tag
from steersman.kubelet.podspec import app_containers
from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("image", "tagged"),
    [
        ("busybox", "busybox:latest"), ("busybox:1", "busybox:1"), (f"busybox@{DIGEST}", f"busybox@{DIGEST}"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"), ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("Busy Box", None), ("a//b", None), ("a:", None), ("", None), ("UPPER", None),
    ],
)  # fmt: skip
def test_a_default_tag_or_no_image_at_all(image: str, tagged: str | None) -> None:
    assert with_default_tag(image) == tagged


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("busybox:1", "index.docker.io/library/busybox"), ("docker.io/me/app", "index.docker.io/me/app"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b"), (f"ghcr.io/x/y@{DIGEST}", "ghcr.io/x/y"),
    ],
)  # fmt: skip
def test_repositories(image: str, repository: str) -> None:
    assert repository_of(image) == repository


def pull_secret(**auths: str) -> Object:
    entries = {name: {"auth": base64.b64encode(f"{user}:pw".encode()).decode()} for name, user in auths.items()}
    data = base64.b64encode(json.dumps({"auths": entries}).encode()).decode()
    return {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": data}}


def test_the_most_specific_credentials_come_first() -> None:
    secret = pull_secret(
        **{"ghcr.io": "any", "ghcr.io/team": "team", "*.example.com": "wild", "https://index.docker.io/v1/": "hub"}
    )
    assert [auth.username for auth in credentials_for("ghcr.io/team/app:1", [secret])] == ["team", "any"]
    assert [auth.username for auth in credentials_for("ghcr.io/teams/app:1", [secret])] == ["any"]
    assert [auth.username for auth in credentials_for("reg.example.com/app", [secret])] == ["wild"]
    assert [auth.username for auth in credentials_for("busybox", [secret])] == ["hub"]
    assert credentials_for("quay.io/app", [secret]) == []


class Pull:
    def __init__(self) -> None:
        self.clock = FakeClock()
        runtime = SimulatedRuntime(clock=self.clock, timers=Timers(self.clock), rng=random.Random(1))
        self.images = ImageManager(runtime, clock=self.clock)
        self.said: list[tuple[str, str]] = []

    async def __call__(self, image: str, policy: str, *, error: str = "") -> str:
        """The reason why it cannot start, or an empty string."""
        obj = pod(container(image=image, imagePullPolicy=policy))
        annotations = {ANNOTATION: json.dumps({"*": {"pullError": error}})}
        [only] = app_containers(obj)
        sandbox = PodSandboxConfig(
            metadata=PodSandboxMetadata(name="web", uid="u", namespace="default"), annotations=annotations
        )
        self.said.clear()
        try:
            await self.images.ensure(
                obj, only, secrets=[], sandbox=sandbox, runtime_handler="",
                announce=lambda kind, reason, message: self.said.append((reason, message)),
            )  # fmt: skip
        except CannotStart as failure:
            return failure.failure.reason
        return ""


async def test_policies() -> None:
    pull = Pull()
    assert await pull("a:1", "Never") == "ErrImageNeverPull"
    assert await pull("a:1", "IfNotPresent") == ""
    assert [reason for reason, _ in pull.said] == ["Pulling", "Pulled"]
    assert await pull("a:1", "IfNotPresent") == ""
    assert pull.said == [("Pulled", 'Container image "a:1" already present on machine and can be accessed by the pod')]
    assert await pull("a:1", "Always") == ""
    assert pull.said[0] == ("Pulling", 'Pulling image "a:1"')
    assert await pull("a:1", "Never") == ""


async def test_failed_pulls_back_off() -> None:
    pull = Pull()
    assert await pull("a:1", "Always", error="no") == "ErrImagePull"
    assert await pull("a:1", "Always", error="no") == "ImagePullBackOff"
    await pull.clock.advance(10)
    assert await pull("a:1", "Always", error="no") == "ErrImagePull"
    await pull.clock.advance(15)
    assert await pull("a:1", "Always") == "ImagePullBackOff"
    await pull.clock.advance(5)
    assert await pull("a:1", "Always") == ""
