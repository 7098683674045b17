"""The checks of the baseline level: known ways out of a container."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.apiserver.admission.podsecurity.subjects import (
    Check,
    Subject,
    Violation,
    annotation,
    counted,
    listed,
    names_of,
    plural,
    security_of,
    setters,
)

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_OF_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_OF_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_PROFILES = ("RuntimeDefault", "Localhost")
_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
     "SETPCAP", "SETUID", "SYS_CHROOT"}
)  # fmt: skip
SYSCTLS_0 = frozenset(
    {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
     "net.ipv4.ip_unprivileged_port_start"}
)  # fmt: skip
SYSCTLS_27 = SYSCTLS_0 | {"net.ipv4.ip_local_reserved_ports"}
SYSCTLS_29 = SYSCTLS_27 | {
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SYSCTLS_32 = SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
SELINUX_0 = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
SELINUX_31 = SELINUX_0 | {"container_engine_t"}


def apparmor_profile(subject: Subject) -> Violation | None:
    def type_of(security: Mapping[str, Any]) -> str | None:
        profile = security.get("appArmorProfile")
        return None if profile is None else profile.get("type") or ""

    own, containers, values = _bad_types(subject, type_of)
    notes = sorted(
        annotation(key, value)
        for key, value in subject.annotations.items()
        if key.startswith(_APPARMOR) and value and value != "runtime/default" and not value.startswith("localhost/")
    )
    who = [setters(own, containers)] if own or containers else []
    if notes:
        values = [*values, *notes]
        who.append(plural("annotation", notes))
    if not who:
        return None
    return Violation(
        reason=plural("forbidden AppArmor profile", values),
        detail=f"{' and '.join(who)} must not set AppArmor profile type to {listed(values)}",
    )


def _bad_types(subject: Subject, type_of: Any) -> tuple[bool, list[str], list[str]]:
    """Whether the pod, and which containers, name a profile that is none of the two allowed; and which they name."""
    own = type_of(subject.security)
    is_own = own is not None and own not in _PROFILES
    bad = [
        (str(container.get("name") or ""), found)
        for container in subject.containers
        if (found := type_of(security_of(container))) is not None and found not in _PROFILES
    ]
    values = {value for _, value in bad} | ({own} if is_own else set())
    return is_own, [name for name, _ in bad], sorted(values)


def capabilities(subject: Subject) -> Violation | None:
    added: set[str] = set()
    bad = []
    for container in subject.containers:
        extra = set((security_of(container).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES
        if extra:
            added |= extra
            bad.append(container)
    if not bad:
        return None
    who = counted("container", names_of(bad))
    return Violation(
        reason="non-default capabilities",
        detail=f"{who} must not include {listed(sorted(added))} in securityContext.capabilities.add",
    )


def host_namespaces(subject: Subject) -> Violation | None:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if subject.spec.get(field)]
    return Violation(reason="host namespaces", detail=", ".join(found)) if found else None


def host_path_volumes(subject: Subject) -> Violation | None:
    found = [volume["name"] for volume in subject.spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Violation(reason="hostPath volumes", detail=counted("volume", found)) if found else None


def host_ports(subject: Subject) -> Violation | None:
    ports: set[str] = set()
    bad = []
    for container in subject.containers:
        found = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if found:
            ports |= found
            bad.append(container)
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    detail = f"{counted('container', names_of(bad))} {uses} {plural('hostPort', [*ports])} {', '.join(sorted(ports))}"
    return Violation(reason="hostPort", detail=detail)


def host_probes(subject: Subject) -> Violation | None:
    hosts: set[str] = set()
    bad: set[str] = set()
    for container in subject.containers:
        found = set(_hosts(container))
        if found:
            hosts |= found
            bad.add(str(container.get("name") or ""))
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    what = counted("probe or lifecycle host", sorted(hosts))
    return Violation(reason="probe or lifecycle host", detail=f"{counted('container', sorted(bad))} {uses} {what}")


def _hosts(container: Mapping[str, Any]) -> Iterable[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(field) for field in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(action) or {}).get("host")
            if host:
                yield host


def privileged(subject: Subject) -> Violation | None:
    bad = names_of(container for container in subject.containers if security_of(container).get("privileged"))
    if not bad:
        return None
    who = counted("container", bad)
    return Violation(reason="privileged", detail=f"{who} must not set securityContext.privileged=true")


def proc_mount(subject: Subject) -> Violation | None:
    bad = [
        container
        for container in subject.containers
        if security_of(container).get("procMount") not in (None, "Default")
    ]
    if not bad:
        return None
    types = sorted({security_of(container)["procMount"] for container in bad})
    who = counted("container", names_of(bad))
    return Violation(reason="procMount", detail=f"{who} must not set securityContext.procMount to {listed(types)}")


def proc_mount_35(subject: Subject) -> Violation | None:
    return None if subject.has_own_users else proc_mount(subject)


def seccomp_annotations(subject: Subject) -> Violation | None:
    """Until v1.18, when profiles were annotations."""
    keys = [_SECCOMP_OF_POD, *(f"{_SECCOMP_OF_CONTAINER}{name}" for name in names_of(subject.containers))]
    bad = sorted(
        {
            annotation(key, value)
            for key in keys
            if (value := subject.annotations.get(key)) is not None
            and value not in ("runtime/default", "docker/default")
            and not value.startswith("localhost/")
        }
    )
    if not bad:
        return None
    return Violation(reason="seccompProfile", detail=f"forbidden {plural('annotation', bad)} {', '.join(bad)}")


def seccomp_type(security: Mapping[str, Any]) -> str | None:
    profile = security.get("seccompProfile")
    return None if profile is None else profile.get("type") or ""


def seccomp_profile(subject: Subject) -> Violation | None:
    own, containers, values = _bad_types(subject, seccomp_type)
    if not own and not containers:
        return None
    return Violation(
        reason="seccompProfile",
        detail=f"{setters(own, containers)} must not set securityContext.seccompProfile.type to {listed(values)}",
    )


def selinux_options(allowed: frozenset[str]) -> Check:
    def check(subject: Subject) -> Violation | None:
        own = _selinux_faults(subject.security, allowed)
        of_containers = [
            (container, _selinux_faults(security_of(container), allowed)) for container in subject.containers
        ]
        bad = [container for container, faults in of_containers if faults]
        faults = own.union(*(found for _, found in of_containers))
        if not faults:
            return None
        types = sorted(value for kind, value in faults if kind == "type")
        said = [counted("type", types)] if types else []
        said += [f"{field} may not be set" for field in ("user", "role") if (field, "") in faults]
        detail = f"{setters(bool(own), names_of(bad))} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}"
        return Violation(reason="seLinuxOptions", detail=detail)

    return check


def _selinux_faults(security: Mapping[str, Any], allowed: frozenset[str]) -> set[tuple[str, str]]:
    options = security.get("seLinuxOptions") or {}
    faults = {(field, "") for field in ("user", "role") if options.get(field)}
    kind = options.get("type") or ""
    return faults if kind in allowed else {*faults, ("type", kind)}


def sysctls(allowed: frozenset[str]) -> Check:
    def check(subject: Subject) -> Violation | None:
        bad = [entry["name"] for entry in subject.security.get("sysctls") or () if entry["name"] not in allowed]
        return Violation(reason="forbidden sysctls", detail=", ".join(bad)) if bad else None

    return check


def windows_host_process(subject: Subject) -> Violation | None:
    def is_one(security: Mapping[str, Any]) -> bool:
        return bool((security.get("windowsOptions") or {}).get("hostProcess"))

    bad = names_of(container for container in subject.containers if is_one(security_of(container)))
    who = setters(is_one(subject.security), bad)
    if not who:
        return None
    return Violation(reason="hostProcess", detail=f"{who} must not set securityContext.windowsOptions.hostProcess=true")
