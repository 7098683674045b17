"""kubectl's own executors against the server: its WebSocket ones, and client-go's SPDY ones as older kubectls have them."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.kubelet.server.conftest import Running
from tests.kubelet.server.front import front

KUBECTL = [path for path in (shutil.which("kubectl"), *os.environ.get("KUBECTLS", "").split(":")) if path]
PROTOCOLS = {
    "websocket": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"},
    "spdy": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"},
}

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed"),
    pytest.mark.parametrize("kubectl", KUBECTL),
    pytest.mark.parametrize("protocol", sorted(PROTOCOLS)),
]


async def start(kubectl: str, protocol: str, server: str, home: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        kubectl, f"--server={server}", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(home), "PATH": os.environ["PATH"], **PROTOCOLS[protocol]},
    )  # fmt: skip


async def run(
    running: Running, kubectl: str, protocol: str, home: Path, *words: str, stdin: bytes = b""
) -> tuple[int, bytes, bytes]:
    async with front(running) as server:
        process = await start(kubectl, protocol, server, home, *words)
        async with asyncio.timeout(30):
            stdout, stderr = await process.communicate(stdin)
        return process.returncode or 0, stdout, stderr


async def test_exec_carries_input_and_output(running: Running, tmp_path: Path, kubectl: str, protocol: str) -> None:
    words = ("exec", "-i", "web", "-c", "main", "--", "cat")
    code, stdout, stderr = await run(running, kubectl, protocol, tmp_path, *words, stdin=b"z" * 300_000)
    assert (code, len(stdout)) == (0, 300_000), stderr


async def test_exec_ends_with_the_commands_exit_code(
    running: Running, tmp_path: Path, kubectl: str, protocol: str
) -> None:
    code, _, stderr = await run(running, kubectl, protocol, tmp_path, "exec", "web", "-c", "main", "--", "exit", "7")
    assert (code, stderr.strip()) == (7, b"command terminated with exit code 7")


async def test_exec_tells_why_it_failed(running: Running, tmp_path: Path, kubectl: str, protocol: str) -> None:
    code, _, stderr = await run(running, kubectl, protocol, tmp_path, "exec", "web", "-c", "main", "--", "fail")
    assert code == 1 and b"no such command" in stderr


async def test_attach_reaches_the_process(running: Running, tmp_path: Path, kubectl: str, protocol: str) -> None:
    words = ("attach", "-i", "web", "-c", "main")
    code, stdout, stderr = await run(running, kubectl, protocol, tmp_path, *words, stdin=b"typed")
    assert (code, stdout) == (0, b"typed"), stderr


async def test_ports_are_forwarded(running: Running, tmp_path: Path, kubectl: str, protocol: str) -> None:
    async with front(running) as server:
        process = await start(kubectl, protocol, server, tmp_path, "port-forward", "pod/web", ":80", ":9")
        assert process.stdout is not None and process.stderr is not None
        try:
            async with asyncio.timeout(20):
                lines: list[int] = []
                while len(lines) < 2:
                    line = (await process.stdout.readline()).decode()
                    assert line, (await process.stderr.read()).decode()
                    if "127.0.0.1" in line:
                        lines.append(int(line.split("127.0.0.1:")[1].split()[0]))
                for _ in range(3):
                    reader, writer = await asyncio.open_connection("127.0.0.1", lines[0])
                    writer.write(b"ping")
                    assert await reader.readexactly(4) == b"PING"
                    writer.write_eof()
                    assert await reader.read() == b""
                    writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", lines[1])
                assert await reader.read() == b""
                writer.close()
                message = b""
                while b"refused" not in message:
                    message = await process.stderr.readline()
                    assert message
        finally:
            process.kill()
            await process.wait()


async def test_logs_are_shown(running: Running, tmp_path: Path, kubectl: str, protocol: str) -> None:
    words = ("logs", "web", "-c", "main", "--tail=2")
    assert await run(running, kubectl, protocol, tmp_path, *words) == (0, b"two\nthree\n", b"")
