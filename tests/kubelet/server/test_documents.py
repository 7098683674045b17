"""What the server tells of the node: pods, logs, stats, metrics, health, configuration."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.kubelet.server.conftest import Running
from tests.kubelet.server.loopback import GOOD_TOKEN

LOGS = "/containerLogs/default/web/main"


async def get(running: Running, path: str) -> tuple[int, str]:
    async with running.session(GOOD_TOKEN) as session, session.get(path) as response:
        return response.status, await response.text()


async def get_json(running: Running, path: str) -> Any:
    async with running.session(GOOD_TOKEN) as session, session.get(path) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        return await response.json()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "one\ntwo\nthree\n"),
        ("?tailLines=1", "three\n"),
        ("?tail=all", "one\ntwo\nthree\n"),
        ("?limitBytes=6", "one\ntw"),
        ("?sinceTime=2026-01-01T00:00:02Z", "two\nthree\n"),
        ("?sinceSeconds=1", ""),
        ("?stream=Stderr", "two\n"),
        ("?tailLines=1&timestamps=true", "2026-01-01T00:00:03.000000000Z three\n"),
        ("?previous=true", "one\ntwo\nthree\n"),
    ],
)
async def test_logs_as_asked_for(running: Running, query: str, expected: str) -> None:
    assert await get(running, LOGS + query) == (200, expected)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{LOGS}?tailLines=x", 400),
        (f"{LOGS}?tailLines=-1", 422),
        (f"{LOGS}?limitBytes=0", 422),
        (f"{LOGS}?follow=perhaps", 400),
        (f"{LOGS}?sinceTime=yesterday", 400),
        (f"{LOGS}?sinceSeconds=1&sinceTime=2026-01-01T00:00:02Z", 422),
        (f"{LOGS}?stream=Stdout&tailLines=1", 422),
        ("/containerLogs/default/web/waiting", 400),
        ("/containerLogs/default/other/main", 404),
    ],
)
async def test_bad_log_requests_are_refused(running: Running, path: str, status: int) -> None:
    assert (await get(running, path))[0] == status


async def test_following_shows_new_lines_as_they_come(running: Running) -> None:
    async with running.session(GOOD_TOKEN) as session, session.get(f"{LOGS}?follow=true&tailLines=1") as response:
        async with asyncio.timeout(5):
            assert await response.content.readline() == b"three\n"
            with running.log.open("a") as file:
                file.write("2026-01-01T00:00:04Z stdout F four\n")
            assert await response.content.readline() == b"four\n"


async def test_a_missing_log_file_is_an_error_with_its_path(running: Running) -> None:
    running.log.unlink()
    status, text = await get(running, LOGS)
    assert status == 400 and str(running.log) in text


async def test_pods_are_a_list(running: Running) -> None:
    pods = await get_json(running, "/pods")
    assert (pods["kind"], pods["items"][0]["metadata"]["name"]) == ("PodList", "web")
    running_pods = await get_json(running, "/runningpods/")
    assert running_pods["items"][0]["spec"]["containers"][0]["name"] == "main"


async def test_the_summary_has_node_and_pods(running: Running) -> None:
    summary = await get_json(running, "/stats/summary")
    node = summary["node"]
    assert node["nodeName"] == "node-1"
    assert node["memory"]["workingSetBytes"] > 0 and node["cpu"]["usageCoreNanoSeconds"] > 0
    assert node["fs"]["capacityBytes"] > 0 and node["rlimit"]["maxpid"] > 0
    assert summary["pods"][0]["podRef"] == {"name": "web", "namespace": "default", "uid": "u1"}
    short = await get_json(running, "/stats/summary?only_cpu_and_memory=true")
    assert "fs" not in short["node"] and "memory" in short["node"]


async def test_metrics_count_this_servers_requests(running: Running) -> None:
    await get(running, "/pods")
    status, text = await get(running, "/metrics")
    assert status == 200
    labels = 'long_running="false",method="GET",path="pods",server_type="readwrite"'
    assert f"kubelet_http_requests_total{{{labels}}} 1.0" in text
    for path, name in (
        ("/metrics/resource", "node_memory_working_set_bytes"),
        ("/metrics/cadvisor", "machine_cpu_cores"),
    ):
        status, text = await get(running, path)
        assert status == 200 and f"\n{name} " in text


async def test_health_and_configuration(running: Running) -> None:
    assert await get(running, "/healthz") == (200, "ok")
    assert await get(running, "/healthz/syncloop") == (200, "ok")
    assert (await get(running, "/healthz/other"))[0] == 404
    assert await get_json(running, "/configz") == {"kubeletconfig": {"maxPods": 110}}


async def test_run_answers_with_the_output(running: Running) -> None:
    async with running.session(GOOD_TOKEN) as session:
        async with session.post("/run/default/web/main?cmd=ls") as response:
            assert response.status == 200
        async with session.post("/run/default/web/main") as response:
            assert response.status == 400


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("default/other/main", 404, "pod does not exist"), ("default/web/other", 404, "container other does not exist"),
        ("default/web/main?timeout=soon", 404, "cannot parse value of timeout parameter"),
        ("default/web/main?timeout=-1", 500,
         "checkpointing of default/web/main failed (CheckpointContainer requires the timeout value to be > 0)"),
        ("default/web/main", 500,
         "checkpointing of default/web/main failed (a simulated container cannot be checkpointed)"),
    ],
)  # fmt: skip
async def test_checkpoints_that_cannot_be_made(running: Running, path: str, status: int, text: str) -> None:
    async with running.session(GOOD_TOKEN) as session, session.post(f"/checkpoint/{path}") as response:
        assert (response.status, await response.text()) == (status, text)


async def test_a_checkpoint_is_written_by_the_runtime(running: Running) -> None:
    async with running.session(GOOD_TOKEN) as session:
        running.runtime.checkpoints = []
        for query, timeout_s in (("", 120), ("?timeout=5", 120), ("?timeout=1&timeout=300", 300)):
            async with session.post(f"/checkpoint/default/web/main{query}") as response:
                assert response.status == 200
                [location] = (await response.json())["items"]
            container_id, path, given_s = running.runtime.checkpoints[-1]
            assert (path, given_s) == (location, timeout_s) and container_id
            assert Path(location).parent.is_dir()
            name = re.escape("checkpoint-web_default-main-") + r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.tar"
            assert re.fullmatch(name, Path(location).name)
