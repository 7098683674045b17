"""What every container runtime must do for the kubelet: subclass ``RuntimeSuite`` and give it a fixture ``harness``.

    class TestMine(RuntimeSuite):
        @pytest_asyncio.fixture
        async def harness(self, tmp_path): ...; yield Harness(runtime=..., image=..., root=tmp_path)

The commands are those of ``Harness``: a runtime without containers has to understand these and no others.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec import Struct, field
from msgspec.structs import replace

from steersman.kubelet.runtimes.api import (
    AttachRequest,
    ExecRequest,
    NotFound,
    Runtime,
    RuntimeServiceError,
    Session,
    Unimplemented,
)
from steersman.kubelet.runtimes.containers import (
    ContainerConfig,
    ContainerFilter,
    ContainerMetadata,
    ContainerStatus,
)
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import (
    LinuxResources,
    NamespaceOption,
    PodSandboxConfig,
    PodSandboxFilter,
    PodSandboxMetadata,
    SandboxSecurityContext,
)
from steersman.kubelet.runtimes.stats import StatsFilter

T = TypeVar("T")
DEADLINE_S = 20.0
POLL_S = 0.02
_uids = itertools.count(1)


class Harness(Struct, frozen=True, kw_only=True):
    """How the suite gets at one runtime, and the commands that it must understand."""

    runtime: Runtime
    image: str
    """An image that is there."""
    root: Path
    cgroup_parent: str = ""
    forever: tuple[str, ...] = ("sleep", "3600")
    """Runs until it is stopped, and does not mind SIGTERM: SIGKILL ends it with 137."""
    exit_7: tuple[str, ...] = ("sh", "-c", "exit 7")
    exit_0: tuple[str, ...] = ("true",)
    echo: tuple[str, ...] = ("echo", "hello")
    cat: tuple[str, ...] = ("cat",)
    """Writes what it reads."""
    annotations: Mapping[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)
    """For a runtime that does not run commands: what a sandbox is annotated with so that its container behaves as if."""
    streams: bool = True
    """It has exec, attach, logs and stats of these commands."""

    def sandbox(self, name: str = "pod", *command: str, **labels: str) -> PodSandboxConfig:
        """A sandbox for containers that run ``command``."""
        uid = f"uid-{next(_uids)}"
        return PodSandboxConfig(
            metadata=PodSandboxMetadata(name=name, uid=uid, namespace="suite"),
            hostname=name,
            log_directory=str(self.root / "logs" / uid),
            labels=labels,
            annotations={"note": "kept", **self.annotations.get(command, {})},
            cgroup_parent=self.cgroup_parent,
            security_context=SandboxSecurityContext(namespaces=NamespaceOption(pid="CONTAINER")),
        )

    def container(self, *command: str, name: str = "main", attempt: int = 0, stdin: bool = False) -> ContainerConfig:
        return ContainerConfig(
            metadata=ContainerMetadata(name=name, attempt=attempt),
            image=ImageSpec(image=self.image),
            command=command,
            log_path=f"{name}/{attempt}.log",
            labels={"container": name},
            annotations={"note": "kept"},
            stdin=stdin,
        )


async def until(condition: Callable[[], Awaitable[T | None]]) -> T:
    """The first true answer. Raises ``TimeoutError`` after ``DEADLINE_S``."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if answer := await condition():
                return answer
            await asyncio.sleep(POLL_S)


async def started(harness: Harness, *command: str, stdin: bool = False) -> tuple[str, str]:
    """Ids of a new sandbox and of a started container in it."""
    config = harness.sandbox("pod", *command)
    sandbox_id = await harness.runtime.run_pod_sandbox(config)
    container_id = await harness.runtime.create_container(sandbox_id, harness.container(*command, stdin=stdin), config)
    await harness.runtime.start_container(container_id)
    return sandbox_id, container_id


async def exited(harness: Harness, container_id: str) -> ContainerStatus:
    async def status() -> ContainerStatus | None:
        found = await harness.runtime.container_status(container_id)
        return found if found.state == "EXITED" else None

    return await until(status)


async def everything(session: Session) -> tuple[bytes, bytes]:
    """All output, by stream."""
    received: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    async with asyncio.timeout(DEADLINE_S):
        while (output := await session.read()) is not None:
            received[output.stream].append(output.data)
    return b"".join(received["stdout"]), b"".join(received["stderr"])


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


