"""Token cleaner: removes bootstrap tokens when they expire.

watches: bootstrap token Secrets in kube-system.
owns: nothing.
writes: Secrets (delete).
invariants: a token without expiration stays; only that very Secret is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import bootstraptokens, objects
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import SECRETS, Resource

NAME = "token-cleaner-controller"
SECRET_WATCH = Watch(
    resource=SECRETS, namespace=bootstraptokens.NAMESPACE, field_selector=f"type={bootstraptokens.TYPE}"
)
WATCHES = (SECRET_WATCH,)


class Plan(Struct, frozen=True, kw_only=True):
    """When the Secret goes, epoch seconds; None: never."""

    delete_at_s: float | None = None


def plan(secret: Object) -> Plan:
    token = bootstraptokens.parse(secret)
    return Plan(delete_at_s=token.expires_s if token is not None else None)


class TokenCleanerController:
    """Reconciles one Secret by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._secrets = context.informer(SECRET_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (change.key,) if change.new is not None else ()

    async def reconcile(self, key: str) -> Result:
        secret = self._secrets.get(key)
        due_s = plan(secret).delete_at_s if secret is not None else None
        if secret is None or due_s is None:
            self._context.expectations.forget(key)
            return DONE
        wait_s = due_s - self._context.clock.now()
        if wait_s > 0:
            return Result(requeue_after_s=wait_s)
        try:
            await self._context.client.delete(
                SECRETS, objects.name(secret), namespace=objects.namespace(secret), uid=objects.uid(secret)
            )
        except (NotFound, Conflict):
            return DONE
        self._context.expectations.deleted(key, self._secrets, secret)
        return DONE


def _conforms(context: Context) -> Controller:
    return TokenCleanerController(context)
