"""CEL selectors of device classes and requests: what is known of which device."""

from __future__ import annotations

from steersman.scheduler.devices.slices import Device

VERDICT_LIMIT = 200_000


class Selectors:
    """Verdicts about devices, remembered: a device never changes, a new version of its slice has new ones.

    Bound: ``VERDICT_LIMIT`` verdicts; then all are forgotten.
    """

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, int], tuple[Device, bool]] = {}

    def matches(self, expression: str, device: Device, where: str) -> bool:
        """``where`` names the selector in errors. Raises ``AllocationError``."""
        key = (expression, id(device))
        known = self._verdicts.get(key)
        if known is not None and known[0] is device:
            return known[1]
        from steersman.scheduler.devices.expressions import evaluate

        verdict = evaluate(expression, device, where)
        if len(self._verdicts) >= VERDICT_LIMIT:
            self._verdicts.clear()
        self._verdicts[key] = (device, verdict)
        return verdict
