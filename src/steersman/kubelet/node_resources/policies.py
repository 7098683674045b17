"""Which policies the managers of CPUs, memory and topology follow, as configured, and which of their options are had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

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
    "prefer-align-cpus-by-uncorecache": "CPUManagerPolicyBetaOptions",
}
"""Options of the static CPU policy and the feature gate that each needs."""
TOPOLOGY_OPTIONS: Final[Mapping[str, str]] = {"prefer-closest-numa-nodes": "", "max-allowable-numa-nodes": ""}
DEFAULT_MAX_NUMA_NODES: Final = 8


class PolicyError(ValueError):
    """The policies cannot be followed as configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUManagerConfig:
    policy: CPUPolicy = "none"
    options: frozenset[str] = frozenset()
    """Those that are switched on."""
    reserved: CPUs = frozenset()
    """``reservedSystemCPUs``: exactly these, whatever number is reserved otherwise."""
    reconcile_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryManagerConfig:
    policy: MemoryPolicy = "None"
    reserved: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """Bytes by NUMA node and resource (``memory``, ``hugepages-…``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyManagerConfig:
    policy: TopologyPolicy = "none"
    scope: TopologyScope = "container"
    prefer_closest: bool = False
    max_numa_nodes: int = DEFAULT_MAX_NUMA_NODES


def cpu_options(given: Mapping[str, str], *, policy: str, enabled: Mapping[str, bool]) -> frozenset[str]:
    """Raises ``PolicyError``. ``enabled``: feature gates."""
    if given and policy == "none":
        raise PolicyError(f"none policy: received unsupported options={_listing(given)}")
    chosen = _switched_on(given, CPU_OPTIONS, enabled, "CPU Manager")
    align, distribute = "prefer-align-cpus-by-uncorecache" in chosen, "distribute-cpus-across-cores" in chosen
    if "full-pcpus-only" in chosen and distribute:
        raise PolicyError(
            "static policy options full-pcpus-only and distribute-cpus-across-cores can not be used at the same time"
        )
    if "distribute-cpus-across-numa" in chosen and distribute:
        raise PolicyError(
            "static policy options distribute-cpus-across-numa and distribute-cpus-across-cores can not be used at the"
            " same time"
        )
    if align and (distribute or "distribute-cpus-across-numa" in chosen):
        raise PolicyError("static policy option prefer-align-cpus-by-uncorecache excludes the distribute-cpus options")
    for name in ("align-by-socket", "distribute-cpus-across-cores", "prefer-align-cpus-by-uncorecache"):
        if name in chosen:
            raise PolicyError(f"unsupported CPU manager policy option: {name}")
    return chosen


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


def _switched_on(
    given: Mapping[str, str], known: Mapping[str, str], enabled: Mapping[str, bool], what: str
) -> frozenset[str]:
    chosen = set()
    for name, text in given.items():
        if name not in known:
            raise PolicyError(f'unknown {what} Policy option: "{name}"')
        gate = known[name]
        if gate and not enabled.get(gate, gate.endswith("BetaOptions")):
            raise PolicyError(f'{what} Policy Option "{name}" needs the feature gate {gate}')
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
