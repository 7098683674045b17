"""``extension-apiserver-authentication`` in ``kube-system``: by what extension API servers know clients and this server.

What several servers of one cluster say is combined; authorities stay until they end, so that one server's new authority does not
lock out what the others' old one has certified. Source: upstream's cluster authentication trust controller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec

from steersman.aio.backoff import Backoff
from steersman.aio.broadcast import Overrun
from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.meta.errors import AlreadyExists, APIError, Conflict, NotFound
from steersman.meta.resources import CONFIGMAPS
from steersman.store.api import CompactedError, StoreUnavailable
from steersman.store.objects import ObjectStore

log = logging.getLogger(__name__)

NAME, NAMESPACE = "extension-apiserver-authentication", "kube-system"
KEY = f"/registry/configmaps/{NAMESPACE}/{NAME}"
INTERVAL_S = 60.0
EXPIRY_SLACK_S = 300.0
_AUTHORITIES = ("client-ca-file", "requestheader-client-ca-file")


class ClusterAuthentication:
    """Keeps the ConfigMap saying at least ``required``."""

    def __init__(self, client: Client, objects: ObjectStore, required: Mapping[str, str], *, clock: Clock) -> None:
        self._client = client
        self._objects = objects
        self._required = required
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled: whenever the ConfigMap changes, and once in a while."""
        backoff = Backoff(initial_s=0.1, cap_s=30.0)
        while True:
            changes = self._objects.watch(KEY, start_revision=None)
            try:
                await self.reconcile()
                backoff.reset()
                await self._clock.wait_for(changes.__anext__(), INTERVAL_S)
            except (TimeoutError, CompactedError, Overrun):
                continue
            except (APIError, StoreUnavailable) as error:
                log.warning("%s/%s could not be written: %s", NAMESPACE, NAME, error)
                await self._clock.sleep(backoff.next())
            except StopAsyncIteration:
                await asyncio.Event().wait()  # the store is closed
            finally:
                changes.close()

    async def reconcile(self) -> None:
        """Raises ``APIError`` and ``StoreUnavailable``."""
        while True:
            try:
                current = await self._client.get(CONFIGMAPS, NAME, namespace=NAMESPACE)
            except NotFound:
                current = {"metadata": {"name": NAME, "namespace": NAMESPACE}}
            data = current.get("data") or {}
            combined = combine(data, self._required, self._clock.now())
            try:
                if combined == data:
                    return
                if "uid" not in current["metadata"]:
                    await self._client.create(CONFIGMAPS, {**current, "data": combined})
                else:
                    await self._client.update(CONFIGMAPS, {**current, "data": combined})
            except (AlreadyExists, Conflict, NotFound):
                continue  # another server was quicker
            return


def combine(present: Mapping[str, str], required: Mapping[str, str], now_s: float) -> dict[str, str]:
    """What both say, without authorities that have ended."""
    combined = {name: value for name, value in present.items() if name not in required}
    for name, value in required.items():
        if name in _AUTHORITIES:
            combined[name] = _authorities(present.get(name, "") + "\n" + value, now_s)
        else:
            combined[name] = msgspec.json.encode([*dict.fromkeys((*_list(present.get(name)), *_list(value)))]).decode()
    return combined


def _list(text: str | None) -> list[str]:
    try:
        return msgspec.json.decode(text or "[]", type=list[str])
    except msgspec.DecodeError:  # somebody wrote nonsense there; it helps nobody to keep it
        return []


def _authorities(pems: str, now_s: float) -> str:
    """Each certificate once, in order."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    found: dict[bytes, bytes] = {}
    for block in pems.split("-----BEGIN CERTIFICATE-----")[1:]:
        text = "-----BEGIN CERTIFICATE-----" + block.partition("-----END CERTIFICATE-----")[0]
        try:
            certificate = x509.load_pem_x509_certificate(f"{text}-----END CERTIFICATE-----\n".encode())
        except ValueError:
            continue
        if certificate.not_valid_after_utc.timestamp() > now_s - EXPIRY_SLACK_S:
            found[certificate.public_bytes(Encoding.DER)] = certificate.public_bytes(Encoding.PEM)
    return b"".join(found.values()).decode()
