"""Rules as nftables maps: a handful of chains, and everything that depends on Services as elements of global maps.

For each IP version one table ``steersman-proxy``:

- ``services`` (address . protocol . port) and ``nodeports`` (protocol . port) map a frontend to a chain that says how many
  endpoints it has and whether clients are masqueraded, e.g. ``outside-3``;
- such a chain looks the endpoint up under (frontend . random number below 3) in ``endpoints`` or ``nodeport-endpoints``; the
  number goes through the packet's mark, because nft 1.0 knows no name for the type of a random number and, where ``typeof``
  stands for it, cannot add a chain to a table that exists already;
- with session affinity, ``affinity`` remembers the slot (a number that belongs to an endpoint whatever its position) that a
  client was given, ``slots`` turns a random position into a slot, ``slot-endpoints`` a slot into an endpoint;
- ``refused`` and ``refused-nodeports`` hold frontends without endpoints, ``firewalled`` and ``allowed`` source ranges;
- ``hairpins`` holds endpoints of this table as pairs with themselves: a pod that reaches itself through a Service must be
  masqueraded.

So a changed Service is a few changed elements in one transaction, whatever the number of Services (a chain per Service takes
15 s to load for 10,000 of them; this takes a third of a second). Whether to masquerade is kept in a bit of the
connection's mark, not of the packet's: that one is used for the random number or the slot.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from steersman.proxy.backends.api import Backend, BackendError
from steersman.proxy.rules import Endpoint, Frontend, Target

TABLE = "steersman-proxy"
MASQUERADE_BIT = 0x4000
SLOT_BITS = 0x7FFFFFFF
ELEMENTS_PER_LINE = 2000

Version = Literal[4, 6]


class _Elements(Struct):
    """Map -> element key -> value (empty for sets)."""

    maps: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, name: str, key: str, value: str = "") -> None:
        self.maps.setdefault(name, {})[key] = value


class NftablesBackend:
    """Applies rules with ``nft -f -``. One at a time: the component that owns it does not call it concurrently."""

    def __init__(self, *, cluster_ranges: Sequence[str] = (), enter: Sequence[str] = ()) -> None:
        self._cluster_ranges = tuple(cluster_ranges)
        self._enter = tuple(enter)
        self._rules: dict[Frontend, Target] = {}
        self._chains: dict[Version, set[str]] = {4: set(), 6: set()}
        self._hairpins: dict[Version, dict[str, int]] = {4: {}, 6: {}}

    async def sync(self, rules: Mapping[Frontend, Target]) -> None:
        self._rules = {}
        self._chains = {4: set(), 6: set()}
        self._hairpins = {4: {}, 6: {}}
        lines = [line for version in (4, 6) for line in self._skeleton(version)]
        await self._run([*lines, *self._changes(dict(rules))])

    async def update(self, changes: Mapping[Frontend, Target | None]) -> None:
        lines = self._changes(dict(changes))
        if lines:
            await self._run(lines)

    async def remove(self) -> None:
        await self._run(
            [
                line
                for family in ("ip", "ip6")
                for line in (f"add table {family} {TABLE}", f"delete table {family} {TABLE}")
            ]
        )

    def _changes(self, changes: Mapping[Frontend, Target | None]) -> list[str]:
        removed: dict[Version, _Elements] = {4: _Elements(), 6: _Elements()}
        added: dict[Version, _Elements] = {4: _Elements(), 6: _Elements()}
        chains: list[str] = []
        for frontend, target in changes.items():
            old = self._rules.get(frontend)
            if old == target:
                continue
            version = frontend.version
            if old is not None:
                _describe(removed[version], frontend, old)
                self._count_hairpins(version, old, -1, removed[version])
            if target is not None:
                _describe(added[version], frontend, target)
                self._count_hairpins(version, target, 1, added[version])
                chains += self._chain(version, frontend, target)
                self._rules[frontend] = target
            else:
                self._rules.pop(frontend, None)
        lines = chains
        for version in (4, 6):
            lines += _element_lines(version, removed[version], added[version])
        return lines

    def _count_hairpins(self, version: Version, target: Target, step: int, elements: _Elements) -> None:
        counts = self._hairpins[version]
        for endpoint in target.endpoints:
            address = endpoint.address
            counts[address] = counts.get(address, 0) + step
            if (step > 0 and counts[address] == 1) or (step < 0 and counts[address] == 0):
                elements.put("hairpins", f"{address} . {address}")
            if not counts[address]:
                del counts[address]

    def _skeleton(self, version: Version) -> list[str]:
        """The table without elements, replacing whatever was there."""
        family = _family(version)
        key = f"{family} daddr . meta l4proto . th dport"
        ranges = [text for text in self._cluster_ranges if (":" in text) == (version == 6)]
        address = "ipv6_addr" if version == 6 else "ipv4_addr"
        number = "numgen random mod 65536"
        loopback = "::1/128" if version == 6 else "127.0.0.0/8"
        node_port = f"fib daddr type local {family} daddr != {loopback}"
        text = f"""
