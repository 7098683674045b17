"""What should be done about a pod that ought to run: one pure function from what is to what should change.

The rules are those of upstream's kuberuntime (``computePodActions``), said forwards: init containers and sidecars start
one after the other, app containers when they are through, ephemeral containers whenever there is a sandbox; a pod whose
sandbox is gone starts again from its first init container; a pod in which nothing runs and nothing will is stopped.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Literal

from msgspec import Struct, field

from steersman.kubelet import podspec
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.probe_results import NO_RESULTS, ProbeResults
from steersman.kubelet.records import ContainerRecord, PodRecord
from steersman.meta import objects

KillReason = Literal["", "livenessProbe", "startupProbe"]


class KillIntent(Struct, frozen=True, kw_only=True):
    """A running container that has to go; without ``restart`` it starts again if the plan made from its exit says so."""

    record: ContainerRecord
    message: str = ""
    """Of the Killing event; empty for ``Stopping container <name>``."""
    reason: KillReason = ""
    """Whose grace period applies."""
    restart: bool = False
    """It starts again whatever it exits with and whatever its restart policy says."""
    is_change: bool = False
    """The pod was edited, and may be again."""


class PodPlan(Struct, frozen=True, kw_only=True):
    """What to do, in this order: kill the pod or the listed containers, make the sandbox, start containers."""

    kill_pod: bool = False
    """Stop every container and every sandbox."""
    create_sandbox: bool = False
    """After ``kill_pod``."""
    sandbox_attempt: int = 0
    kill: tuple[KillIntent, ...] = ()
    start: tuple[PodContainer, ...] = ()
    remove: tuple[ContainerRecord, ...] = ()
    """Dead containers to remove, in this order, before anything starts (restart of all containers)."""


class SandboxNeed(Struct, frozen=True, kw_only=True):
    """Whether a pod needs a new sandbox, and the attempt number of the one it has or needs."""

    changed: bool
    attempt: int = 0
    exists: bool = False
    """There was one before, which is now of no use."""


class _Draft(Struct):
    kill: list[KillIntent] = field(default_factory=list)
    start: list[PodContainer] = field(default_factory=list)
    kill_pod: bool = False


def sandbox_need(pod: Mapping[str, Any], record: PodRecord) -> SandboxNeed:
    """A sandbox is of use when it is the only ready one, the newest, of the right network, and has an address."""
    sandbox = record.sandbox
    if sandbox is None:
        return SandboxNeed(changed=True)
    attempt = sandbox.metadata.attempt
    ready = sum(1 for box in record.sandboxes if box.state == "READY")
    host_network = podspec.is_host_network(pod)
    usable = (
        ready == 1
        and sandbox.state == "READY"
        and (sandbox.namespaces.network == "NODE") == host_network
        and (host_network or bool(sandbox.ips))
    )
    if usable:
        return SandboxNeed(changed=False, attempt=attempt, exists=True)
    return SandboxNeed(changed=True, attempt=attempt + 1, exists=True)


def should_start(
    pod: Mapping[str, Any], container: PodContainer, record: PodRecord, restarting: Container[str] = ()
) -> bool:
    """``container`` does not run and, by its restart policy and last exit, should. ``restarting``: ids of containers that
    were stopped in order to be started again."""
    if objects.is_deleting(pod):
        return False
    latest = record.latest(container.name)
    if latest is None:
        return True
    if latest.state == "RUNNING":
        return False
    if latest.state in ("UNKNOWN", "CREATED") or latest.id in restarting:
        return True
    return podspec.restarts_after(pod, container, latest.exit_code)


def all_restart(pod: Mapping[str, Any], record: PodRecord) -> bool:
    """An exit matched a rule whose action is to restart all containers (KEP-5532)."""
    for container in (*podspec.init_containers(pod), *podspec.app_containers(pod)):
        latest = record.latest(container.name)
        if latest is not None and latest.state == "EXITED":
            rule = podspec.restart_rule(container, latest.exit_code)
            if rule is not None and rule.get("action") == "RestartAllContainers":
                return True
    return False


def is_initialized(pod: Mapping[str, Any], record: PodRecord) -> bool:
    """Some app container was created in the current sandbox: its init containers are through, whatever is left of them."""
    for container in podspec.app_containers(pod):
        latest = record.latest(container.name)
        if latest is not None and record.in_current_sandbox(latest) and latest.state != "UNKNOWN":
            return True
    return False


def plan(
    pod: Mapping[str, Any],
    record: PodRecord,
    probes: ProbeResults = NO_RESULTS,
    *,
    restarting: Container[str] = (),
) -> PodPlan:
    """What to do about ``pod``, given what the runtime has of it. ``restarting`` as for ``should_start``."""
    need = sandbox_need(pod, record)
    if need.changed:
        return _plan_new_sandbox(pod, record, need)
    if all_restart(pod, record):
        return _plan_restart_of_all(pod, record, need)
    draft = _Draft()
    draft.start.extend(
        container for container in podspec.ephemeral_containers(pod) if record.latest(container.name) is None
    )
    ephemeral = len(draft.start)
    initialized = _plan_init(pod, record, probes, draft)
    if draft.kill_pod:
        return PodPlan(kill_pod=True, sandbox_attempt=need.attempt)
    if initialized and not _plan_apps(pod, record, probes, draft, restarting):
        return PodPlan(kill_pod=True, sandbox_attempt=need.attempt, start=tuple(draft.start[:ephemeral]))
    return PodPlan(sandbox_attempt=need.attempt, kill=tuple(draft.kill), start=tuple(draft.start))


def _plan_new_sandbox(pod: Mapping[str, Any], record: PodRecord, need: SandboxNeed) -> PodPlan:
    apps = list(podspec.app_containers(pod))
    kill_only = PodPlan(kill_pod=True, sandbox_attempt=need.attempt)
    never = pod["spec"].get("restartPolicy") == "Never"
    if never and need.attempt != 0 and record.containers:
        return kill_only
    waiting = [container for container in apps if not _has_succeeded_for_good(pod, container, record)]
    if not waiting and any(record.latest(container.name) is not None for container in apps):
        return kill_only
    inits = list(podspec.init_containers(pod))
    return PodPlan(
        kill_pod=True,
        create_sandbox=True,
        sandbox_attempt=need.attempt,
        start=tuple(inits[:1] or waiting),
    )


def _has_succeeded_for_good(pod: Mapping[str, Any], container: PodContainer, record: PodRecord) -> bool:
    latest = record.latest(container.name)
    return (
        podspec.restart_policy(pod, container) == "OnFailure"
        and latest is not None
        and latest.state == "EXITED"
        and latest.exit_code == 0
    )


def _plan_restart_of_all(pod: Mapping[str, Any], record: PodRecord, need: SandboxNeed) -> PodPlan:
    """Kill at once what runs; when nothing does, remove what is left, those whose exit asked for it last."""
    running = tuple(KillIntent(record=item, message="killing") for item in record.running())
    if running:
        return PodPlan(sandbox_attempt=need.attempt, kill=running)
    ephemeral = {container.name for container in podspec.ephemeral_containers(pod)}
    others: list[ContainerRecord] = []
    sources: list[ContainerRecord] = []
    for item in record.containers:
        container = podspec.find_container(pod, item.name)
        if container is None or item.name in ephemeral:
            continue
        rule = podspec.restart_rule(container, item.exit_code)
        asked = rule is not None and rule.get("action") == "RestartAllContainers"
        (sources if asked else others).append(item)
    return PodPlan(sandbox_attempt=need.attempt, remove=(*others, *sources))


def _plan_init(pod: Mapping[str, Any], record: PodRecord, probes: ProbeResults, draft: _Draft) -> bool:
    """Adds what init containers and sidecars need; whether app containers may start."""
    inits = list(podspec.init_containers(pod))
    if not inits:
        return True
    if is_initialized(pod, record):
        for container in inits:
            if container.kind == "sidecar":
                _plan_sidecar(container, _current(record, container), probes, draft)
        return True
    reached = max((index for index, item in enumerate(inits) if _current(record, item) is not None), default=-1)
    for container in inits[: max(reached, 0)]:
        if container.kind == "sidecar":
            _plan_sidecar(container, _current(record, container), probes, draft)
    if reached >= 0 and not _plan_reached_init(pod, inits[reached], record, probes, draft):
        return False
    if reached + 1 < len(inits):
        draft.start.append(inits[reached + 1])
        return False
    return True


def _current(record: PodRecord, container: PodContainer) -> ContainerRecord | None:
    """The newest container of that name in the current sandbox."""
    latest = record.latest(container.name)
    return latest if latest is not None and record.in_current_sandbox(latest) else None


def _plan_reached_init(
    pod: Mapping[str, Any], container: PodContainer, record: PodRecord, probes: ProbeResults, draft: _Draft
) -> bool:
    """The last init container that was started: whether it is through, so that the next one may start."""
    latest = _current(record, container)
    if container.kind == "sidecar" or latest is None:
        return _plan_sidecar(container, latest, probes, draft)
    if latest.state == "RUNNING":
        return False
    if latest.state == "EXITED" and latest.exit_code == 0:
        return True
    if latest.state == "UNKNOWN":
        if podspec.restart_policy(pod, container) == "Never":
            draft.kill_pod = True
            return False
        draft.kill.append(_kill_unknown(latest, "Init container"))
    elif latest.state == "EXITED" and not podspec.restarts_after(pod, container, latest.exit_code):
        draft.kill_pod = True
        return False
    draft.start.append(container)
    return False


def _plan_sidecar(container: PodContainer, latest: ContainerRecord | None, probes: ProbeResults, draft: _Draft) -> bool:
    """Keep a sidecar running; whether it has started as far as those after it are concerned."""
    if latest is None or latest.state != "RUNNING":
        if latest is not None and latest.state == "UNKNOWN":
            draft.kill.append(_kill_unknown(latest, "Init container"))
        draft.start.append(container)
        return False
    name = container.name
    if container.spec.get("startupProbe"):
        startup = probes.startup(latest.id)
        if startup is False:
            draft.kill.append(
                KillIntent(record=latest, message=f"Init container {name} failed startup probe", reason="startupProbe")
            )
        if not startup:
            return False
    if _definition_changed(container, latest):
        message = f"Init container {name} definition changed"
        draft.kill.append(KillIntent(record=latest, message=message, is_change=True))
    elif probes.liveness(latest.id) is False:
        draft.kill.append(
            KillIntent(record=latest, message=f"Init container {name} failed liveness probe", reason="livenessProbe")
        )
    return True


def _plan_apps(
    pod: Mapping[str, Any], record: PodRecord, probes: ProbeResults, draft: _Draft, restarting: Container[str]
) -> bool:
    """Adds what app containers need; False when none runs and none will."""
    alive = False
    for container in podspec.app_containers(pod):
        latest = record.latest(container.name)
        if latest is None or latest.state != "RUNNING":
            if should_start(pod, container, record, restarting):
                alive = True
                draft.start.append(container)
                if latest is not None and latest.state == "UNKNOWN":
                    draft.kill.append(_kill_unknown(latest, "Container"))
            continue
        intent = _reason_to_kill(pod, container, latest, probes)
        if intent is None:
            alive = True
            continue
        draft.kill.append(intent)
        alive = alive or intent.restart
    return alive


def _reason_to_kill(
    pod: Mapping[str, Any], container: PodContainer, latest: ContainerRecord, probes: ProbeResults
) -> KillIntent | None:
    name = container.name
    restarts = podspec.restart_policy(pod, container) != "Never"
    reason: KillReason = ""
    is_change = _definition_changed(container, latest)
    if is_change:
        message, restarts = f"Container {name} definition changed", True
    elif probes.liveness(latest.id) is False:
        message, reason = f"Container {name} failed liveness probe", "livenessProbe"
    elif probes.startup(latest.id) is False:
        message, reason = f"Container {name} failed startup probe", "startupProbe"
    else:
        return None
    message = f"{message}, will be restarted" if restarts else message
    return KillIntent(record=latest, message=message, reason=reason, restart=restarts, is_change=is_change)


def _definition_changed(container: PodContainer, latest: ContainerRecord) -> bool:
    return bool(latest.hash) and latest.hash != podspec.spec_hash(container.spec)


def _kill_unknown(latest: ContainerRecord, what: str) -> KillIntent:
    return KillIntent(record=latest, message=f'{what} is in "unknown" state, try killing it before restart')