class RuntimeSuite:
    """The rules of ``steersman.kubelet.runtimes.api`` as tests."""

    async def test_it_says_what_it_is_and_that_it_is_ready(self, harness: Harness) -> None:
        version = await harness.runtime.version()
        assert version.runtime_name and version.runtime_version
        status = await harness.runtime.status()
        assert status.runtime_ready and status.network_ready

    async def test_a_sandbox_is_ready_with_an_address_until_it_is_stopped(self, harness: Harness) -> None:
        runtime, config = harness.runtime, harness.sandbox(app="a")
        sandbox_id = await runtime.run_pod_sandbox(config)
        status = await runtime.pod_sandbox_status(sandbox_id)
        assert (status.id, status.metadata, status.state) == (sandbox_id, config.metadata, "READY")
        assert status.ips and status.created_at_ns > 0
        assert status.labels["app"] == "a" and status.annotations["note"] == "kept"
        await runtime.stop_pod_sandbox(sandbox_id)
        assert (await runtime.pod_sandbox_status(sandbox_id)).state == "NOTREADY"
        await runtime.remove_pod_sandbox(sandbox_id)
        with pytest.raises(NotFound):
            await runtime.pod_sandbox_status(sandbox_id)

    async def test_two_sandboxes_have_two_addresses(self, harness: Harness) -> None:
        runtime = harness.runtime
        ids = [await runtime.run_pod_sandbox(harness.sandbox(name)) for name in ("one", "two")]
        first, second = [(await runtime.pod_sandbox_status(sandbox_id)).ips for sandbox_id in ids]
        assert not set(first) & set(second)

    async def test_stopping_and_removing_twice_is_fine(self, harness: Harness) -> None:
        runtime = harness.runtime
        sandbox_id, container_id = await started(harness, *harness.forever)
        for _ in range(2):
            await runtime.stop_container(container_id, timeout_s=0)
        for _ in range(2):
            await runtime.stop_pod_sandbox(sandbox_id)
        for _ in range(2):
            await runtime.remove_container(container_id)
        for _ in range(2):
            await runtime.remove_pod_sandbox(sandbox_id)

    async def test_a_sandbox_of_the_same_metadata_exists_once(self, harness: Harness) -> None:
        config = harness.sandbox()
        await harness.runtime.run_pod_sandbox(config)
        with pytest.raises(RuntimeServiceError):
            await harness.runtime.run_pod_sandbox(config)
        retry = replace(config, metadata=replace(config.metadata, attempt=1))
        assert await harness.runtime.run_pod_sandbox(retry)

    async def test_sandboxes_are_listed_by_state_and_labels(self, harness: Harness) -> None:
        runtime = harness.runtime
        up = await runtime.run_pod_sandbox(harness.sandbox("up", group="listed"))
        down = await runtime.run_pod_sandbox(harness.sandbox("down", group="listed"))
        await runtime.run_pod_sandbox(harness.sandbox("other", group="else"))
        await runtime.stop_pod_sandbox(down)

        async def listed(filter: PodSandboxFilter) -> set[str]:
            return {sandbox.id for sandbox in await runtime.list_pod_sandboxes(filter)}

        labels = {"group": "listed"}
        assert await listed(PodSandboxFilter(labels=labels)) == {up, down}
        assert await listed(PodSandboxFilter(labels=labels, state="READY")) == {up}
        assert await listed(PodSandboxFilter(labels=labels, state="NOTREADY")) == {down}
        assert await listed(PodSandboxFilter(id=up)) == {up}
        assert {up, down} <= await listed(PodSandboxFilter())

    async def test_a_container_is_created_runs_and_is_stopped(self, harness: Harness) -> None:
        runtime, config = harness.runtime, harness.sandbox("pod", *harness.forever)
        sandbox_id = await runtime.run_pod_sandbox(config)
        wanted = harness.container(*harness.forever)
        container_id = await runtime.create_container(sandbox_id, wanted, config)
        created = await runtime.container_status(container_id)
        assert (created.state, created.started_at_ns, created.finished_at_ns) == ("CREATED", 0, 0)
        assert created.metadata == wanted.metadata and created.labels["container"] == "main"
        await runtime.start_container(container_id)
        running = await runtime.container_status(container_id)
        assert running.state == "RUNNING" and running.started_at_ns >= created.created_at_ns
        assert running.log_path == (f"{config.log_directory}/main/0.log" if harness.streams else "")
        await runtime.stop_container(container_id, timeout_s=0)
        stopped = await runtime.container_status(container_id)
        assert (stopped.state, stopped.exit_code) == ("EXITED", 137)
        assert stopped.finished_at_ns >= stopped.started_at_ns

    async def test_exit_codes_and_reasons_are_reported(self, harness: Harness) -> None:
        _, failing = await started(harness, *harness.exit_7)
        _, succeeding = await started(harness, *harness.exit_0)
        status = await exited(harness, failing)
        assert (status.exit_code, status.reason) == (7, "Error")
        status = await exited(harness, succeeding)
        assert (status.exit_code, status.reason) == (0, "Completed")

    async def test_a_restart_is_a_container_with_a_higher_attempt(self, harness: Harness) -> None:
        runtime, config = harness.runtime, harness.sandbox("pod", *harness.exit_0)
        sandbox_id = await runtime.run_pod_sandbox(config)
        ids = []
        for attempt in range(2):
            wanted = harness.container(*harness.exit_0, attempt=attempt)
            ids.append(await runtime.create_container(sandbox_id, wanted, config))
            await runtime.start_container(ids[-1])
            await exited(harness, ids[-1])
        listed = await runtime.list_containers(ContainerFilter(sandbox_id=sandbox_id))
        assert {row.id: row.metadata.attempt for row in listed} == {ids[0]: 0, ids[1]: 1}

    async def test_a_container_starts_once(self, harness: Harness) -> None:
        _, container_id = await started(harness, *harness.forever)
        with pytest.raises(RuntimeServiceError):
            await harness.runtime.start_container(container_id)

    async def test_containers_are_listed_by_sandbox_state_and_labels(self, harness: Harness) -> None:
        runtime = harness.runtime
        sandbox_id, running = await started(harness, *harness.forever)
        other_sandbox, ended = await started(harness, *harness.exit_0)
        await exited(harness, ended)

        async def listed(filter: ContainerFilter) -> set[str]:
            return {container.id for container in await runtime.list_containers(filter)}

        assert await listed(ContainerFilter(sandbox_id=sandbox_id)) == {running}
        assert await listed(ContainerFilter(sandbox_id=other_sandbox, state="EXITED")) == {ended}
        assert await listed(ContainerFilter(sandbox_id=other_sandbox, state="RUNNING")) == set()
        assert await listed(ContainerFilter(id=running, labels={"container": "main"})) == {running}
        assert await listed(ContainerFilter(id=running, labels={"container": "other"})) == set()

    async def test_stopping_a_sandbox_stops_its_containers_and_removing_it_removes_them(self, harness: Harness) -> None:
        runtime = harness.runtime
        sandbox_id, container_id = await started(harness, *harness.forever)
        await runtime.stop_pod_sandbox(sandbox_id)
        assert (await exited(harness, container_id)).exit_code == 137
        await runtime.remove_pod_sandbox(sandbox_id)
        with pytest.raises(NotFound):
            await runtime.container_status(container_id)

    async def test_what_does_not_exist_is_not_found(self, harness: Harness) -> None:
        runtime = harness.runtime
        for call in (
            runtime.pod_sandbox_status("nothing"),
            runtime.container_status("nothing"),
            runtime.start_container("nothing"),
            runtime.exec_sync("nothing", ["true"]),
        ):
            with pytest.raises(NotFound):
                await call

    async def test_resources_of_a_running_container_can_be_changed(self, harness: Harness) -> None:
        _, container_id = await started(harness, *harness.forever)
        await harness.runtime.update_container_resources(container_id, LinuxResources(cpu_shares=512))
        assert (await harness.runtime.container_status(container_id)).state == "RUNNING"

    async def test_stats_name_their_container(self, harness: Harness) -> None:
        self._needs_streams(harness)
        sandbox_id, container_id = await started(harness, *harness.forever)
        stats = await harness.runtime.container_stats(container_id)
        assert stats.id == container_id and stats.metadata.name == "main"
        listed = await harness.runtime.list_container_stats(StatsFilter(sandbox_id=sandbox_id))
        assert [entry.id for entry in listed] == [container_id]

    async def test_images_are_listed_and_unknown_ones_are_not_there(self, harness: Harness) -> None:
        runtime = harness.runtime
        image = await runtime.image_status(ImageSpec(image=harness.image))
        assert image is not None and image.id
        assert image.id in {entry.id for entry in await runtime.list_images()}
        assert await runtime.image_status(ImageSpec(image="localhost/not/there:1")) is None
        await runtime.remove_image(ImageSpec(image="localhost/not/there:1"))
        assert (await runtime.image_fs_info()).image_filesystems

    async def test_events_come_or_the_runtime_says_that_it_has_none(self, harness: Harness) -> None:
        events = harness.runtime.container_events()
        first = asyncio.ensure_future(anext(events))
        await asyncio.wait({first}, timeout=0.2)
        if first.done():
            with pytest.raises(Unimplemented):
                first.result()
            return
        _, container_id = await started(harness, *harness.forever)
        async with asyncio.timeout(DEADLINE_S):
            event = await first
            while (event.container_id, event.type) != (container_id, "STARTED"):
                event = await anext(events)

    # ---- streams -----------------------------------------------------------------------------------------------

    async def test_exec_sync_gives_output_and_exit_code(self, harness: Harness) -> None:
        self._needs_streams(harness)
        _, container_id = await started(harness, *harness.forever)
        result = await harness.runtime.exec_sync(container_id, harness.echo)
        assert (result.stdout, result.exit_code) == (b"hello\n", 0)
        assert (await harness.runtime.exec_sync(container_id, harness.exit_7)).exit_code == 7

    async def test_exec_carries_input_output_and_the_exit_code(self, harness: Harness) -> None:
        self._needs_streams(harness)
        _, container_id = await started(harness, *harness.forever)
        session = await harness.runtime.exec(ExecRequest(container_id=container_id, command=harness.cat, stdin=True))
        try:
            await session.write_stdin(b"some input")
            await session.close_stdin()
            assert await everything(session) == (b"some input", b"")
            assert await session.wait() == 0
        finally:
            await session.close()

    async def test_exec_tells_a_failing_exit_code(self, harness: Harness) -> None:
        self._needs_streams(harness)
        _, container_id = await started(harness, *harness.forever)
        session = await harness.runtime.exec(ExecRequest(container_id=container_id, command=harness.exit_7))
        try:
            await everything(session)
            assert await session.wait() == 7
        finally:
            await session.close()

    async def test_attach_reaches_the_first_process(self, harness: Harness) -> None:
        self._needs_streams(harness)
        _, container_id = await started(harness, *harness.cat, stdin=True)
        session = await harness.runtime.attach(AttachRequest(container_id=container_id, stdin=True))
        try:
            await session.write_stdin(b"typed\n")
            async with asyncio.timeout(DEADLINE_S):
                output = await session.read()
            assert output is not None and (output.stream, output.data) == ("stdout", b"typed\n")
        finally:
            await session.close()
        assert (await harness.runtime.container_status(container_id)).state == "RUNNING"

    async def test_output_is_logged_and_the_log_can_be_moved_away(self, harness: Harness) -> None:
        self._needs_streams(harness)
        _, container_id = await started(harness, *harness.cat, stdin=True)
        path = Path((await harness.runtime.container_status(container_id)).log_path)
        session = await harness.runtime.attach(AttachRequest(container_id=container_id, stdin=True))

        async def logged(text: str) -> None:
            await session.write_stdin(text.encode() + b"\n")

            async def has_it() -> bool:
                return _text(path).endswith(f" stdout F {text}\n")

            await until(has_it)

        try:
            await logged("before")
            os.rename(path, f"{path}.old")
            await harness.runtime.reopen_container_log(container_id)
            await logged("after")
            assert "before" not in _text(path)
        finally:
            await session.close()

    async def test_a_port_nobody_listens_on_refuses(self, harness: Harness) -> None:
        self._needs_streams(harness)
        sandbox_id = await harness.runtime.run_pod_sandbox(harness.sandbox())
        with pytest.raises(ConnectionError):
            await harness.runtime.port_forward(sandbox_id, 9)

    @staticmethod
    def _needs_streams(harness: Harness) -> None:
        if not harness.streams:
            pytest.skip("this runtime runs no commands")
