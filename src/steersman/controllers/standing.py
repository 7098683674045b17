"""Events about a state that lasts: "waiting for first consumer" is true for hours, and told again while it is.

Upstream tells such things with every resync of the controller in question; here a state is told when it begins or its message
changes, and again once per period, so that a second reconcile at the same time writes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from msgspec import Struct

from steersman.controllers.runtime import Context
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

MEMORY_LIMIT = 4096


class Notice(Struct, frozen=True, kw_only=True):
    """What to tell of an object."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class StandingEvents:
    """Remembers the last ``MEMORY_LIMIT`` notices; one that is forgotten is told anew."""

    def __init__(self, context: Context, *, period_s: float) -> None:
        self._context = context
        self._period_s = period_s
        self._told: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def tell(self, obj: Object, resource: Resource, notice: Notice) -> None:
        now_s = self._context.clock.monotonic()
        key = (objects.uid(obj), notice.reason)
        message, due_s = self._told.get(key, ("", 0.0))
        if message == notice.message and now_s < due_s:
            return
        self._told[key] = (notice.message, now_s + self._period_s)
        self._told.move_to_end(key)
        if len(self._told) > MEMORY_LIMIT:
            self._told.popitem(last=False)
        self._context.events.event(
            obj, resource, type=notice.type, reason=notice.reason, message=notice.message
        )  # fmt: skip
