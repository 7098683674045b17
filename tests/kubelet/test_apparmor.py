"""Pods that ask for an AppArmor profile run only where the kernel enforces it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steersman.kubelet.apparmor import ANNOTATION, is_enabled, refused
from steersman.kubelet.security_context import effective
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod

NOT_ENABLED = "Cannot enforce AppArmor: AppArmor is not enabled on the host"


def profile(type: str, **fields: str) -> dict[str, Any]:
    return {"appArmorProfile": {"type": type, **fields}}


def annotated(value: str) -> Object:
    obj = pod(container())
    obj["metadata"]["annotations"] = {f"{ANNOTATION}main": value}
    return obj


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (pod(container()), ""),
        (pod(container(securityContext=profile("Unconfined"))), ""),
        (pod(container(securityContext=profile("RuntimeDefault"))), NOT_ENABLED),
        (pod(container(), securityContext=profile("RuntimeDefault")), NOT_ENABLED),
        (pod(container(), init=[container("i", securityContext=profile("Localhost"))]), NOT_ENABLED),
        (annotated("runtime/default"), NOT_ENABLED),
        (annotated("unconfined"), ""),
    ],
)
def test_profiles_need_a_kernel_that_enforces_them(obj: Object, message: str) -> None:
    verdict = refused(obj, enabled=False)
    assert (verdict.message if verdict else "") == message
    assert verdict is None or verdict.reason == "AppArmor"


def test_profiles_that_are_there() -> None:
    assert refused(pod(container(securityContext=profile("RuntimeDefault"))), enabled=True) is None
    named = profile("Localhost", localhostProfile="k8s-deny-write")
    assert refused(pod(container(securityContext=named)), enabled=True) is None
    nameless = refused(pod(container(securityContext=profile("Localhost", localhostProfile=" "))), enabled=True)
    assert nameless is not None and "invalid empty AppArmor profile name" in nameless.message


def test_a_container_has_its_own_profile_or_its_annotations_or_the_pods() -> None:
    shared = profile("Localhost", localhostProfile="pods")
    obj = annotated("localhost/old") | {"spec": pod(container(), securityContext=shared)["spec"]}
    [main] = obj["spec"]["containers"]
    assert effective(obj, main)["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "old"}
    own = {**main, "securityContext": profile("Unconfined")}
    assert effective(obj, own)["appArmorProfile"] == {"type": "Unconfined"}
    obj["metadata"]["annotations"] = {}
    assert effective(obj, main)["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "pods"}


def test_whether_the_kernel_has_it(tmp_path: Path) -> None:
    assert not is_enabled(tmp_path)
    (tmp_path / "module/apparmor/parameters").mkdir(parents=True)
    (tmp_path / "module/apparmor/parameters/enabled").write_text("Y\n")
    assert not is_enabled(tmp_path), "it is built in but its file system is not mounted"
    (tmp_path / "kernel/security/apparmor").mkdir(parents=True)
    assert is_enabled(tmp_path)
    (tmp_path / "module/apparmor/parameters/enabled").write_text("N\n")
    assert not is_enabled(tmp_path)
