"""ServiceAccount ``default``: every active namespace has one.

watches: Namespaces; ServiceAccounts named ``default``.
owns: nothing: a service account belongs to its namespace's users once it is there.
writes: ServiceAccounts (create).
invariants: never changes one that exists; creates none in a namespace that is being deleted.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.podcontrol import namespace_is_terminating
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, APIError
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES, SERVICEACCOUNTS, Resource

NAME = "serviceaccount-controller"
NAMESPACE_WATCH = Watch(resource=NAMESPACES)
SERVICEACCOUNT_WATCH = Watch(resource=SERVICEACCOUNTS, field_selector="metadata.name=default")
WATCHES = (NAMESPACE_WATCH, SERVICEACCOUNT_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """The service account to create, if any."""

    create: Object | None = None


def plan(namespace: Object, existing: Object | None) -> Plan:
    """``existing`` is the namespace's service account ``default``."""
    if existing is not None or (namespace.get("status") or {}).get("phase") != "Active":
        return Plan()
    metadata = {"name": "default", "namespace": objects.name(namespace)}
    return Plan(create={"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})


class ServiceAccountController:
    """Reconciles one Namespace by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._namespaces = context.informer(NAMESPACE_WATCH)
        self._accounts = context.informer(SERVICEACCOUNT_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is NAMESPACES:
            return (change.key,)
        return (objects.namespace(change.object),) if change.new is None else ()

    async def reconcile(self, key: str) -> Result:
        namespace = self._namespaces.get(key)
        if namespace is None:
            self._context.expectations.forget(key)
            return DONE
        todo = plan(namespace, self._accounts.get(objects.make_key(key, "default")))
        if todo.create is not None:
            try:
                created = await self._context.client.create(SERVICEACCOUNTS, todo.create)
            except AlreadyExists:
                return DONE
            except APIError as error:
                if namespace_is_terminating(error):
                    return DONE
                raise
            self._context.expectations.wrote(key, self._accounts, created)
        return DONE


def _conforms(context: Context) -> Controller:
    return ServiceAccountController(context)
