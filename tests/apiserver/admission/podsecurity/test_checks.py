"""Every check of the Pod Security Standards, in every version in which it changed, in upstream's words."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from steersman.apiserver.admission.podsecurity.evaluation import CHECKS, NEWEST, checks_of, violations
from steersman.apiserver.admission.podsecurity.policies import LATEST, Level, Standard
from steersman.apiserver.admission.podsecurity.subjects import Subject
from steersman.meta.objects import Object

HARDENED: Object = {
    "metadata": {"name": "p"},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [
            {"name": "i", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
        ],
        "containers": [
            {"name": "c", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
        ],
    },
}


def _pod(*, pod: Mapping[str, Any] | None = None, security: Mapping[str, Any] | None = None, of: Mapping[str, Any] | None = None,
         container: Mapping[str, Any] | None = None, annotations: Mapping[str, str] | None = None, both: bool = False) -> Object:  # fmt: skip
    """A hardened pod with changes: of its spec, its security context, and its container's (``both`` containers')."""
    made = copy.deepcopy(HARDENED)
    spec = made["spec"]
    spec |= pod or {}
    spec["securityContext"] |= security or {}
    for entry in [spec["initContainers"][0], spec["containers"][0]] if both else [spec["containers"][0]]:
        entry |= container or {}
        entry["securityContext"] |= of or {}
    made["metadata"]["annotations"] = dict(annotations or {})
    return made


def _said(level: Level, version: int, pod: Object) -> str:
    return ", ".join(map(str, violations(Standard(level=level, version=version), Subject.of(pod))))


def _probe(host: str) -> Object:
    return {"httpGet": {"host": host, "port": 80}}


BASELINE = [
    (
        _pod(security={"appArmorProfile": {"type": "Unconfined"}}),
        'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
    ),
    (
        _pod(
            security={"appArmorProfile": {"type": "Unconfined"}},
            of={"appArmorProfile": {"type": "x"}},
            annotations={"container.apparmor.security.beta.kubernetes.io/c": "unconfined"},
        ),
        'forbidden AppArmor profiles (pod and container "c" and annotation must not set AppArmor profile type to "Unconfined", '
        '"x", "container.apparmor.security.beta.kubernetes.io/c="unconfined"")',
    ),
    (_pod(security={"appArmorProfile": {"type": "Localhost"}}), ""),
    (
        _pod(of={"capabilities": {"add": ["NET_RAW", "CHOWN", "SYS_ADMIN"]}}, both=True),
        'non-default capabilities (containers "i", "c" must not include "NET_RAW", "SYS_ADMIN" in '
        "securityContext.capabilities.add)",
    ),
    (
        _pod(pod={"hostNetwork": True, "hostIPC": True}),
        "host namespaces (hostNetwork=true, hostIPC=true)",
    ),
    (
        _pod(pod={"volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "emptyDir": {}}]}),
        'hostPath volumes (volume "a")',
    ),
    (
        _pod(container={"ports": [{"containerPort": 1, "hostPort": 8080}, {"containerPort": 2, "hostPort": 443}]}),
        'hostPort (container "c" uses hostPorts 443, 8080)',
    ),
    (
        _pod(container={"livenessProbe": _probe("10.0.0.1"), "lifecycle": {"preStop": _probe("a")}}, both=True),
        'probe or lifecycle host (containers "c", "i" use probe or lifecycle hosts "10.0.0.1", "a")',
    ),
    (
        _pod(of={"privileged": True}),
        'privileged (container "c" must not set securityContext.privileged=true)',
    ),
    (
        _pod(of={"procMount": "Unmasked"}),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    (_pod(of={"procMount": "Default"}), ""),
    (
        _pod(security={"seLinuxOptions": {"type": "bad_t", "user": "u"}}, of={"seLinuxOptions": {"role": "r"}}),
        'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "bad_t"; user may not be set; '
        "role may not be set)",
    ),
    (_pod(security={"seLinuxOptions": {"type": "container_engine_t", "level": "s0"}}), ""),
    (
        _pod(security={"seccompProfile": {"type": "Unconfined"}}),
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    (
        _pod(
            security={"sysctls": [{"name": "kernel.msgmax", "value": "1"}, {"name": "net.ipv4.tcp_rmem", "value": "1"}]}
        ),
        "forbidden sysctls (kernel.msgmax)",
    ),
    (
        _pod(of={"windowsOptions": {"hostProcess": True}}, security={"windowsOptions": {"hostProcess": True}}),
        'hostProcess (pod and container "c" must not set securityContext.windowsOptions.hostProcess=true)',
    ),
]


@pytest.mark.parametrize(("pod", "said"), BASELINE)
def test_baseline(pod: Object, said: str) -> None:
    assert _said("baseline", LATEST, pod) == said
    assert _said("privileged", LATEST, pod) == ""


RESTRICTED = [
    (
        _pod(of={"allowPrivilegeEscalation": None}),
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
    ),
    (
        _pod(of={"capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"], "drop": ["KILL"]}}),
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must not '
        'include "CHOWN" in securityContext.capabilities.add)',
    ),
    (
        _pod(of={"capabilities": None}, both=True),
        'unrestricted capabilities (containers "i", "c" must set securityContext.capabilities.drop=["ALL"])',
    ),
    (
        _pod(
            pod={
                "volumes": [
                    {"name": "a", "hostPath": {"path": "/"}},
                    {"name": "b", "nfs": {}},
                    {"name": "c", "csi": {}},
                ]
            }
        ),
        'restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs")',
    ),
    (
        _pod(security={"runAsNonRoot": None}),
        'runAsNonRoot != true (pod or containers "i", "c" must set securityContext.runAsNonRoot=true)',
    ),
    (
        _pod(of={"runAsNonRoot": False}),
        'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
    ),
    (
        _pod(security={"runAsNonRoot": False}, of={"runAsNonRoot": True}),
        "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
    ),
    (_pod(security={"runAsNonRoot": None}, of={"runAsNonRoot": True}, both=True), ""),
    (
        _pod(security={"runAsUser": 0}, of={"runAsUser": 0}),
        'runAsUser=0 (pod and container "c" must not set runAsUser=0)',
    ),
    (
        _pod(security={"seccompProfile": None}),
        'seccompProfile (pod or containers "i", "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")',
    ),
    (_pod(security={"seccompProfile": None}, of={"seccompProfile": {"type": "Localhost"}}, both=True), ""),
    (
        _pod(of={"seccompProfile": {"type": "Unconfined"}}),
        'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    (
        _pod(of={"procMount": "Unmasked"}, pod={"hostUsers": False}),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    (_pod(of={"privileged": True, "runAsUser": 0}, pod={"hostUsers": False}), BASELINE[8][1]),
]


@pytest.mark.parametrize(("pod", "said"), RESTRICTED)
def test_restricted(pod: Object, said: str) -> None:
    assert _said("restricted", LATEST, pod) == said


def test_a_hardened_pod_is_allowed_in_every_version() -> None:
    for version in range(NEWEST + 2):
        assert _said("restricted", version, _pod()) == ""


def test_all_faults_are_named_in_the_order_of_the_checks() -> None:
    bare = {"metadata": {"name": "p"}, "spec": {"hostPID": True, "containers": [{"name": "c"}]}}
    assert _said("restricted", LATEST, bare) == (
        "host namespaces (hostPID=true), "
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )


WINDOWS = {"os": {"name": "windows"}}
OWN_USERS = {"hostUsers": False}
BY_VERSION = [
    ("restricted", _pod(of={"allowPrivilegeEscalation": None}), 8, "later"),
    ("restricted", _pod(of={"allowPrivilegeEscalation": None}, pod=WINDOWS), 25, "earlier"),
    ("restricted", _pod(of={"capabilities": {"add": ["CHOWN"]}}), 22, "later"),
    ("restricted", _pod(of={"capabilities": None}, pod=WINDOWS), 25, "earlier"),
    ("restricted", _pod(security={"seccompProfile": None}), 19, "later"),
    ("restricted", _pod(security={"seccompProfile": None}, pod=WINDOWS), 25, "earlier"),
    ("restricted", _pod(security={"runAsUser": 0}), 23, "later"),
    ("restricted", _pod(security={"runAsUser": 0}, pod=OWN_USERS), 35, "earlier"),
    ("restricted", _pod(security={"runAsNonRoot": None}, pod=OWN_USERS), 35, "earlier"),
    ("baseline", _pod(of={"procMount": "Unmasked"}, pod=OWN_USERS), 35, "earlier"),
    ("baseline", _pod(container={"readinessProbe": _probe("h")}), 34, "later"),
    ("baseline", _pod(security={"seLinuxOptions": {"type": "container_engine_t"}}), 31, "earlier"),
    ("baseline", _pod(security={"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}), 27, "earlier"),
    ("baseline", _pod(security={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]}), 29, "earlier"),
    ("baseline", _pod(security={"sysctls": [{"name": "net.ipv4.tcp_wmem"}]}), 32, "earlier"),
    ("baseline", _pod(security={"seccompProfile": {"type": "Unconfined"}}), 19, "later"),
    ("baseline", _pod(annotations={"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}), 19, "earlier"),
    ("baseline", _pod(annotations={"container.seccomp.security.alpha.kubernetes.io/c": "x"}), 19, "earlier"),
]


@pytest.mark.parametrize(("level", "pod", "since", "refused"), BY_VERSION)
def test_versions(level: Level, pod: Object, since: int, refused: str) -> None:
    """Refused from that version on, or only before it. Of restricted checks that look at capabilities before v1.22 the
    baseline one is left."""
    before, then = _said(level, since - 1, pod), _said(level, since, pod)
    if refused == "later":
        assert then
        assert then not in before
    else:
        assert before
        assert not then
    assert (_said(level, since + 1, pod) == "") is (then == "") or since + 1 > NEWEST


def test_annotations_of_old_are_named() -> None:
    pod = _pod(annotations={"seccomp.security.alpha.kubernetes.io/pod": "unconfined"})
    assert _said("baseline", 18, pod) == (
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    )


def test_future_versions_are_the_newest() -> None:
    assert checks_of("restricted", LATEST) == checks_of("restricted", 99) == checks_of("restricted", NEWEST)


def test_overridden_checks_are_not_done_twice() -> None:
    ids = {check.id for check in CHECKS}
    assert {check.overrides for check in CHECKS if check.overrides} <= ids
    assert len(checks_of("restricted", LATEST)) == len(CHECKS) - 4
    assert len(checks_of("baseline", LATEST)) == 12


def test_ephemeral_containers_are_checked_too() -> None:
    pod = _pod()
    pod["spec"]["ephemeralContainers"] = [{"name": "debug", "securityContext": {"privileged": True}}]
    assert 'privileged (container "debug" must not' in _said("baseline", LATEST, pod)
