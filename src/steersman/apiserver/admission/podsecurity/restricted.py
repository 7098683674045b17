"""The checks of the restricted level: how pods are hardened."""

from __future__ import annotations

from steersman.apiserver.admission.podsecurity.baseline import proc_mount as proc_mount
from steersman.apiserver.admission.podsecurity.baseline import seccomp_profile as seccomp_baseline
from steersman.apiserver.admission.podsecurity.baseline import seccomp_type
from steersman.apiserver.admission.podsecurity.subjects import (
    Check,
    Subject,
    Violation,
    counted,
    listed,
    names_of,
    plural,
    security_of,
    setters,
)

_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
)  # fmt: skip
_OTHER_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd", "flexVolume",
    "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk",
    "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def not_on_windows(check: Check) -> Check:
    """What means nothing there is not asked of pods that say they are for Windows."""

    def checked(subject: Subject) -> Violation | None:
        return None if subject.is_windows else check(subject)

    return checked


def not_with_own_users(check: Check) -> Check:
    """Root in a user namespace is none outside of it."""

    def checked(subject: Subject) -> Violation | None:
        return None if subject.has_own_users else check(subject)

    return checked


def privilege_escalation(subject: Subject) -> Violation | None:
    bad = names_of(
        container
        for container in subject.containers
        if security_of(container).get("allowPrivilegeEscalation") is not False
    )
    if not bad:
        return None
    return Violation(
        reason="allowPrivilegeEscalation != false",
        detail=f"{counted('container', bad)} must set securityContext.allowPrivilegeEscalation=false",
    )


def capabilities(subject: Subject) -> Violation | None:
    missing, adding = [], []
    added: set[str] = set()
    for container in subject.containers:
        found = security_of(container).get("capabilities") or {}
        if "ALL" not in (found.get("drop") or ()):
            missing.append(container)
        extra = set(found.get("add") or ()) - {"NET_BIND_SERVICE"}
        if extra:
            adding.append(container)
            added |= extra
    details = []
    if missing:
        who = counted("container", names_of(missing))
        details.append(f'{who} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        who = counted("container", names_of(adding))
        details.append(f"{who} must not include {listed(sorted(added))} in securityContext.capabilities.add")
    return Violation(reason="unrestricted capabilities", detail="; ".join(details)) if details else None


def volumes(subject: Subject) -> Violation | None:
    bad, types = [], set()
    for volume in subject.spec.get("volumes") or ():
        if any(volume.get(kind) is not None for kind in _VOLUMES):
            continue
        bad.append(volume["name"])
        types.add(next((kind for kind in _OTHER_VOLUMES if volume.get(kind) is not None), "unknown"))
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    what = f"{plural('restricted volume type', [*types])} {listed(sorted(types))}"
    return Violation(reason="restricted volume types", detail=f"{counted('volume', bad)} {uses} {what}")


def run_as_non_root(subject: Subject) -> Violation | None:
    own = subject.security.get("runAsNonRoot")
    said = [(container, security_of(container).get("runAsNonRoot")) for container in subject.containers]
    explicit = names_of(container for container, value in said if value is False)
    reason = "runAsNonRoot != true"
    who = setters(own is False, explicit)
    if who:
        return Violation(reason=reason, detail=f"{who} must not set securityContext.runAsNonRoot=false")
    implicit = [] if own else names_of(container for container, value in said if value is None)
    if not implicit:
        return None
    who = f"pod or {counted('container', implicit)}"
    return Violation(reason=reason, detail=f"{who} must set securityContext.runAsNonRoot=true")


def run_as_user(subject: Subject) -> Violation | None:
    bad = names_of(container for container in subject.containers if security_of(container).get("runAsUser") == 0)
    who = setters(subject.security.get("runAsUser") == 0, bad)
    return Violation(reason="runAsUser=0", detail=f"{who} must not set runAsUser=0") if who else None


def seccomp_profile(subject: Subject) -> Violation | None:
    explicit = seccomp_baseline(subject)
    if explicit is not None:
        return explicit
    if seccomp_type(subject.security) is not None:
        return None
    implicit = names_of(container for container in subject.containers if seccomp_type(security_of(container)) is None)
    if not implicit:
        return None
    who = f"pod or {counted('container', implicit)}"
    detail = f'{who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation(reason="seccompProfile", detail=detail)
