"""Volumes and claims as the binder knows and writes them: every write is seen by the next read."""

from __future__ import annotations

from typing import Any

from steersman.client.api import Client
from steersman.client.informer import Informer
from steersman.controllers.latest import Latest
from steersman.controllers.volumebinding import ClaimPhase, claim_in_phase, volume_in_phase
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES


class StorageObjects:
    """``save_*`` write ``new`` unless it is ``old``, and return what is there then."""

    def __init__(self, client: Client, *, volumes: Informer, claims: Informer) -> None:
        self._client = client
        self.volumes = Latest(volumes)
        self.claims = Latest(claims)

    async def save_volume(self, old: Object, new: Object, **how: Any) -> Object:
        if new is old or new == old:
            return old
        written = await self._client.update(PERSISTENTVOLUMES, new, **how)
        self.volumes.wrote(written)
        return written

    async def save_claim(self, old: Object, new: Object, **how: Any) -> Object:
        if new is old or new == old:
            return old
        written = await self._client.update(PERSISTENTVOLUMECLAIMS, new, **how)
        self.claims.wrote(written)
        return written

    async def set_volume_phase(self, volume: Object, phase: str, message: str = "") -> Object:
        return await self.save_volume(volume, volume_in_phase(volume, phase, message), subresource="status")

    async def set_claim_phase(self, claim: Object, phase: ClaimPhase, volume: Object | None) -> Object:
        return await self.save_claim(claim, claim_in_phase(claim, phase, volume), subresource="status")
