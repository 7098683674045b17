"""The search for devices on one node: every request of every claim gets what it asks for, or nothing is given out.

Claims, requests, alternatives and devices are tried in their order, depth first, and the first full solution is taken. A
search is cut off after ``STEP_LIMIT`` devices looked at, so that one claim cannot hold up the scheduler for long; steps are
counted rather than time, so that one input gives one result.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

from msgspec import Struct, field

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.scheduler.devices.capacity import consumption, has_room
from steersman.scheduler.devices.constraints import Constraint, constraints_of
from steersman.scheduler.devices.ledger import Ledger
from steersman.scheduler.devices.requests import RESULTS_LIMIT, AllocationError, Choice, Claim, Request
from steersman.scheduler.devices.selectors import Selectors
from steersman.scheduler.devices.slices import Device, DeviceID, Pool, PoolID

STEPS_PER_S = 20_000
"""How many devices a second of ``filterTimeout`` allows to look at."""
Undo = Callable[[], None]


class TooManySteps(AllocationError):
    """The search was cut off."""


class _TooManyResults(Exception):
    """The claim cannot get that many devices, whichever they are."""


class Given(Struct, frozen=True, kw_only=True):
    """A device that a request gets."""

    request: Request
    device: Device
    share_id: str = ""
    capacity: Mapping[str, str] = field(default_factory=dict)
    """What the share takes."""


class Solution(Struct, frozen=True, kw_only=True):
    """What one claim gets: the alternative of each request, and the devices."""

    claim: Claim
    picked: tuple[Request, ...]
    given: tuple[Given, ...]


class _Plan(Struct, frozen=True, kw_only=True):
    """What one request needs on this node."""

    request: Request
    count: int
    everything: tuple[Device, ...] | None = None
    """For the mode All: exactly these."""


class Search:
    """One search, on one node, for the claims of one pod. Make it, then ``solve`` it once."""

    def __init__(
        self,
        *,
        claims: Sequence[Claim],
        pools: Sequence[Pool],
        classes: Mapping[str, Object],
        ledger: Ledger,
        selectors: Selectors,
        step_limit: int,
    ) -> None:
        self._claims = claims
        self._pools = pools
        self._classes = classes
        self._ledger = ledger
        self._selectors = selectors
        self._steps_left = step_limit
        self._candidates = [(device, pool) for pool in pools if pool.is_usable for device in pool.devices]
        self._plans: dict[tuple[int, int, int], _Plan] = {}
        self._constraints: list[tuple[Constraint, ...]] = []
        self._given: list[list[Given]] = [[] for _ in claims]
        self._picked: dict[tuple[int, int], Request] = {}
        self._taking: dict[DeviceID, set[int]] = {}
        self._sharing: Counter[DeviceID] = Counter()
        self._consuming: dict[DeviceID, dict[str, Fraction]] = {}
        self._counted: dict[PoolID, Counter[tuple[str, str]]] = {}
        self._left: dict[PoolID, dict[tuple[str, str], Fraction]] = {}

    def solve(self) -> tuple[Solution, ...] | None:
        """One solution a claim; None where there is none. Raises ``AllocationError``."""
        for index, claim in enumerate(self._claims):
            self._constraints.append(constraints_of(claim))
            self._prepare(index, claim)
        if not self._claim(0):
            return None
        return tuple(
            Solution(
                claim=claim,
                picked=tuple(self._picked[index, number] for number in range(len(claim.choices))),
                given=tuple(self._given[index]),
            )
            for index, claim in enumerate(self._claims)
        )

    # -- what is needed --------------------------------------------------------------------------------------------

    def _prepare(self, index: int, claim: Claim) -> None:
        least = 0
        for number, choice in enumerate(claim.choices):
            plans = [self._plan(claim, request) for request in choice.alternatives]
            self._plans |= {(index, number, place): plan for place, plan in enumerate(plans)}
            least += min(plan.count for plan in plans)
        if least > RESULTS_LIMIT:
            raise AllocationError(
                f"claim {claim.key}: number of requested devices {least} exceeds the claim limit of {RESULTS_LIMIT}"
            )

    def _plan(self, claim: Claim, request: Request) -> _Plan:
        if request.class_name not in self._classes:
            raise AllocationError(
                f"claim {claim.key}, request {request.name}: could not retrieve device class {request.class_name}"
            )
        if request.mode == "ExactCount":
            return _Plan(request=request, count=request.count)
        for pool in self._pools:
            if not pool.is_usable:
                state = "being updated" if pool.is_incomplete else "invalid"
                raise AllocationError(
                    f"claim {claim.key}, request {request.name}: asks for all devices, but resource pool "
                    f"{'/'.join(pool.id)} is currently {state}"
                )
        wanted = tuple(
            device
            for device, _ in self._candidates
            if self._is_selected(claim, request, device) and self._has_capacity(request, device)
        )
        return _Plan(request=request, count=len(wanted), everything=wanted)

    # -- the search ------------------------------------------------------------------------------------------------

    def _claim(self, index: int) -> bool:
        if index == len(self._claims):
            return True
        try:
            return self._choice(index, 0)
        except _TooManyResults:
            return False

    def _choice(self, index: int, number: int) -> bool:
        """Everything from one request on."""
        choices = self._claims[index].choices
        if number == len(choices):
            return self._claim(index + 1)
        if len(choices[number].alternatives) == 1:
            return self._alternative(index, number, 0)
        return self._alternatives(index, number, choices[number])

    def _alternatives(self, index: int, number: int, choice: Choice) -> bool:
        are_all_too_many = True
        for place in range(len(choice.alternatives)):
            try:
                if self._alternative(index, number, place):
                    return True
            except _TooManyResults:
                continue
            are_all_too_many = False
        if are_all_too_many:
            raise _TooManyResults
        return False

    def _alternative(self, index: int, number: int, place: int) -> bool:
        plan = self._plans[index, number, place]
        if plan.everything is not None and not plan.everything:
            return False
        self._picked[index, number] = plan.request
        if plan.everything is not None:
            return self._all_devices(index, number, plan, plan.everything)
        return self._devices(index, number, plan, 0, 0)

    def _devices(self, index: int, number: int, plan: _Plan, taken: int, start: int) -> bool:
        """``plan.count - taken`` more devices, from the candidate ``start`` on; devices of one request are tried as
        combinations, not in all their orders."""
        if taken == plan.count:
            return self._choice(index, number + 1)
        if len(self._given[index]) + plan.count - taken > RESULTS_LIMIT:
            raise _TooManyResults
        for position in range(start, len(self._candidates)):
            self._step()
            device, pool = self._candidates[position]
            if not self._is_free(index, plan.request, device):
                continue  # a selector that would fail for it does not count
            if not self._is_selected(self._claims[index], plan.request, device):
                continue
            undo = self._take(index, plan.request, device, pool)
            if undo is None:
                continue
            try:
                if self._devices(index, number, plan, taken + 1, position + 1):
                    return True
            except _TooManyResults:
                undo()
                raise
            undo()
        return False

    def _all_devices(self, index: int, number: int, plan: _Plan, wanted: Sequence[Device]) -> bool:
        if len(self._given[index]) + len(wanted) > RESULTS_LIMIT:
            raise _TooManyResults
        pool_of = {device.id: pool for device, pool in self._candidates}
        undone: list[Undo] = []
        for device in wanted:
            self._step()
            undo = self._take(index, plan.request, device, pool_of[device.id], must=True)
            if undo is None:
                break
            undone.append(undo)
        try:
            if len(undone) == len(wanted) and self._choice(index, number + 1):
                return True
        except _TooManyResults:
            _undo_all(undone)
            raise
        _undo_all(undone)
        return False

    def _step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise TooManySteps

    # -- one device ------------------------------------------------------------------------------------------------

    def _is_selected(self, claim: Claim, request: Request, device: Device) -> bool:
        device_class = self._classes[request.class_name]
        for index, selector in enumerate((device_class.get("spec") or {}).get("selectors") or ()):
            where = f"class {objects.name(device_class)}: selector #{index}"
            if not self._selectors.matches((selector.get("cel") or {}).get("expression") or "", device, where):
                return False
        return all(
            self._selectors.matches(expression, device, f"claim {claim.key}: selector #{index}")
            for index, expression in enumerate(request.selectors)
        )

    def _has_capacity(self, request: Request, device: Device) -> bool:
        taken = consumption(device, request.capacity)
        if taken is None:
            return False
        return has_room(device, taken, self._ledger.consumed(device.id), self._consuming.get(device.id, {}))

    def _take(self, index: int, request: Request, device: Device, pool: Pool, *, must: bool = False) -> Undo | None:
        """Give ``device`` to the claim; None where it cannot have it. With ``must`` a constraint that forbids it is an
        error: no other device would do."""
        if not self._is_free(index, request, device) or not self._has_capacity(request, device):
            return None
        if any(taint.get("effect") in _BLOCKING and not request.tolerates(taint) for taint in device.taints):
            return None
        needs_counters = bool(device.consumes) and not (device.is_shareable and self._is_shared(device))
        if needs_counters and not self._count(pool, device):
            return None
        if not self._join(index, request, device):
            if needs_counters:
                self._uncount(pool, device)
            if must:
                raise AllocationError(
                    f"claim {self._claims[index].key}, request {request.name}: cannot add device {'/'.join(device.id)} "
                    "because a claim constraint would not be satisfied"
                )
            return None
        given = self._share(index, request, device) if device.is_shareable else Given(request=request, device=device)
        self._given[index].append(given)
        if not device.is_shareable:
            self._taking.setdefault(device.id, set()).add(index)

        def undo() -> None:
            self._given[index].pop()
            for constraint in self._constraints[index]:
                constraint.give_back(request, device)
            if needs_counters:
                self._uncount(pool, device)
            if device.is_shareable:
                self._unshare(given)
            else:
                self._taking[device.id].discard(index)

        return undo

    def _is_free(self, index: int, request: Request, device: Device) -> bool:
        taking = self._taking.get(device.id, ())
        if request.is_admin:
            return device.is_shareable or index not in taking
        return not self._ledger.is_owned(device.id) and not taking

    def _join(self, index: int, request: Request, device: Device) -> bool:
        joined: list[Constraint] = []
        for constraint in self._constraints[index]:
            if not constraint.take(request, device):
                for earlier in joined:
                    earlier.give_back(request, device)
                return False
            joined.append(constraint)
        return True

    def _is_shared(self, device: Device) -> bool:
        return self._ledger.is_shared(device.id) or self._sharing[device.id] > 0

    def _share(self, index: int, request: Request, device: Device) -> Given:
        taken = consumption(device, request.capacity) or {}
        self._sharing[device.id] += 1
        self._consume(device.id, taken, 1)
        parts = (objects.uid(self._claims[index].obj), request.full_name, *device.id, str(self._sharing[device.id]))
        share_id = str(uuid.uuid5(_SHARES, "/".join(parts)))
        return Given(request=request, device=device, share_id=share_id, capacity=taken)

    def _unshare(self, given: Given) -> None:
        self._sharing[given.device.id] -= 1
        self._consume(given.device.id, given.capacity, -1)

    def _consume(self, device: DeviceID, taken: Mapping[str, str], sign: int) -> None:
        sums = self._consuming.setdefault(device, {})
        for name, amount in taken.items():
            sums[name] = sums.get(name, Fraction(0)) + sign * quantity(amount)

    # -- counters ----------------------------------------------------------------------------------------------------

    def _count(self, pool: Pool, device: Device) -> bool:
        """Take what ``device`` consumes of the pool's counters; False where not that much is left."""
        left = self._left.get(pool.id)
        if left is None:
            left = self._left[pool.id] = _counters_left(pool, self._ledger)
        counted = self._counted.setdefault(pool.id, Counter())
        amounts = dict(_amounts(device))
        if any(counted[counter] + amount > left[counter] for counter, amount in amounts.items()):
            return False
        counted.update(amounts)
        return True

    def _uncount(self, pool: Pool, device: Device) -> None:
        self._counted[pool.id].subtract(dict(_amounts(device)))


_BLOCKING = frozenset({"NoSchedule", "NoExecute"})
_SHARES = uuid.UUID("6c2b7a0e-7f0b-4c5e-9a8e-2f6d1f3f5075")
"""Name space of share ids: the same decision gives the same id."""


def _undo_all(undone: Sequence[Undo]) -> None:
    for undo in reversed(undone):
        undo()


def _amounts(device: Device) -> Iterator[tuple[tuple[str, str], Fraction]]:
    for counter_set, counters in device.consumes.items():
        for counter, amount in counters.items():
            yield (counter_set, counter), amount


def _counters_left(pool: Pool, ledger: Ledger) -> dict[tuple[str, str], Fraction]:
    left = {
        (counter_set, counter): amount
        for counter_set, counters in pool.counter_sets.items()
        for counter, amount in counters.items()
    }
    for device in (*pool.devices, *pool.elsewhere):
        if device.consumes and ledger.is_in_use(device.id):
            for counter, amount in _amounts(device):
                left[counter] -= amount
    return left
