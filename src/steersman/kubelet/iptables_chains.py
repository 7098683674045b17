"""What upstream's kubelet keeps in the node's iptables for others: ``makeIPTablesUtilChains``.

The chain ``KUBE-IPTABLES-HINT`` tells programs in containers which of the two iptables the node uses (KEP-3178).
``KUBE-FIREWALL`` drops what comes from elsewhere for a loopback address, which node ports on 127.0.0.1 would let in
(kubernetes issue 90259). Both are made anew when somebody has flushed them, which the canary's absence tells.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from steersman.aio.clock import Clock

HINT: Final = "KUBE-IPTABLES-HINT"
FIREWALL: Final = "KUBE-FIREWALL"
CANARY: Final = "KUBE-KUBELET-CANARY"
CHECK_S: Final = 60.0
_TABLES: Final = ("mangle", "nat", "filter")
_LOOPBACK: Final = (
    "-m", "comment", "--comment", "block incoming localnet connections",
    "--dst", "127.0.0.0/8", "!", "--src", "127.0.0.0/8",
    "-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED,DNAT", "-j", "DROP",
)  # fmt: skip
log = logging.getLogger(__name__)

Execute = Callable[[Sequence[str]], Awaitable[int]]
"""Runs a program to its end and returns its exit code. Raises ``OSError`` where there is no such program."""


class ChainsFailed(Exception):
    """iptables refused; the message says what."""


async def execute(words: Sequence[str]) -> int:
    """See ``Execute``."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


class IPTablesChains:
    """``run`` it."""

    def __init__(self, *, clock: Clock, execute: Execute = execute) -> None:
        self._clock = clock
        self._execute = execute

    async def run(self) -> None:
        """Until cancelled. A node without iptables has nothing that these rules are for."""
        while True:
            for program in ("iptables", "ip6tables"):
                try:
                    if not await self._exists(program, CANARY, "mangle"):
                        await self._make(program)
                except OSError:
                    log.info("no %s on this node: its chains are not made", program)
                except ChainsFailed as error:
                    log.warning("chains of %s are not made: %s", program, error)
            await self._clock.sleep(CHECK_S)

    async def _make(self, program: str) -> None:
        await self._ensure_chain(program, HINT, "mangle")
        if program == "iptables":  # IPv6 has no such addresses
            await self._ensure_chain(program, FIREWALL, "filter")
            for chain in ("OUTPUT", "INPUT"):
                await self._ensure_rule(program, chain, ("-j", FIREWALL), first=True)
            await self._ensure_rule(program, FIREWALL, _LOOPBACK, first=False)
        for table in _TABLES:
            await self._ensure_chain(program, CANARY, table)
        log.info("chains of %s made", program)

    async def _exists(self, program: str, chain: str, table: str) -> bool:
        return await self._execute((program, "-w", "5", "-t", table, "-S", chain)) == 0

    async def _ensure_chain(self, program: str, chain: str, table: str) -> None:
        if not await self._exists(program, chain, table):
            await self._do(program, "-t", table, "-N", chain)

    async def _ensure_rule(self, program: str, chain: str, rule: Sequence[str], *, first: bool) -> None:
        if await self._execute((program, "-w", "5", "-t", "filter", "-C", chain, *rule)) != 0:
            await self._do(program, "-t", "filter", "-I" if first else "-A", chain, *rule)

    async def _do(self, program: str, *words: str) -> None:
        code = await self._execute((program, "-w", "5", *words))
        if code != 0:
            raise ChainsFailed(f"{program} {' '.join(words)} ended with {code}")
