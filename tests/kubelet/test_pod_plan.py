"""Decision table of ``pod_plan``: what a pod lacks, from its spec and from what the runtime has of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from steersman.kubelet.pod_plan import plan
from steersman.kubelet.probe_results import NO_RESULTS, ProbeResults
from steersman.kubelet.records import PodRecord
from steersman.meta.objects import Object
from tests.kubelet.pods import container, deleted, pod, ran, record, sandbox

A, B = container("a"), container("b")
I1, I2 = container("i1"), container("i2")
S1, S2 = container("s1", restartPolicy="Always"), container("s2", restartPolicy="Always")
S_PROBED = container("s1", restartPolicy="Always", startupProbe={"exec": {"command": ["true"]}})
RULED = container(
    "a",
    restartPolicy="Never",
    restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
)
RESTARTS_ALL = container(
    "a",
    restartPolicy="Never",
    restartPolicyRules=[{"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0]}}],
)
EPHEMERAL = container("debug")


@dataclass(frozen=True, kw_only=True)
class Case:
    says: str
    pod: Object
    record: PodRecord
    probes: ProbeResults = NO_RESULTS
    start: list[str] = field(default_factory=list)
    kill: dict[str, str] = field(default_factory=dict)
    kill_pod: bool = False
    sandbox: int | None = None
    """Attempt of the sandbox to make."""
    remove: list[str] = field(default_factory=list)


def failed(container_id: str, kind: str) -> ProbeResults:
    return ProbeResults({(container_id, kind): False})  # type: ignore[dict-item]


GONE = sandbox(state="NOTREADY")
CASES = [
    Case(says="new: sandbox and all apps", pod=pod(A, B), record=record(sandboxes=[]), kill_pod=True, sandbox=0, start=["a", "b"]),
    Case(says="new with init: the first only", pod=pod(A, init=[I1, I2]), record=record(sandboxes=[]), kill_pod=True, sandbox=0, start=["i1"]),
    Case(says="sandbox: apps start", pod=pod(A, B), record=record(), start=["a", "b"]),
    Case(says="running: nothing", pod=pod(A), record=record(ran(A))),
    Case(says="one of two runs: the other", pod=pod(A, B), record=record(ran(A)), start=["b"]),
    Case(says="exited 0, Always: again", pod=pod(A), record=record(ran(A, "EXITED")), start=["a"]),
    Case(says="exited 0, OnFailure: done", pod=pod(A, restartPolicy="OnFailure"), record=record(ran(A, "EXITED")), kill_pod=True),
    Case(says="exited 1, OnFailure: again", pod=pod(A, restartPolicy="OnFailure"), record=record(ran(A, "EXITED", exit_code=1)), start=["a"]),
    Case(says="exited 1, Never: done", pod=pod(A, restartPolicy="Never"), record=record(ran(A, "EXITED", exit_code=1)), kill_pod=True),
    Case(says="one done, one runs: nothing", pod=pod(A, B, restartPolicy="Never"), record=record(ran(A, "EXITED"), ran(B))),
    Case(says="exited while deleted: done", pod=deleted(pod(A)), record=record(ran(A, "EXITED")), kill_pod=True),
    Case(says="created but not started: again", pod=pod(A), record=record(ran(A, "CREATED")), start=["a"]),
    Case(says="unknown: kill and start", pod=pod(A), record=record(ran(A, "UNKNOWN")), start=["a"],
         kill={"a": 'Container is in "unknown" state, try killing it before restart'}),
    Case(says="image changed: replaced", pod=pod(A, restartPolicy="Never"), record=record(ran(A, hash="old")),
         kill={"a": "Container a definition changed, will be restarted"}),
    Case(says="container of another agent without a hash is kept", pod=pod(A), record=record(ran(A, hash=""))),
    Case(says="liveness failed", pod=pod(A), record=record(ran(A)), probes=failed("a-0", "liveness"),
         kill={"a": "Container a failed liveness probe, will be restarted"}),
    Case(says="startup failed", pod=pod(A), record=record(ran(A)), probes=failed("a-0", "startup"),
         kill={"a": "Container a failed startup probe, will be restarted"}),
    Case(says="liveness failed, Never: the pod ends", pod=pod(A, restartPolicy="Never"), record=record(ran(A)), probes=failed("a-0", "liveness"), kill_pod=True),
    Case(says="liveness failed, Never, another runs", pod=pod(A, B, restartPolicy="Never"), record=record(ran(A), ran(B)), probes=failed("a-0", "liveness"),
         kill={"a": "Container a failed liveness probe"}),
    Case(says="readiness failed: nothing", pod=pod(A), record=record(ran(A)), probes=failed("a-0", "readiness")),
    # sandboxes
    Case(says="sandbox died: all again", pod=pod(A, B), record=record(ran(A, "EXITED"), ran(B, "EXITED"), sandboxes=[GONE]), kill_pod=True, sandbox=1, start=["a", "b"]),
    Case(says="sandbox died: from the first init", pod=pod(A, init=[I1]), record=record(ran(I1, "EXITED"), ran(A), sandboxes=[GONE]), kill_pod=True, sandbox=1, start=["i1"]),
    Case(says="sandbox died, Never: it is over", pod=pod(A, restartPolicy="Never"), record=record(ran(A, "EXITED", exit_code=137), sandboxes=[GONE]), kill_pod=True),
    Case(says="sandbox died before any container, Never: again", pod=pod(A, restartPolicy="Never"), record=record(sandboxes=[GONE]), kill_pod=True, sandbox=1, start=["a"]),
    Case(says="sandbox died, OnFailure: not what succeeded", pod=pod(A, B, restartPolicy="OnFailure"),
         record=record(ran(A, "EXITED"), ran(B, "EXITED", exit_code=137), sandboxes=[GONE]), kill_pod=True, sandbox=1, start=["b"]),
    Case(says="sandbox died, OnFailure, all succeeded", pod=pod(A, restartPolicy="OnFailure"), record=record(ran(A, "EXITED"), sandboxes=[GONE]), kill_pod=True),
    Case(says="two ready sandboxes: none of them", pod=pod(A), record=record(sandboxes=[sandbox(), sandbox("box-1", attempt=1)]), kill_pod=True, sandbox=2, start=["a"]),
    Case(says="sandbox without address", pod=pod(A), record=record(sandboxes=[sandbox(ips=())]), kill_pod=True, sandbox=1, start=["a"]),
    Case(says="host network needs no address", pod=pod(A, hostNetwork=True), record=record(sandboxes=[sandbox(ips=(), host_network=True)]), start=["a"]),
    Case(says="network changed", pod=pod(A, hostNetwork=True), record=record(), kill_pod=True, sandbox=1, start=["a"]),
    Case(says="init ran in the old sandbox: again in the new", pod=pod(A, init=[I1]),
         record=record(ran(I1, "EXITED"), ran(A, "EXITED"), sandboxes=[sandbox("box-1", attempt=1)]), start=["i1"]),
    # init containers
    Case(says="first init", pod=pod(A, init=[I1, I2]), record=record(), start=["i1"]),
    Case(says="nothing ran yet: sidecars wait for their turn", pod=pod(A, init=[I1, S1, I2]), record=record(), start=["i1"]),
    Case(says="init runs: wait", pod=pod(A, init=[I1, I2]), record=record(ran(I1))),
    Case(says="init done: the next", pod=pod(A, init=[I1, I2]), record=record(ran(I1, "EXITED")), start=["i2"]),
    Case(says="all init done: apps", pod=pod(A, B, init=[I1, I2]), record=record(ran(I2, "EXITED")), start=["a", "b"]),
    Case(says="init failed, Always: again", pod=pod(A, init=[I1]), record=record(ran(I1, "EXITED", exit_code=1)), start=["i1"]),
    Case(says="init failed, Never: over", pod=pod(A, init=[I1], restartPolicy="Never"), record=record(ran(I1, "EXITED", exit_code=1)), kill_pod=True),
    Case(says="init records removed, app runs: initialized", pod=pod(A, init=[I1]), record=record(ran(A))),
    Case(says="init created only: again", pod=pod(A, init=[I1]), record=record(ran(I1, "CREATED")), start=["i1"]),
    Case(says="init unknown", pod=pod(A, init=[I1]), record=record(ran(I1, "UNKNOWN")), start=["i1"],
         kill={"i1": 'Init container is in "unknown" state, try killing it before restart'}),
    # sidecars
    Case(says="sidecar runs: the next init", pod=pod(A, init=[S1, I2]), record=record(ran(S1)), start=["i2"]),
    Case(says="last sidecar runs: apps", pod=pod(A, init=[I1, S1]), record=record(ran(I1, "EXITED"), ran(S1)), start=["a"]),
    Case(says="sidecar's startup probe has no word yet: wait", pod=pod(A, init=[S_PROBED]), record=record(ran(S_PROBED))),
    Case(says="sidecar's startup probe failed", pod=pod(A, init=[S_PROBED]), record=record(ran(S_PROBED)), probes=failed("s1-0", "startup"),
         kill={"s1": "Init container s1 failed startup probe"}),
    Case(says="sidecar's startup probe passed: apps", pod=pod(A, init=[S_PROBED]), record=record(ran(S_PROBED)),
         probes=ProbeResults({("s1-0", "startup"): True}), start=["a"]),
    Case(says="sidecar exited with an app running: again", pod=pod(A, init=[S1], restartPolicy="Never"), record=record(ran(S1, "EXITED"), ran(A)), start=["s1"]),
    Case(says="earlier sidecar exited while a later init runs: again", pod=pod(A, init=[S1, I2]), record=record(ran(S1, "EXITED"), ran(I2)), start=["s1"]),
    Case(says="apps done: sidecars do not keep the pod", pod=pod(A, init=[S1, S2], restartPolicy="Never"), record=record(ran(S1), ran(S2), ran(A, "EXITED")), kill_pod=True),
    Case(says="sidecar's liveness failed", pod=pod(A, init=[S1]), record=record(ran(S1), ran(A)), probes=failed("s1-0", "liveness"),
         kill={"s1": "Init container s1 failed liveness probe"}),
    # restart rules
    Case(says="rule matches: again in spite of Never", pod=pod(RULED, restartPolicy="Never"), record=record(ran(RULED, "EXITED", exit_code=42)), start=["a"]),
    Case(says="no rule matches: the container's policy", pod=pod(RULED), record=record(ran(RULED, "EXITED", exit_code=1)), kill_pod=True),
    Case(says="restart all: kill what runs", pod=pod(RESTARTS_ALL, B), record=record(ran(RESTARTS_ALL, "EXITED", exit_code=3), ran(B)), kill={"b": "killing"}),
    Case(says="restart all: then remove, the cause last", pod=pod(RESTARTS_ALL, B), record=record(ran(RESTARTS_ALL, "EXITED", exit_code=3), ran(B, "EXITED")), remove=["b", "a"]),
    # ephemeral containers
    Case(says="ephemeral starts beside a running init", pod=pod(A, init=[I1], ephemeralContainers=[EPHEMERAL]), record=record(ran(I1)), start=["debug"]),
    Case(says="ephemeral never starts twice", pod=pod(A, ephemeralContainers=[EPHEMERAL]), record=record(ran(A), ran(EPHEMERAL, "EXITED", exit_code=1))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_plan(case: Case) -> None:
    made = plan(case.pod, case.record, case.probes)
    assert made.kill_pod == case.kill_pod
    assert made.create_sandbox == (case.sandbox is not None)
    if case.sandbox is not None:
        assert made.sandbox_attempt == case.sandbox
    assert [item.name for item in made.start] == case.start
    assert {intent.record.name: intent.message for intent in made.kill} == case.kill
    assert [item.name for item in made.remove] == case.remove
