"""Which checks make up a standard, version by version, and what they find."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from msgspec import Struct

from steersman.apiserver.admission.podsecurity import baseline, restricted
from steersman.apiserver.admission.podsecurity.policies import Level, Standard
from steersman.apiserver.admission.podsecurity.subjects import Check, Subject, Violation


class CheckVersions(Struct, frozen=True, kw_only=True):
    """One check: from which minor version on it is done how."""

    id: str
    level: Level
    versions: Sequence[tuple[int, Check]]
    overrides: str = ""
    """The baseline check that it replaces."""

    def at(self, version: int) -> Check | None:
        return next((check for since, check in reversed(self.versions) if since <= version), None)


_escalation, _capabilities = restricted.privilege_escalation, restricted.capabilities
_root, _user, _seccomp = restricted.run_as_non_root, restricted.run_as_user, restricted.seccomp_profile
_not_on_windows, _not_with_own_users = restricted.not_on_windows, restricted.not_with_own_users

CHECKS: Sequence[CheckVersions] = (
    CheckVersions(id="appArmorProfile", level="baseline", versions=((0, baseline.apparmor_profile),)),
    CheckVersions(id="capabilities_baseline", level="baseline", versions=((0, baseline.capabilities),)),
    CheckVersions(id="hostNamespaces", level="baseline", versions=((0, baseline.host_namespaces),)),
    CheckVersions(id="hostPathVolumes", level="baseline", versions=((0, baseline.host_path_volumes),)),
    CheckVersions(id="hostPorts", level="baseline", versions=((0, baseline.host_ports),)),
    CheckVersions(id="hostProbesAndHostLifecycle", level="baseline", versions=((34, baseline.host_probes),)),
    CheckVersions(id="privileged", level="baseline", versions=((0, baseline.privileged),)),
    CheckVersions(id="procMount", level="baseline", versions=((0, baseline.proc_mount), (35, baseline.proc_mount_35))),
    CheckVersions(
        id="seLinuxOptions",
        level="baseline",
        versions=(
            (0, baseline.selinux_options(baseline.SELINUX_0)),
            (31, baseline.selinux_options(baseline.SELINUX_31)),
        ),
    ),
    CheckVersions(
        id="seccompProfile_baseline",
        level="baseline",
        versions=((0, baseline.seccomp_annotations), (19, baseline.seccomp_profile)),
    ),
    CheckVersions(
        id="sysctls",
        level="baseline",
        versions=(
            (0, baseline.sysctls(baseline.SYSCTLS_0)),
            (27, baseline.sysctls(baseline.SYSCTLS_27)),
            (29, baseline.sysctls(baseline.SYSCTLS_29)),
            (32, baseline.sysctls(baseline.SYSCTLS_32)),
        ),
    ),
    CheckVersions(id="windowsHostProcess", level="baseline", versions=((0, baseline.windows_host_process),)),
    CheckVersions(
        id="allowPrivilegeEscalation",
        level="restricted",
        versions=((8, _escalation), (25, _not_on_windows(_escalation))),
    ),
    CheckVersions(
        id="capabilities_restricted",
        level="restricted",
        versions=((22, _capabilities), (25, _not_on_windows(_capabilities))),
        overrides="capabilities_baseline",
    ),
    CheckVersions(
        id="procMount_restricted",
        level="restricted",
        versions=((35, restricted.proc_mount),),
        overrides="procMount",
    ),
    CheckVersions(
        id="restrictedVolumes", level="restricted", versions=((0, restricted.volumes),), overrides="hostPathVolumes"
    ),
    CheckVersions(id="runAsNonRoot", level="restricted", versions=((0, _root), (35, _not_with_own_users(_root)))),
    CheckVersions(id="runAsUser", level="restricted", versions=((23, _user), (35, _not_with_own_users(_user)))),
    CheckVersions(
        id="seccompProfile_restricted",
        level="restricted",
        versions=((19, _seccomp), (25, _not_on_windows(_seccomp))),
        overrides="seccompProfile_baseline",
    ),
)
"""Baseline checks first, each level in the order of its ids: the order of what users are told."""
NEWEST = max(since for check in CHECKS for since, _ in check.versions)
"""The last version in which anything changed; later ones are the same."""


@cache
def checks_of(level: Level, version: int) -> Sequence[Check]:
    """The checks of a standard, in their order."""
    if level == "privileged":
        return ()
    version = min(version, NEWEST)
    applicable = [check for check in CHECKS if level == "restricted" or check.level == "baseline"]
    overridden = {check.overrides for check in applicable if check.at(version) is not None}
    return tuple(
        found for check in applicable if check.id not in overridden and (found := check.at(version)) is not None
    )


def violations(standard: Standard, subject: Subject) -> list[Violation]:
    """What in a pod the standard does not allow."""
    return [found for check in checks_of(standard.level, standard.version) if (found := check(subject)) is not None]
