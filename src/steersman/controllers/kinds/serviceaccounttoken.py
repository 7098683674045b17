"""Token secrets: a Secret of type ``kubernetes.io/service-account-token`` gets a token of the account that it names.

watches: Secrets of that type, by account; ServiceAccounts.
owns: the keys ``token``, ``ca.crt`` and ``namespace`` of those Secrets.
writes: Secrets (update; delete where their account is gone).
invariants: a token is never replaced while it is there; a Secret is deleted only after the server itself says that the account
is gone or is another one of that name.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.controllers.serviceaccounttoken import TokenSigner
from steersman.meta import objects
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import SECRETS, SERVICEACCOUNTS, Resource

NAME = "serviceaccount-token-controller"
TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"


def by_account(secret: Object) -> Iterable[str]:
    """Index: namespace/name of the service account that a token secret names."""
    account = objects.annotations(secret).get(ACCOUNT_NAME)
    return (objects.make_key(objects.namespace(secret), account),) if account else ()


SECRET_WATCH = Watch(resource=SECRETS, indexers={"account": by_account}, field_selector=f"type={TYPE}")
ACCOUNT_WATCH = Watch(resource=SERVICEACCOUNTS)
WATCHES = (SECRET_WATCH, ACCOUNT_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """What a token secret lacks."""

    delete: bool = False
    needs_token: bool = False
    needs_ca: bool = False
    needs_namespace: bool = False
    needs_uid: bool = False

    @property
    def changes(self) -> bool:
        return self.needs_token or self.needs_ca or self.needs_namespace or self.needs_uid


def plan(secret: Object, account: Object | None, ca_pem: bytes) -> Plan:
    """``account`` is the service account that ``secret`` names."""
    annotations, data = objects.annotations(secret), secret.get("data") or {}
    if objects.is_deleting(secret) or secret.get("type") != TYPE or not annotations.get(ACCOUNT_NAME):
        return Plan()
    uid = annotations.get(ACCOUNT_UID)
    if account is None or (uid and uid != objects.uid(account)):
        return Plan(delete=True)
    return Plan(
        needs_token=not data.get("token"),
        needs_ca=bool(ca_pem) and data.get("ca.crt") != base64.b64encode(ca_pem).decode(),
        needs_namespace=not data.get("namespace"),
        needs_uid=not uid,
    )


class ServiceAccountTokenController:
    """Reconciles one Secret by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._signer = TokenSigner(context.config.service_account_key_pem)
        self._ca_pem = context.config.root_ca_pem
        self._secrets = context.informer(SECRET_WATCH)
        self._accounts = context.informer(ACCOUNT_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is SECRETS:
            return (change.key,)
        return [objects.key_of(secret) for secret in self._secrets.by_index("account", change.key)]

    async def reconcile(self, key: str) -> Result:
        secret = self._secrets.get(key)
        if secret is None:
            self._context.expectations.forget(key)
            return DONE
        namespace, name = objects.split_key(key)
        account_name = objects.annotations(secret).get(ACCOUNT_NAME, "")
        account = self._accounts.get(objects.make_key(namespace, account_name))
        todo = plan(secret, account, self._ca_pem)
        if todo.delete:
            account = await self._live_account(namespace, account_name)
            todo = plan(secret, account, self._ca_pem)
        if todo.delete:
            await self._delete(key, secret)
        elif todo.changes and account is not None:
            updated = await self._context.client.update(SECRETS, self._completed(secret, account, todo, name))
            self._context.expectations.wrote(key, self._secrets, updated)
        return DONE

    async def _live_account(self, namespace: str, name: str) -> Object | None:
        try:
            return await self._context.client.get(SERVICEACCOUNTS, name, namespace=namespace)
        except NotFound:
            return None

    async def _delete(self, key: str, secret: Object) -> None:
        try:
            await self._context.client.delete(
                SECRETS, objects.name(secret), namespace=objects.namespace(secret), uid=objects.uid(secret)
            )
        except (NotFound, Conflict):
            return
        self._context.expectations.deleted(key, self._secrets, secret)

    def _completed(self, secret: Object, account: Object, todo: Plan, name: str) -> Object:
        namespace, account_name, account_uid = (
            objects.namespace(secret), objects.name(account), objects.uid(account),
        )  # fmt: skip
        data = dict(secret.get("data") or {})
        if todo.needs_token:
            token = self._signer.token(namespace=namespace, account=account_name, account_uid=account_uid, secret=name)
            data["token"] = base64.b64encode(token.encode()).decode()
        if todo.needs_ca:
            data["ca.crt"] = base64.b64encode(self._ca_pem).decode()
        if todo.needs_namespace:
            data["namespace"] = base64.b64encode(namespace.encode()).decode()
        annotations = {**objects.annotations(secret), ACCOUNT_NAME: account_name, ACCOUNT_UID: account_uid}
        return {**objects.with_metadata(secret, annotations=annotations), "data": data}


def _conforms(context: Context) -> Controller:
    return ServiceAccountTokenController(context)
