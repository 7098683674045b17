"""ConfigMap ``kube-root-ca.crt``: every namespace has the CA bundle by which its pods know the API server.

watches: Namespaces; ConfigMaps named ``kube-root-ca.crt``.
owns: those ConfigMaps.
writes: ConfigMaps (create, update).
invariants: the data is exactly the configured bundle; other annotations and labels on the ConfigMap stay.
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
from steersman.meta.resources import CONFIGMAPS, NAMESPACES, Resource

NAME = "root-ca-certificate-publisher-controller"
CONFIGMAP_NAME = "kube-root-ca.crt"
NAMESPACE_WATCH = Watch(resource=NAMESPACES)
CONFIGMAP_WATCH = Watch(resource=CONFIGMAPS, field_selector=f"metadata.name={CONFIGMAP_NAME}")
WATCHES = (NAMESPACE_WATCH, CONFIGMAP_WATCH)

DESCRIPTION_ANNOTATION = "kubernetes.io/description"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal "
    "service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


class Plan(Struct, frozen=True, kw_only=True):
    """At most one of the two."""

    create: Object | None = None
    update: Object | None = None


def plan(namespace: Object, existing: Object | None, ca_pem: str) -> Plan:
    """``existing`` is the namespace's ConfigMap of that name."""
    if (namespace.get("status") or {}).get("phase") != "Active":
        return Plan()
    data = {"ca.crt": ca_pem}
    if existing is None:
        metadata = {
            "name": CONFIGMAP_NAME,
            "namespace": objects.name(namespace),
            "annotations": {DESCRIPTION_ANNOTATION: DESCRIPTION},
        }
        return Plan(create={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    annotations = objects.annotations(existing)
    if existing.get("data") == data and annotations.get(DESCRIPTION_ANNOTATION):
        return Plan()
    described = objects.with_metadata(existing, annotations={**annotations, DESCRIPTION_ANNOTATION: DESCRIPTION})
    return Plan(update={**described, "data": data})


class RootCAPublisher:
    """Reconciles one Namespace by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ca_pem = context.config.root_ca_pem.decode()
        self._namespaces = context.informer(NAMESPACE_WATCH)
        self._configmaps = context.informer(CONFIGMAP_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (change.key,) if resource is NAMESPACES else (objects.namespace(change.object),)

    async def reconcile(self, key: str) -> Result:
        namespace = self._namespaces.get(key)
        if namespace is None:
            self._context.expectations.forget(key)
            return DONE
        todo = plan(namespace, self._configmaps.get(objects.make_key(key, CONFIGMAP_NAME)), self._ca_pem)
        client, written = self._context.client, None
        try:
            if todo.create is not None:
                written = await client.create(CONFIGMAPS, todo.create)
            elif todo.update is not None:
                written = await client.update(CONFIGMAPS, todo.update)
        except AlreadyExists:
            return DONE
        except APIError as error:
            if namespace_is_terminating(error):
                return DONE
            raise
        if written is not None:
            self._context.expectations.wrote(key, self._configmaps, written)
        return DONE


def _conforms(context: Context) -> Controller:
    return RootCAPublisher(context)
