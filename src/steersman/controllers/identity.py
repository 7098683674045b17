"""Each controller as its own service account, so that what it may do is what upstream's bootstrap roles give it.

Upstream's ``--use-service-account-credentials``: the manager's own identity may create service accounts in kube-system and
request tokens for them; a token is renewed when four fifths of its life are over.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.client.transport import Transport, Unreachable
from steersman.meta import times
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES, SERVICEACCOUNTS
from steersman.meta.wire import Request, Response

NAMESPACE = "kube-system"
TOKEN_LIFE_S = 3600


class ServiceAccountTransport:
    """Sends requests over ``anonymous`` (a transport without credentials) with a token of one service account."""

    def __init__(self, root: Client, anonymous: Transport, account: str, *, clock: Clock) -> None:
        self._root = root
        self._transport = anonymous
        self._account = account
        self._clock = clock
        self._token = ""
        self._renew_at_s = 0.0
        self._renewing = asyncio.Lock()

    async def send(self, request: Request) -> Response:
        return await self._transport.send(await self._authorized(request))

    async def open(self, request: Request) -> Response:
        return await self._transport.open(await self._authorized(request))

    async def close(self) -> None:
        """The shared transport stays open: others use it."""

    async def _authorized(self, request: Request) -> Request:
        if self._clock.now() >= self._renew_at_s:
            async with self._renewing:
                if self._clock.now() >= self._renew_at_s:
                    await self._renew()
        return replace(request, headers={**request.headers, "authorization": f"Bearer {self._token}"})

    async def _renew(self) -> None:
        wanted: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_LIFE_S},
        }
        try:
            answer = await self._request_token(wanted)
        except APIError as error:
            raise Unreachable(f"no token for service account {NAMESPACE}/{self._account}: {error.message}") from error
        status = answer["status"]
        self._token = status["token"]
        now_s = self._clock.now()
        self._renew_at_s = now_s + (times.parse_time(status["expirationTimestamp"]) - now_s) * 0.8

    async def _request_token(self, wanted: Object) -> Object:
        try:
            return await self._token_of(wanted)
        except NotFound:
            await self._make_account()
            return await self._token_of(wanted)

    async def _token_of(self, wanted: Object) -> Object:
        return await self._root.create(
            SERVICEACCOUNTS, wanted, namespace=NAMESPACE, name=self._account, subresource="token"
        )

    async def _make_account(self) -> None:
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": self._account, "namespace": NAMESPACE},
        }
        try:
            await self._root.create(SERVICEACCOUNTS, account)
        except AlreadyExists:
            return
        except NotFound:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            await self._root.create(NAMESPACES, namespace)
            await self._root.create(SERVICEACCOUNTS, account)


def _conforms(root: Client, anonymous: Transport, clock: Clock) -> Transport:
    return ServiceAccountTransport(root, anonymous, "deployment-controller", clock=clock)
