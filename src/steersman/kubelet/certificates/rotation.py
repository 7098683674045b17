"""Keeps one of the kubelet's certificates valid: asks for the next one when most of the current one's time is over."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.client.transport import Unreachable
from steersman.kubelet.certificates.pair import CertificatePair, PairError, PairStore, new_key
from steersman.kubelet.certificates.signing_requests import (
    SERVING_SIGNER,
    RequestFailed,
    Template,
    request_certificate,
)
from steersman.meta.errors import APIError

EARLIEST, SPREAD = 0.7, 0.2
"""Rotation is due after 70 to 90 % of a certificate's time, so that nodes do not all ask at once."""
TEMPLATE_CHECK_S: Final = 10.0
"""How often the node's addresses are compared with those in its serving certificate."""
SUSPENSION_CHECK_S: Final = 600.0
"""A machine that slept wakes up with less time left than it knows."""
FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 128.0
BETWEEN_S: Final = 1.0
"""At least, between two rotations: a signer may date certificates back, and one that lives shortly be due at once."""
log = logging.getLogger(__name__)


class CertificateManager:
    """``adopted`` is called with each pair that is to be used from now on."""

    def __init__(
        self,
        *,
        signer: str,
        template: Callable[[], Template | None],
        store: PairStore,
        client: Callable[[], Client],
        clock: Clock,
        rng: random.Random,
        adopted: Callable[[CertificatePair], None],
        failed: Callable[[], None] = lambda: None,
        rotated: Callable[[float], None] = lambda lived_s: None,
    ) -> None:
        """``failed`` and ``rotated`` count; the latter gets how long the certificate before was in use."""
        self._signer = signer
        self._template = template
        self._store = store
        self._client = client
        self._clock = clock
        self._rng = rng
        self._adopted = adopted
        self._failed = failed
        self._rotated = rotated
        self.current: CertificatePair | None = None

    def load(self) -> CertificatePair | None:
        """The pair from disk, taken into use; None where there is none that can be read."""
        try:
            self.current = self._store.load()
        except (PairError, OSError) as error:
            log.warning("%s: %s", self._store.current_path, error)
        if self.current is not None:
            self._adopted(self.current)
        return self.current

    def ttl_s(self) -> float:
        """Until the current certificate is over; infinite without one."""
        return float("inf") if self.current is None else self.current.not_after_s - self._clock.now()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wait_until_due()
            await self._rotate_until_done()
            await self._clock.sleep(BETWEEN_S)

    async def _wait_until_due(self) -> None:
        share = EARLIEST + SPREAD * self._rng.random()
        while True:
            template, current = self._template(), self.current
            if template is not None:
                if current is None or not template.fits(current.leaf):
                    return
                due_s = current.not_before_s + (current.not_after_s - current.not_before_s) * share
                if self._clock.now() >= due_s:
                    return
                check_s = TEMPLATE_CHECK_S if self._signer == SERVING_SIGNER else SUSPENSION_CHECK_S
                await self._clock.sleep(min(due_s - self._clock.now(), check_s))
            else:
                await self._clock.sleep(1.0)

    async def _rotate_until_done(self) -> None:
        delay_s = FIRST_RETRY_S
        while (template := self._template()) is not None:
            try:
                await self.rotate(template)
                return
            except (RequestFailed, APIError, Unreachable, OSError) as error:
                log.warning("certificate of %s is not renewed: %s", self._signer, error)
                self._failed()
            await self._clock.sleep(delay_s * (1 + 0.1 * self._rng.random()))
            delay_s = min(delay_s * 2, LONGEST_RETRY_S)

    async def rotate(self, template: Template) -> CertificatePair:
        """Ask for a new one and use it. Raises ``RequestFailed``, ``APIError``, ``Unreachable`` or ``OSError``."""
        key = new_key()
        log.info("asking for a certificate of %s", self._signer)
        pair = await request_certificate(self._client(), template, key, signer=self._signer, clock=self._clock)
        self._store.save(pair, now_s=self._clock.now())
        if self.current is not None:
            self._rotated(self._clock.now() - self.current.not_before_s)
        self.current = pair
        self._adopted(pair)
        return pair
