"""Image names, pull secrets and pull policies."""

from __future__ import annotations

import json
import random

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.image_names import repository_of, with_default_tag, without_tag
from steersman.kubelet.image_puller import PullLimits
from steersman.kubelet.images import CannotStart, ImageManager
from steersman.kubelet.podspec import app_containers
from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from tests.kubelet.pods import container, pod

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("image", "tagged"),
    [
        ("busybox", "busybox:latest"), ("busybox:1", "busybox:1"), (f"busybox@{DIGEST}", f"busybox@{DIGEST}"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"), ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("localhost:5000/latest", "localhost:5000/latest:latest"), ("UPPER/x", "UPPER/x:latest"),
    ],
)  # fmt: skip
def test_a_default_tag(image: str, tagged: str) -> None:
    assert with_default_tag(image) == tagged


@pytest.mark.parametrize("image", ["Busy Box", "a//b", "a:", "", "UPPER", "0" * 64])
def test_what_is_no_image(image: str) -> None:
    with pytest.raises(ValueError, match=r"repository name|invalid reference format"):
        with_default_tag(image)


async def test_a_container_without_an_image_that_could_be() -> None:
    pull = Pull()
    assert await pull("UPPER", "Always") == "InvalidImageName"
    message = 'Failed to apply default image tag "UPPER": couldn\'t parse image name "UPPER": repository name must be lowercase'
    assert pull.said == [("InspectFailed", message)]


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("busybox:1", "docker.io/library/busybox"), ("docker.io/me/app", "docker.io/me/app"),
        ("index.docker.io/busybox", "docker.io/library/busybox"), ("me/app:2", "docker.io/me/app"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b"), ("localhost/a", "localhost/a"),
        (f"ghcr.io/x/y:1@{DIGEST}", "ghcr.io/x/y"),
    ],
)  # fmt: skip
def test_repositories(image: str, repository: str) -> None:
    assert repository_of(image) == repository


@pytest.mark.parametrize(
    ("image", "bare"),
    [("busybox", "busybox"), ("a:1", "a"), (f"a/b:1@{DIGEST}", "a/b"), ("localhost:5000/a:1", "localhost:5000/a")],
)
def test_an_image_without_its_tag(image: str, bare: str) -> None:
    assert without_tag(image) == bare


class Pull:
    def __init__(self, limits: PullLimits | None = None) -> None:
        self.clock = FakeClock()
        runtime = SimulatedRuntime(clock=self.clock, timers=Timers(self.clock), rng=random.Random(1))
        self.images = ImageManager(runtime, clock=self.clock, limits=limits or PullLimits())
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
    assert pull.said == [("Pulled", 'Container image "a:1" already present on machine')]
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


async def test_pulls_that_come_too_fast_fail_until_time_has_passed() -> None:
    pull = Pull(PullLimits(qps=2, burst=2))
    assert [await pull(f"a:{number}", "Always") for number in range(3)] == ["", "", "ErrImagePull"]
    assert pull.said[-1] == ("Failed", 'Failed to pull image "a:2": pull QPS exceeded')
    await pull.clock.advance(0.5)
    assert await pull("a:3", "Always") == ""
