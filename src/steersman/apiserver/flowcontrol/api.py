"""What the flow control filter asks of whoever limits requests."""

from __future__ import annotations

from typing import Protocol

from steersman.apiserver.call import Call
from steersman.meta.wire import Response


class Refused(Exception):
    """There is no room for the request; ``retry_after_s`` is when its client may come again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"refused for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Pass(Protocol):
    """What a request holds from its arrival until its seats are free."""

    @property
    def is_waiting(self) -> bool:
        """Its turn has not come yet."""

    async def turn(self) -> None:
        """Wait for it. Raises ``Refused`` where that takes too long; then, and when cancelled, nothing is held any more."""

    def give_back(self) -> None:
        """The request has been answered."""


class FlowController(Protocol):
    """Gives requests seats, makes them wait, or refuses them."""

    def enter(self, call: Call) -> Pass | None:
        """A request arrives; None where nothing limits it. Raises ``Refused``."""

    def watching(self, call: Call, response: Response) -> None:
        """A watch was set up: it costs no seat, but writes cost more while it lasts."""
