"""What of a node its pods may not use: kubeReserved, systemReserved and the hard eviction thresholds.

Source: the documentation's "Reserve Compute Resources for System Daemons".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from steersman.meta.quantities import format_decimal, quantity

RESERVABLE: Final = ("cpu", "memory", "ephemeral-storage", "pid")


class Reservations(Struct, frozen=True, kw_only=True):
    """Quantities by resource name."""

    kube: Mapping[str, str] = field(default_factory=dict)
    system: Mapping[str, str] = field(default_factory=dict)
    kube_cgroup: str = ""
    system_cgroup: str = ""
    enforce: frozenset[str] = frozenset(("pods",))
    """``enforceNodeAllocatable``."""

    @property
    def total(self) -> dict[str, str]:
        """Both together."""
        names = [*self.kube, *(name for name in self.system if name not in self.kube)]
        return {
            name: format_decimal(quantity(self.kube.get(name, "0")) + quantity(self.system.get(name, "0")))
            for name in names
        }


def problems(field_name: str, given: Mapping[str, str]) -> list[str]:
    """What is wrong with ``kubeReserved`` or ``systemReserved``."""
    found = []
    for name, text in given.items():
        if name not in RESERVABLE:
            found.append(f'{field_name}: cannot reserve "{name}" resource')
            continue
        try:
            if quantity(text) < 0:
                found.append(f'{field_name}: resource quantity for "{name}" cannot be negative: {text}')
        except ValueError:
            found.append(f'{field_name}: failed to parse quantity "{text}" for "{name}" resource')
    return found
