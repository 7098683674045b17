"""Streams to containers through every hop (API server, kubelet, containerd), by both protocols: kubectl of this machine speaks
WebSocket, Debian's 1.20 only SPDY/3.1."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import struct
import subprocess
import termios
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.kubectl import kubectls
from tests.real.conftest import RealCluster, eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
IMAGE = "localhost/examples/busybox:1"
SERVE = "mkdir -p /www && echo served > /www/page && httpd -h /www -p 80 && exec cat"


@pytest.fixture(scope="module")
def streaming(cluster: RealCluster) -> RealCluster:
    """A pod ``echo`` whose one container gives back what it is told, and serves a page on port 80."""
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", SERVE], "stdin": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "echo"}, "spec": {"containers": [container]}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("wait", "pod/echo", "--for=condition=Ready", "--timeout=60s")
    return cluster


@pytest.fixture(params=kubectls(), ids=lambda path: Path(path).parents[2].name or "kubectl")
def binary(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def attached(streaming: RealCluster, binary: str) -> Iterator[subprocess.Popen[str]]:
    argv = [binary, f"--kubeconfig={streaming.kubeconfig}", "attach", "-i", "echo"]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    yield process
    process.kill()
    process.communicate()


def test_exec_keeps_streams_apart_and_tells_how_it_ended(streaming: RealCluster, binary: str) -> None:
    argv = [binary, f"--kubeconfig={streaming.kubeconfig}", "exec", "-i", "echo", "--", "sh", "-c"]
    script = "cat; echo lost >&2; exit 7"
    many = "a line of text\n" * 20_000
    done = subprocess.run([*argv, script], input=many, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == many
    assert "lost" in done.stderr
    assert done.returncode == 7


def test_an_attached_client_talks_to_the_main_process(attached: subprocess.Popen[str], binary: str) -> None:
    assert attached.stdin is not None
    assert attached.stdout is not None
    attached.stdin.write(f"hello from {binary}\n")
    attached.stdin.flush()
    assert attached.stdout.readline() == f"hello from {binary}\n"


def test_a_terminal_has_the_size_of_the_clients(streaming: RealCluster, binary: str) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    argv = [binary, f"--kubeconfig={streaming.kubeconfig}", "exec", "-it", "echo", "--"]
    script = 'tty; until [ "$(stty size)" = "33 101" ]; do sleep 0.1; done; echo as wide as ours'
    with subprocess.Popen([*argv, "sh", "-c", script], stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while data := os.read(ours, 4096):
                shown += data
        os.close(ours)
        assert process.wait(20) == 0
    assert b"/dev/pts/" in shown
    assert b"as wide as ours" in shown


def test_files_are_copied_both_ways(streaming: RealCluster, binary: str, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(bytes(range(256)) * 4096)
    streaming.kubectl("cp", str(sent), "echo:/tmp/file", binary=binary)
    streaming.kubectl("cp", "echo:/tmp/file", str(back), binary=binary)
    assert back.read_bytes() == sent.read_bytes()


def test_a_forwarded_port_serves_several_connections(streaming: RealCluster, binary: str) -> None:
    argv = [binary, f"--kubeconfig={streaming.kubeconfig}", "port-forward", "pod/echo", ":80"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as forwarding:
        try:
            assert forwarding.stdout is not None
            match = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())
            assert match is not None
            for _ in range(5):
                with urllib.request.urlopen(f"http://127.0.0.1:{match[1]}/page", timeout=10) as response:
                    assert response.read() == b"served\n"
        finally:
            forwarding.terminate()


def test_logs_tell_what_was_said(streaming: RealCluster, binary: str, attached: subprocess.Popen[str]) -> None:
    assert attached.stdin is not None
    attached.stdin.write(f"noted by {binary}\n")
    attached.stdin.flush()
    eventually(lambda: f"noted by {binary}\n" in streaming.kubectl("logs", "echo", "--tail=20", binary=binary), 20)
