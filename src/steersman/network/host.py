"""Carrying a network plan out on this machine: files, sysctls, ``ip`` and ``nft``.

Everything is applied as a whole and may be applied again. ``nft`` and ``ip`` run as programs: what they do changes when nodes
come and go, not per packet or per pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from steersman.network.plan import TABLE, Route

_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
}
"""Forwarding, and pods of one bridge seen by the rules of Services: without the latter a reply on the same bridge would
take the short way and never be translated back."""
_REQUIRED = "net/ipv4/ip_forward"
PROTOCOL = "248"
"""Marks our routes in the kernel's table, so that others' stay untouched."""


class NetworkError(RuntimeError):
    """The machine refused something; the message has its words."""


async def run(*argv: str, stdin: str = "") -> str:
    """Run a program and return its output. Raises ``NetworkError``."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise NetworkError(f"{argv[0]} is not installed") from error
    output, errors = await process.communicate(stdin.encode() if stdin else None)
    if process.returncode:
        raise NetworkError(f"{' '.join(argv)}: {errors.decode(errors='replace').strip()}")
    return output.decode()


def write_cni(directory: Path, configuration: Mapping[str, Any]) -> bool:
    """Put the network list where the container runtime looks, in one step; False where it was there already."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "10-steersman.conflist"
    text = json.dumps(configuration, indent=2) + "\n"
    with contextlib.suppress(OSError):
        if target.read_text() == text:
            return False
    fresh = directory / ".10-steersman.conflist.new"
    fresh.write_text(text)
    fresh.replace(target)
    return True


def set_sysctls() -> list[str]:
    """Turn on what routing pods' traffic needs; the answer lists what this kernel does not have.

    Raises ``NetworkError`` when forwarding cannot be turned on.
    """
    missing = []
    for name, value in _SYSCTLS.items():
        path = Path("/proc/sys", name)
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            if name == _REQUIRED:
                raise NetworkError(f"cannot set {name.replace('/', '.')}: {error.strerror}") from error
            missing.append(name.replace("/", "."))
    return missing


async def apply_firewall(rules: str) -> None:
    await run("nft", "-f", "-", stdin=rules)


async def apply_routes(wanted: Iterable[Route]) -> None:
    """Have exactly the ``wanted`` routes among those that carry our protocol number."""
    present: set[Route] = set()
    for family in ("-4", "-6"):
        listed = await run("ip", "-json", family, "route", "show", "proto", PROTOCOL)
        for entry in json.loads(listed or "[]"):
            present.add(Route(destination=entry["dst"], gateway=entry.get("gateway", "")))
    target = set(wanted)
    commands = [f"route del {route.destination} via {route.gateway} proto {PROTOCOL}" for route in present - target]
    commands += [
        f"route replace {route.destination} via {route.gateway} proto {PROTOCOL}" for route in target - present
    ]
    for command in commands:
        family = "-6" if ":" in command.split()[2] else "-4"
        await run("ip", family, *command.split())


async def remove_traces(bridge: str) -> None:
    """Take away what this component made in this network namespace."""
    await run("nft", "-f", "-", stdin=f"add table inet {TABLE}\ndelete table inet {TABLE}\n")
    await apply_routes(())
    if await _link_exists(bridge):
        await run("ip", "link", "delete", bridge)


async def uplink_mtu() -> int:
    """The MTU of the interface that leads out of this machine; pods get the same.

    Asked of ``ip``, not of /sys: that shows another namespace's links after ``nsenter --net``.
    """
    routes = json.loads(await run("ip", "-json", "route", "show", "default") or "[]")
    if not routes:
        return 1500
    links = json.loads(await run("ip", "-json", "link", "show", "dev", routes[0]["dev"]))
    return int(links[0]["mtu"])


async def _link_exists(name: str) -> bool:
    return any(link.get("ifname") == name for link in json.loads(await run("ip", "-json", "link", "show") or "[]"))
