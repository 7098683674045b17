"""AppArmor profiles of pods, and whether this machine can enforce them.

A pod that asks for a profile is refused where the kernel has no AppArmor: it must not run less confined than it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from steersman.kubelet.podspec import containers
from steersman.kubelet.status import Verdict
from steersman.meta import objects

ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
"""Deprecated, with the container's name. The API server copies it to fields; manifests of static pods may have it alone."""


def is_enabled(sys: Path = Path("/sys")) -> bool:
    try:
        return (sys / "module/apparmor/parameters/enabled").read_text().startswith("Y") and (
            sys / "kernel/security/apparmor"
        ).exists()
    except OSError:
        return False


def refused(pod: Mapping[str, Any], *, enabled: bool) -> Verdict | None:
    """None where the pod asks for no profile, or for profiles that can be had."""
    profiles = list(_profiles(pod))
    if not any(profile.get("type") != "Unconfined" for profile in profiles):
        return None
    if not enabled:
        return _verdict("AppArmor is not enabled on the host")
    for profile in profiles:
        if profile.get("type") == "Localhost" and not str(profile.get("localhostProfile") or "").strip():
            return _verdict('invalid empty AppArmor profile name: ""')
    return None


def _verdict(why: str) -> Verdict:
    return Verdict(reason="AppArmor", message=f"Cannot enforce AppArmor: {why}")


def _profiles(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for context in (pod["spec"], *(item.spec for item in containers(pod))):
        profile = (context.get("securityContext") or {}).get("appArmorProfile")
        if profile:
            yield profile
    for key, value in objects.annotations(pod).items():
        if key.startswith(ANNOTATION):
            yield profile_of_annotation(value)


def profile_of_annotation(value: str) -> Mapping[str, str]:
    """``runtime/default``, ``unconfined`` or ``localhost/<name>`` as a field has it."""
    if value == "unconfined":
        return {"type": "Unconfined"}
    if value.startswith("localhost/"):
        return {"type": "Localhost", "localhostProfile": value.removeprefix("localhost/")}
    return {"type": "RuntimeDefault"}
