"""Which devices are taken: by claims as the API has them, and by allocations of this scheduler that the API does not show yet.

An allocation goes from pending (decided, not written) to assumed (written, not seen by the informer) to the lister. Pools
have versions that rise with every change, so that what was found out about a pool can be kept until then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.resources import RESOURCECLAIMS
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.devices.requests import allocation_of
from steersman.scheduler.devices.slices import DeviceID, PoolID


class Taken(Struct, frozen=True):
    """One device of one allocation. ``capacity`` is set for shares of a device."""

    device: DeviceID
    capacity: tuple[tuple[str, Fraction], ...] | None


class Ledger:
    """What claims hold. ``follow`` brings it up to date; the other methods change it at once."""

    def __init__(self) -> None:
        self.version = 0
        self._owned: Counter[DeviceID] = Counter()
        self._consumed: dict[DeviceID, dict[str, Fraction]] = {}
        self._shares: Counter[DeviceID] = Counter()
        self._holdings: dict[str, tuple[Taken, ...]] = {}
        self._pool_versions: Counter[PoolID] = Counter()
        self._pending: dict[str, Object] = {}
        self._assumed: dict[str, Object] = {}
        self._position = 0

    def follow(self, cluster: Cluster) -> None:
        """Take over what changed in the lister since the last time."""
        lister = cluster.lister(RESOURCECLAIMS)
        if lister.version == self._position:
            return
        changed = lister.changed_since(self._position)
        self._position = lister.version
        keys: Iterable[str] = changed if changed is not None else {*self._holdings, *lister.keys()}
        for key in keys:
            if not key.startswith(_PENDING):
                self._hold(key, self.claim(key, cluster))

    def claim(self, key: str, cluster: Cluster) -> Object | None:
        """The claim in its latest known version."""
        stored = cluster.lister(RESOURCECLAIMS).get(key)
        assumed = self._assumed.get(key)
        if assumed is None:
            return stored
        is_outdated = (
            stored is None or objects.uid(stored) != objects.uid(assumed) or _version(stored) >= _version(assumed)
        )
        if is_outdated:
            del self._assumed[key]
            return stored
        return assumed

    def pending(self, uid: str) -> Object | None:
        """The allocation that is decided for a claim and not written yet."""
        return self._pending.get(uid)

    def promise(self, uid: str, allocation: Object) -> None:
        """The claim will get ``allocation``."""
        self._pending[uid] = allocation
        self._hold(_PENDING + uid, {"status": {"allocation": allocation}})

    def release(self, uid: str) -> None:
        """It will not, or it has."""
        if self._pending.pop(uid, None) is not None:
            self._hold(_PENDING + uid, None)

    def assume(self, claim: Object) -> None:
        """The API has ``claim`` like this."""
        key = objects.key_of(claim)
        self._assumed[key] = claim
        self._hold(key, claim)

    def is_owned(self, device: DeviceID) -> bool:
        """Some claim has the device for itself."""
        return self._owned[device] > 0

    def is_in_use(self, device: DeviceID) -> bool:
        """Some claim has the device, or a share of it."""
        return self._owned[device] > 0 or self._shares[device] > 0

    def consumed(self, device: DeviceID) -> dict[str, Fraction]:
        """What shares of the device take of its capacity."""
        return self._consumed.get(device, {})

    def is_shared(self, device: DeviceID) -> bool:
        return self._shares[device] > 0

    def pool_version(self, pool: PoolID) -> int:
        return self._pool_versions[pool]

    def _hold(self, key: str, claim: Object | None) -> None:
        before = self._holdings.pop(key, ())
        after = _taken_by(claim)
        if after:
            self._holdings[key] = after
        if before != after:
            self.version += 1
            self._count(before, -1)
            self._count(after, 1)

    def _count(self, holdings: Iterable[Taken], sign: int) -> None:
        for taken in holdings:
            self._pool_versions[taken.device[:2]] += 1
            if taken.capacity is None:
                self._owned[taken.device] += sign
                continue
            self._shares[taken.device] += sign
            sums = self._consumed.setdefault(taken.device, {})
            for name, amount in taken.capacity:
                sums[name] = sums.get(name, Fraction(0)) + sign * amount
            if not self._shares[taken.device]:
                del self._consumed[taken.device]


_PENDING = "pending:"


def _taken_by(claim: Object | None) -> tuple[Taken, ...]:
    results = ((allocation_of(claim) if claim else None) or {}).get("devices") or {}
    found = []
    for result in results.get("results") or ():
        if result.get("adminAccess"):
            continue
        device = (str(result.get("driver")), str(result.get("pool")), str(result.get("device")))
        capacity = None
        if result.get("shareID"):
            consumed = result.get("consumedCapacity") or {}
            capacity = tuple((name, quantity(amount)) for name, amount in sorted(consumed.items()))
        found.append(Taken(device, capacity))
    return tuple(found)


def _version(claim: Object) -> int:
    return int(objects.resource_version(claim) or 0)
