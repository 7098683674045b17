"""Annotations that mean something in a pod: mirror pods, deletion costs, and profiles from before they had fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import invalid
from steersman.schema.groups.core.paths import check_descending
from steersman.schema.groups.core.podspec.security import containers_with_paths
from steersman.schema.groups.core.podspec.specification import MIRROR_ANNOTATION
from steersman.schema.rules import Errors

_COST = "controller.kubernetes.io/pod-deletion-cost"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_INTEGER = re.compile(r"0|-?[1-9]\d{0,9}", re.ASCII)


def check_pod_annotations(errors: Errors, annotations: Mapping[str, str], spec: Mapping[str, Any]) -> None:
    path = "metadata.annotations"
    if MIRROR_ANNOTATION in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid(f"{path}[{MIRROR_ANNOTATION}]", annotations[MIRROR_ANNOTATION], detail))
    cost = annotations.get(_COST)
    if cost is not None and not (_INTEGER.fullmatch(cost) and -(2**31) <= int(cost) < 2**31):
        errors.append(invalid(f"{path}[{_COST}]", cost, "must be a 32bit integer"))
    for key, value in annotations.items():
        if key == _SECCOMP_POD or key.startswith(_SECCOMP_CONTAINER):
            _check_seccomp(errors, value, f"{path}.{key}")
        elif key.startswith(_APPARMOR):
            _check_apparmor(errors, key, value, spec, f"{path}[{key}]")


def _check_seccomp(errors: Errors, profile: str, path: str) -> None:
    if profile in ("runtime/default", "docker/default", "unconfined"):
        return
    if profile.startswith("localhost/"):
        check_descending(errors, profile.removeprefix("localhost/"), path)
    else:
        errors.append(invalid(path, profile, "must be a valid seccomp profile"))


def _check_apparmor(errors: Errors, key: str, profile: str, spec: Mapping[str, Any], path: str) -> None:
    name = key.removeprefix(_APPARMOR)
    if all(container.get("name") != name for container, _ in containers_with_paths(spec, "spec")):
        errors.append(invalid(path, name, "container not found"))
    if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
        errors.append(invalid(path, profile, f'invalid AppArmor profile name: "{profile}"'))
