"""Eviction thresholds: what of each signal has to be left, parsed from ``evictionHard`` and its siblings.

Source: the documentation's "Node-pressure Eviction" and upstream's ``ParseThresholdConfig``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from steersman.meta.durations import parse_duration
from steersman.meta.quantities import canonical, parse_quantity

MEMORY: Final = "memory.available"
ALLOCATABLE_MEMORY: Final = "allocatableMemory.available"
NODE_FS: Final = "nodefs.available"
NODE_INODES: Final = "nodefs.inodesFree"
IMAGE_FS: Final = "imagefs.available"
IMAGE_INODES: Final = "imagefs.inodesFree"
CONTAINER_FS: Final = "containerfs.available"
CONTAINER_INODES: Final = "containerfs.inodesFree"
PIDS: Final = "pid.available"

RESOURCE_OF: Final[Mapping[str, str]] = {
    MEMORY: "memory", ALLOCATABLE_MEMORY: "memory",
    NODE_FS: "ephemeral-storage", IMAGE_FS: "ephemeral-storage", CONTAINER_FS: "ephemeral-storage",
    NODE_INODES: "inodes", IMAGE_INODES: "inodes", CONTAINER_INODES: "inodes",
    PIDS: "pids",
}  # fmt: skip
"""The resource that a signal is about; also the list of signals that exist."""
CONDITION_OF: Final[Mapping[str, str]] = {
    signal: {"memory": "MemoryPressure", "pids": "PIDPressure"}.get(resource, "DiskPressure")
    for signal, resource in RESOURCE_OF.items()
}
DEFAULT_HARD: Final[Mapping[str, str]] = {
    MEMORY: "100Mi", NODE_FS: "10%", NODE_INODES: "5%", IMAGE_FS: "15%", IMAGE_INODES: "5%"
}  # fmt: skip
"""``evictionHard`` where the configuration says nothing."""


class ThresholdError(ValueError):
    """A threshold cannot be used; the message is upstream's."""


class Amount(Struct, frozen=True, kw_only=True):
    """A quantity, or a share of the capacity."""

    quantity: Fraction = Fraction(0)
    share: float | None = None
    text: str = ""

    def of(self, capacity: int) -> int:
        """In the signal's unit; shares are cut to whole units, as upstream does."""
        return int(capacity * self.share) if self.share is not None else int(self.quantity)


class Threshold(Struct, frozen=True, kw_only=True):
    """Met while less than ``value`` of ``signal`` is available. ``grace_s`` 0 is a hard threshold."""

    signal: str
    value: Amount
    grace_s: float = 0.0
    min_reclaim: Amount | None = None

    @property
    def is_hard(self) -> bool:
        return self.grace_s == 0


class EvictionConfig(Struct, frozen=True, kw_only=True):
    """How a kubelet defends its node."""

    thresholds: tuple[Threshold, ...] = ()
    pressure_transition_s: float = 300.0
    max_pod_grace_s: int = 0
    """``evictionMaxPodGracePeriod``: the longest a pod gets when a soft threshold is met."""
    local_storage_isolation: bool = True
    """Pods are held to their limits of ephemeral storage."""


def parse_thresholds(
    hard: Mapping[str, str],
    soft: Mapping[str, str] | None = None,
    soft_grace: Mapping[str, str] | None = None,
    min_reclaim: Mapping[str, str] | None = None,
    *,
    allocatable: bool = False,
) -> tuple[Threshold, ...]:
    """``allocatable``: node allocatable is enforced, so the hard memory threshold also guards the pods' own share.

    Raises ``ThresholdError``.
    """
    reclaims = {signal: _amount(signal, text, "minimum reclaim") for signal, text in (min_reclaim or {}).items()}
    graces = {signal: _grace(signal, text) for signal, text in (soft_grace or {}).items()}
    found = [Threshold(signal=signal, value=value) for signal, value in _statements(hard)]
    for signal, value in _statements(soft or {}):
        if signal not in graces:
            raise ThresholdError(f"grace period must be specified for the soft eviction threshold {signal}")
        found.append(Threshold(signal=signal, value=value, grace_s=graces[signal]))
    found = [replace(item, min_reclaim=reclaims.get(item.signal)) for item in found]
    if allocatable:
        found += [replace(item, signal=ALLOCATABLE_MEMORY) for item in found if item.signal == MEMORY and item.is_hard]
    return tuple(found)


def with_container_filesystem(
    thresholds: Sequence[Threshold], *, image_fs: bool, container_fs: bool
) -> tuple[Threshold, ...]:
    """Thresholds of the containers' filesystem are never configured: they are those of the filesystem it is on."""
    source = {NODE_FS: CONTAINER_FS, NODE_INODES: CONTAINER_INODES}
    if image_fs and not container_fs:
        source = {IMAGE_FS: CONTAINER_FS, IMAGE_INODES: CONTAINER_INODES}
    own = [item for item in thresholds if item.signal not in (CONTAINER_FS, CONTAINER_INODES)]
    return (*own, *(replace(item, signal=source[item.signal]) for item in own if item.signal in source))


def reserved_by(thresholds: Iterable[Threshold], capacity: Mapping[str, int]) -> dict[str, int]:
    """What hard thresholds keep away from pods, by node resource: part of what allocatable leaves out."""
    names = {MEMORY: "memory", NODE_FS: "ephemeral-storage"}
    return {
        names[item.signal]: item.value.of(capacity[names[item.signal]])
        for item in thresholds
        if item.is_hard and item.signal in names and names[item.signal] in capacity
    }


def _statements(entries: Mapping[str, str]) -> list[tuple[str, Amount]]:
    found = []
    for signal, text in entries.items():
        if text not in ("0%", "100%") or signal not in RESOURCE_OF:
            found.append((signal, _amount(signal, text, "threshold")))
    return found


def _amount(signal: str, text: str, what: str) -> Amount:
    if signal not in RESOURCE_OF:
        raise ThresholdError(f"unsupported eviction signal {signal}")
    try:
        if text.endswith("%"):
            share = _float32(_float32(float(text.rstrip("%"))) / 100)
            if share < 0 or (what != "threshold" and share == 0):
                at_least = "must be >= 0%" if what == "threshold" else "must be positive"
                raise ThresholdError(f"eviction percentage {what} {signal} {at_least}: {text}")
            if share > 1:
                raise ThresholdError(f"eviction percentage {what} {signal} must be <= 100%: {text}")
            return Amount(share=share, text=text)
        value = parse_quantity(text)
    except ThresholdError:
        raise
    except ValueError as error:
        raise ThresholdError(f"eviction {what} {signal}: {error}") from error
    if what == "threshold" and value <= 0:
        raise ThresholdError(f"eviction threshold {signal} must be positive: {canonical(text)}")
    if value < 0:
        raise ThresholdError(f"negative eviction minimum reclaim specified for {signal}")
    return Amount(quantity=value, text=text)


def _float32(value: float) -> float:
    """Upstream keeps shares in 32 bits, which shows in the last digits of what they come to."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _grace(signal: str, text: str) -> float:
    if signal not in RESOURCE_OF:
        raise ThresholdError(f"unsupported eviction signal {signal}")
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ThresholdError(f"{signal}: {error}") from error
    if seconds < 0:
        raise ThresholdError(f"invalid eviction grace period specified: {text}, must be a positive value")
    return seconds
