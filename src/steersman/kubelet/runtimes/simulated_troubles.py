"""What is wrong with a simulated node's runtime as a whole, for a test to set and mend."""

from __future__ import annotations

from msgspec import Struct

from steersman.kubelet.runtimes.api import RuntimeCondition


class Troubles(Struct):
    """Each is a reason; empty: all is well."""

    network: str = ""
    """The node's network is not ready."""
    stopping: str = ""
    """No container can be stopped."""

    def conditions(self) -> tuple[RuntimeCondition, ...]:
        reason = "Simulated" if self.network else ""
        return (
            RuntimeCondition(type="RuntimeReady", status=True),
            RuntimeCondition(type="NetworkReady", status=not self.network, reason=reason, message=self.network),
        )
