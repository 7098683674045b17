"""The chains that upstream's kubelet keeps in iptables for others."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from steersman.aio.clock import FakeClock, SystemClock
from steersman.kubelet.iptables_chains import CANARY, CHECK_S, IPTablesChains, execute


class Tables:
    """iptables as far as it is used here: chains by program and table, each with its rules."""

    def __init__(self, *programs: str) -> None:
        self.chains: dict[tuple[str, str], dict[str, list[str]]] = {
            (program, table): {"INPUT": ["mine"], "OUTPUT": []} if table == "filter" else {}
            for program in programs
            for table in ("mangle", "nat", "filter")
        }
        self.changes = 0

    async def execute(self, words: Sequence[str]) -> int:
        program, _, _, _, table, action, chain, *rule = words
        if (program, table) not in self.chains:
            raise FileNotFoundError(program)
        chains = self.chains[program, table]
        if action == "-S":
            return 0 if chain in chains else 1
        if action == "-C":
            return 0 if " ".join(rule) in chains[chain] else 1
        self.changes += 1
        if action == "-N":
            chains[chain] = []
        else:
            chains[chain].insert(0 if action == "-I" else len(chains[chain]), " ".join(rule))
        return 0


@asynccontextmanager
async def kept(tables: Tables, clock: FakeClock) -> Any:
    task = asyncio.ensure_future(IPTablesChains(clock=clock, execute=tables.execute).run())
    try:
        await clock.settle()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_hint_and_the_firewall_are_there_and_made_once() -> None:
    clock, tables = FakeClock(), Tables("iptables", "ip6tables")
    async with kept(tables, clock):
        four, six = tables.chains["iptables", "filter"], tables.chains["ip6tables", "filter"]
        assert four["INPUT"] == ["-j KUBE-FIREWALL", "mine"] and four["OUTPUT"] == ["-j KUBE-FIREWALL"]
        assert "--dst 127.0.0.0/8 ! --src 127.0.0.0/8" in four["KUBE-FIREWALL"][0]
        assert six["INPUT"] == ["mine"] and "KUBE-FIREWALL" not in six
        assert all("KUBE-IPTABLES-HINT" in tables.chains[program, "mangle"] for program in ("iptables", "ip6tables"))
        made = tables.changes
        await clock.advance(10 * CHECK_S)
        assert tables.changes == made
    async with kept(tables, clock):
        assert tables.changes == made, "the next kubelet finds them"


async def test_what_is_flushed_is_made_again() -> None:
    clock, tables = FakeClock(), Tables("iptables")
    async with kept(tables, clock):
        for chains in tables.chains.values():
            chains.clear()
        tables.chains["iptables", "filter"].update(INPUT=[], OUTPUT=[])
        await clock.advance(CHECK_S)
        assert tables.chains["iptables", "filter"]["INPUT"] == ["-j KUBE-FIREWALL"]


@pytest.fixture
def inside() -> Iterator[Callable[[Sequence[str]], list[str]]]:
    """Commands go to a network namespace of the test's own."""
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        pytest.skip("needs root and iptables")
    name = f"st-chains-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield lambda words: ["ip", "netns", "exec", name, *words]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


async def test_iptables_itself_takes_them(inside: Callable[[Sequence[str]], list[str]]) -> None:
    def rules() -> str:
        return subprocess.run(inside(["iptables", "-S"]), check=True, capture_output=True, text=True).stdout

    made = asyncio.Event()

    async def run(words: Sequence[str]) -> int:
        code = await execute(inside(words))
        if words[0] == "iptables" and list(words[-3:]) == ["filter", "-N", CANARY]:
            made.set()
        return code

    task = asyncio.ensure_future(IPTablesChains(clock=SystemClock(), execute=run).run())
    try:
        async with asyncio.timeout(20):
            await made.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert rules().count("-j KUBE-FIREWALL") == 2
    assert '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet' in rules()