add table {family} {TABLE}
delete table {family} {TABLE}
table {family} {TABLE} {{
  map services {{ typeof {key} : verdict; }}
  map nodeports {{ typeof meta l4proto . th dport : verdict; }}
  map endpoints {{ type {address} . inet_proto . inet_service . mark : {address} . inet_service; }}
  map nodeport-endpoints {{ type inet_proto . inet_service . mark : {address} . inet_service; }}
  map slots {{ typeof {key} . {number} : meta mark; }}
  map nodeport-slots {{ typeof meta l4proto . th dport . {number} : meta mark; }}
  map slot-endpoints {{ type {address} . inet_proto . inet_service . mark : {address} . inet_service; }}
  map nodeport-slot-endpoints {{ type inet_proto . inet_service . mark : {address} . inet_service; }}
  map affinity {{ typeof {_client(version, key)} : meta mark; flags dynamic,timeout; size 262144; }}
  map nodeport-affinity {{
    typeof {_client(version, "meta l4proto . th dport")} : meta mark; flags dynamic,timeout; size 262144;
  }}
  map refused {{ typeof {key} : verdict; }}
  map refused-nodeports {{ typeof meta l4proto . th dport : verdict; }}
  set firewalled {{ typeof {key}; }}
  set allowed {{ typeof {key} . {family} saddr; flags interval; }}
  set hairpins {{ typeof {family} saddr . {family} daddr; }}
  chain mark-outside {{
    {f"{family} saddr {{ {', '.join(ranges)} }} return" if ranges else "return"}
    ct mark set ct mark | {MASQUERADE_BIT:#x}
  }}
  chain mark-always {{ ct mark set ct mark | {MASQUERADE_BIT:#x}; }}
  chain mark-never {{ return; }}
  chain refuse {{ reject; }}
  chain dispatch {{
    {key} vmap @services
    {node_port} meta l4proto . th dport vmap @nodeports
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump dispatch; }}
  chain output {{ type nat hook output priority -100; policy accept; jump dispatch; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ct mark & {MASQUERADE_BIT:#x} != 0 masquerade fully-random
    ct status dnat {family} saddr . {family} daddr @hairpins masquerade fully-random
  }}
  chain refusals {{
    {key} vmap @refused
    {node_port} meta l4proto . th dport vmap @refused-nodeports
  }}
  chain firewall {{
    type filter hook prerouting priority dstnat - 10; policy accept;
    ct state new {key} @firewalled {key} . {family} saddr != @allowed drop
  }}
  chain input {{ type filter hook input priority filter - 10; policy accept; ct state new jump refusals; }}
  chain forward {{ type filter hook forward priority filter - 10; policy accept; ct state new jump refusals; }}
  chain local {{ type filter hook output priority filter - 10; policy accept; ct state new jump refusals; }}
}}"""
        return text.split("\n")

    def _chain(self, version: Version, frontend: Frontend, target: Target) -> list[str]:
        """The chain that ``target`` needs, where it is not there yet. Chains are few, so they stay."""
        if not target.endpoints:
            return []
        name = _chain_name(frontend, target)
        if name in self._chains[version]:
            return []
        self._chains[version].add(name)
        family = _family(version)
        is_port = not frontend.address
        key = "meta l4proto . th dport" if is_port else f"{family} daddr . meta l4proto . th dport"
        prefix = "nodeport-" if is_port else ""
        pick = f"numgen random mod {len(target.endpoints)}"
        rules = [f"jump mark-{target.masquerade}"]
        if target.affinity_s:
            client = _client(version, key)
            translate = f"dnat {family} to {key} . meta mark map @{prefix}slot-endpoints"
            remember = f"update @{prefix}affinity {{ {client} timeout {target.affinity_s}s : meta mark }}"
            rules += [
                "meta mark set 0",
                f"meta mark set {client} map @{prefix}affinity",
                # Where the slot's endpoint is gone, its look-up fails and a new slot is chosen below. ``update`` would
                # not change the value of an element that is there.
                f"meta mark != 0 {remember} {translate}",
                f"meta mark != 0 delete @{prefix}affinity {{ {client} : meta mark }}",
                f"meta mark set {key} . {pick} map @{prefix}slots",
                f"{remember} {translate}",
            ]
        else:
            rules += [f"meta mark set {pick}", f"dnat {family} to {key} . meta mark map @{prefix}endpoints"]
        return [f"add chain {family} {TABLE} {name}", *(f"add rule {family} {TABLE} {name} {rule}" for rule in rules)]

    async def _run(self, lines: Sequence[str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._enter, "nft", "-f", "-",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate(("\n".join(lines) + "\n").encode())
        if process.returncode:
            raise BackendError(f"nft: {errors.decode(errors='replace').strip()[:2000]}")


def _describe(elements: _Elements, frontend: Frontend, target: Target) -> None:
    """The elements that stand for one frontend."""
    is_port = not frontend.address
    key = f"{frontend.protocol} . {frontend.port}"
    if not is_port:
        key = f"{frontend.address} . {key}"
    prefix = "nodeport-" if is_port else ""
    for source in target.source_ranges:
        elements.put("allowed", f"{key} . {source}")
    if target.source_ranges:
        elements.put("firewalled", key)
    if not target.endpoints:
        verdict = "drop" if target.refusal == "drop" else "goto refuse"
        elements.put("refused-nodeports" if is_port else "refused", key, verdict)
        return
    elements.put("nodeports" if is_port else "services", key, f"goto {_chain_name(frontend, target)}")
    if not target.affinity_s:
        for position, endpoint in enumerate(target.endpoints):
            elements.put(f"{prefix}endpoints", f"{key} . {position}", f"{endpoint.address} . {endpoint.port}")
        return
    for position, (slot, endpoint) in enumerate(zip(slots(target.endpoints), target.endpoints, strict=True)):
        elements.put(f"{prefix}slots", f"{key} . {position}", f"{slot:#010x}")
        elements.put(f"{prefix}slot-endpoints", f"{key} . {slot:#010x}", f"{endpoint.address} . {endpoint.port}")


def slots(endpoints: Sequence[Endpoint]) -> list[int]:
    """A number for each endpoint that depends on the endpoint alone, except that two never get the same one."""
    taken: list[int] = []
    for endpoint in endpoints:
        slot = zlib.crc32(f"{endpoint.address} {endpoint.port}".encode()) & SLOT_BITS or 1
        while slot in taken:
            slot = (slot + 1) & SLOT_BITS or 1
        taken.append(slot)
    return taken


def _element_lines(version: Version, removed: _Elements, added: _Elements) -> list[str]:
    family = _family(version)
    lines: list[str] = []
    for name, old in removed.maps.items():
        new = added.maps.get(name, {})
        gone = [key if not value else f"{key} : {value}" for key, value in old.items() if new.get(key) != value]
        lines += _batches("delete", family, name, gone)
    for name, new in added.maps.items():
        old = removed.maps.get(name, {})
        fresh = [
            key if not value else f"{key} : {value}"
            for key, value in new.items()
            if old.get(key) != value or key not in old
        ]
        lines += _batches("add", family, name, fresh)
    return lines


def _batches(verb: str, family: str, name: str, elements: Sequence[str]) -> list[str]:
    return [
        f"{verb} element {family} {TABLE} {name} {{ {', '.join(elements[start : start + ELEMENTS_PER_LINE])} }}"
        for start in range(0, len(elements), ELEMENTS_PER_LINE)
    ]


def _client(version: Version, key: str) -> str:
    """What tells one client of one frontend from others.

    nft 1.0 runs out of registers where such a key of IPv6 has a value beside it, so there it is a hash; of two that
    collide, one finds a slot that is not its frontend's and is given a new one.
    """
    return f"ip saddr . {key}" if version == 4 else f"jhash ip6 saddr . {key} mod 4294967295 seed 0x5eed"


def _chain_name(frontend: Frontend, target: Target) -> str:
    kind = f"port-{target.masquerade}" if not frontend.address else target.masquerade
    affinity = f"-sticky-{target.affinity_s}" if target.affinity_s else ""
    return f"{kind}-{len(target.endpoints)}{affinity}"


def _family(version: Version) -> str:
    return "ip6" if version == 6 else "ip"


def _conforms() -> Backend:
    return NftablesBackend()
