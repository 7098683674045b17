"""The admission plugins of one API server, run in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from steersman.apiserver.admission.api import AdmissionPlugin, AdmissionRequest


class AdmissionChain:
    """First every mutating plugin, then (after validation) every validating one, each in the order given.

    A plugin that does both is in both lists.
    """

    def __init__(self, plugins: Sequence[AdmissionPlugin] = ()) -> None:
        self._mutating: list[tuple[str, Callable[[AdmissionRequest], Any]]] = []
        self._validating: list[tuple[str, Callable[[AdmissionRequest], Any]]] = []
        for plugin in plugins:
            mutate = getattr(plugin, "mutate", None)
            if mutate is not None:
                self._mutating.append((plugin.NAME, mutate))
            validate = getattr(plugin, "validate", None)
            if validate is not None:
                self._validating.append((plugin.NAME, validate))

    async def mutate(self, request: AdmissionRequest) -> bool:
        """Run the mutating plugins; whether one of them replaced ``request.obj``."""
        changed = False
        for _, mutate in self._mutating:
            replacement = await mutate(request)
            if replacement is not None:
                request.obj = replacement
                changed = True
        return changed

    async def validate(self, request: AdmissionRequest) -> None:
        for _, validate in self._validating:
            await validate(request)
