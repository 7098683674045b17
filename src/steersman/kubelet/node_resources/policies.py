"""Which policies the managers of CPUs, memory and topology follow, as configured, and which of their options are had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field

from steersman.kubelet.cpusets import CPUs
from steersman.meta.quantities import to_int

CPUPolicy = Literal["none", "static"]
MemoryPolicy = Literal["None", "Static"]
TopologyPolicy = Literal["none", "best-effort", "restricted", "single-numa-node"]
TopologyScope = Literal["container", "pod"]

CPU_OPTIONS: Final[Mapping[str, str]] = {
    "full-pcpus-only": "",
    "strict-cpu-reservation": "",
    "distribute-cpus-across-numa": "CPUManagerPolicyBetaOptions",
    "align-by-socket": "CPUManagerPolicyAlphaOptions",
    "distribute-cpus-across-cores": "CPUManagerPolicyAlphaOptions",
    "prefer-align-cpus-by-uncorecache": "",
}
"""Options of the static CPU policy and the feature gate that each needs."""
EXCLUSIVE: Final = (
    ("full-pcpus-only", "distribute-cpus-across-cores"),
    ("distribute-cpus-across-numa", "distribute-cpus-across-cores"),
    ("prefer-align-cpus-by-uncorecache", "distribute-cpus-across-cores"),
    ("prefer-align-cpus-by-uncorecache", "distribute-cpus-across-numa"),
)
"""Options of which one can be had."""
TOPOLOGY_OPTIONS: Final[Mapping[str, str]] = {"prefer-closest-numa-nodes": "", "max-allowable-numa-nodes": ""}
DEFAULT_MAX_NUMA_NODES: Final = 8


class PolicyError(ValueError):
    """The policies cannot be followed as configured."""


class CPUManagerConfig(Struct, frozen=True, kw_only=True):
    policy: CPUPolicy = "none"
    options: frozenset[str] = frozenset()
    """Those that are switched on."""
    reserved: CPUs = frozenset()
    """``reservedSystemCPUs``: exactly these, whatever number is reserved otherwise."""
    reconcile_s: float = 10.0
    lifts_quota: bool = True
    """From containers that have CPUs of their own, which it would only throttle."""


class MemoryManagerConfig(Struct, frozen=True, kw_only=True):
    policy: MemoryPolicy = "None"
    reserved: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """Bytes by NUMA node and resource (``memory``, ``hugepages-…``)."""


class TopologyManagerConfig(Struct, frozen=True, kw_only=True):
    policy: TopologyPolicy = "none"
    scope: TopologyScope = "container"
    prefer_closest: bool = False
    max_numa_nodes: int = DEFAULT_MAX_NUMA_NODES


def cpu_options(given: Mapping[str, str], *, policy: str, enabled: Mapping[str, bool]) -> frozenset[str]:
    """Raises ``PolicyError``. ``enabled``: feature gates."""
    if given and policy == "none":
        raise PolicyError(f"none policy: received unsupported options={_listing(given)}")
    chosen = _switched_on(given, enabled)
    for one, other in EXCLUSIVE:
        if one in chosen and other in chosen:
            raise PolicyError(f"static policy options {one} and {other} can not be used at the same time")
    return chosen


def check_alignment(cpus: CPUManagerConfig, topology: TopologyManagerConfig, *, sockets: int, nodes: int) -> None:
    """Of a machine with so many sockets and NUMA nodes. Raises ``PolicyError``."""
    if "align-by-socket" not in cpus.options:
        return
    if topology.policy == "single-numa-node":
        raise PolicyError(
            "Topolgy manager single-numa-node policy is incompatible with CPUManager align-by-socket policy option"
        )
    if sockets > nodes:
        raise PolicyError(
            "Align by socket is not compatible with hardware where number of sockets are more than number of NUMA"
        )


def topology_options(given: Mapping[str, str]) -> tuple[bool, int]:
    """``prefer-closest-numa-nodes`` and ``max-allowable-numa-nodes``. Raises ``PolicyError``."""
    unknown = sorted(set(given) - set(TOPOLOGY_OPTIONS))
    if unknown:
        raise PolicyError(f'unknown Topology Manager Policy option: "{unknown[0]}"')
    closest = _boolean("prefer-closest-numa-nodes", given.get("prefer-closest-numa-nodes", "false"))
    text = given.get("max-allowable-numa-nodes", str(DEFAULT_MAX_NUMA_NODES))
    if not text.isdecimal():
        raise PolicyError(f'bad value for option "max-allowable-numa-nodes": {text!r}')
    if int(text) < DEFAULT_MAX_NUMA_NODES:
        raise PolicyError(
            f"the minimum value of max-allowable-numa-nodes should not be less than {DEFAULT_MAX_NUMA_NODES}"
        )
    return closest, int(text)


def reserved_memory(entries: Any) -> dict[int, dict[str, int]]:
    """``reservedMemory`` as numbers."""
    found: dict[int, dict[str, int]] = {}
    for entry in entries or ():
        limits = {name: to_int(value) for name, value in (entry.get("limits") or {}).items()}
        found.setdefault(int(entry.get("numaNode") or 0), {}).update(limits)
    return found


def _switched_on(given: Mapping[str, str], enabled: Mapping[str, bool]) -> frozenset[str]:
    chosen = set()
    for name, text in given.items():
        if name not in CPU_OPTIONS:
            raise PolicyError(f'unknown CPU Manager Policy option: "{name}"')
        gate = CPU_OPTIONS[name]
        is_beta = gate.endswith("BetaOptions")
        if gate and not enabled.get(gate, is_beta):
            level = "Beta" if is_beta else "Alpha"
            raise PolicyError(f'CPU Manager Policy {level}-level Options not enabled, but option "{name}" provided')
        if _boolean(name, text):
            chosen.add(name)
    return frozenset(chosen)


def _boolean(name: str, text: str) -> bool:
    values = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    if text.lower() not in values:
        raise PolicyError(f'bad value for option "{name}": {text!r}')
    return values[text.lower()]


def _listing(given: Mapping[str, str]) -> str:
    return "map[" + " ".join(f"{name}:{text}" for name, text in sorted(given.items())) + "]"
