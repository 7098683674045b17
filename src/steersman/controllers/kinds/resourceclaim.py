"""Resource claims: made from templates for pods, reserved for pods that have a node, released when pods are done.

watches: Pods, by claim and by template; ResourceClaims, by owning pod; ResourceClaimTemplates.
owns: the ResourceClaims that it makes for pods.
writes: ResourceClaims (create, delete, finalizers) and their status, Pods/status (resourceClaimStatuses), Events.
invariants: one claim for each entry of a pod; a reservation goes only when the server itself says that the pod is gone, another
one, or done; with the last reservation goes the allocation; a claim of another owner is never used for a pod; a pod that is
done gets none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from steersman.client.api import APPLY_PATCH
from steersman.client.informer import Change
from steersman.controllers.podresourceclaims import (
    FINALIZER,
    POD_CLAIM,
    allocation,
    by_resource_claim,
    claim_name,
    entries,
    generated,
    is_done,
    is_reserved_for,
)
from steersman.controllers.pods import node_name
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.errors import APIError, Conflict, Invalid, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, RESOURCECLAIMS, RESOURCECLAIMTEMPLATES, Resource

NAME = "resourceclaim-controller"
POD = "pod:"
CLAIM = "claim:"
FIELD_MANAGER = "ResourceClaimController"
LONGEST_BASE = 57
"""Of a generated name: a hyphen and five random characters follow."""


def by_template(pod: Object) -> Iterable[str]:
    """Index: the claim templates that the pod names."""
    names = {entry.get("resourceClaimTemplateName") for entry in entries(pod)}
    return [objects.make_key(objects.namespace(pod), name) for name in names if name]


def by_owning_pod(claim: Object) -> Iterable[str]:
    """Index: uid of the pod that controls the claim."""
    owner = owning_pod(claim)
    return (owner["uid"],) if owner is not None else ()


def owning_pod(claim: Object) -> Object | None:
    """The reference to the pod that the claim was made for."""
    owner = objects.controller_of(claim)
    return owner if owner is not None and (owner["apiVersion"], owner["kind"]) == ("v1", "Pod") else None


POD_WATCH = Watch(resource=PODS, indexers={"resource-claim": by_resource_claim, "claim-template": by_template})
CLAIM_WATCH = Watch(resource=RESOURCECLAIMS, indexers={"owning-pod": by_owning_pod})
TEMPLATE_WATCH = Watch(resource=RESOURCECLAIMTEMPLATES)
WATCHES = (POD_WATCH, CLAIM_WATCH, TEMPLATE_WATCH)


class Plan(Struct, frozen=True, kw_only=True):
    """What to do about one claim whose reservations are checked; the fields that are set, in this order."""

    update_status: Object | None = None
    release: bool = False
    """Take the finalizer off: nothing is allocated any more."""
    delete: bool = False


def plan(claim: Object, remaining: Sequence[Object], owner: Object | None, *, owner_is_known: bool) -> Plan:
    """``remaining`` are the reservations that are still good. ``owner`` is the pod that has the name of the pod that the claim was
    made for, where there is one; ``owner_is_known``: the cache shows it."""
    status = claim.get("status") or {}
    reserved = status.get("reservedFor") or []
    is_held = FINALIZER in objects.finalizers(claim)
    wanted = {**status, "reservedFor": list(remaining)}
    is_over = not remaining and is_held and (bool(reserved) or objects.is_deleting(claim))
    if is_over:
        wanted.pop("allocation", None)
    changed = len(remaining) < len(reserved) or (is_over and "allocation" in status)
    reference = owning_pod(claim)
    is_unused = not remaining and reference is not None and owner_is_known and owner is not None
    return Plan(
        update_status={**claim, "status": wanted} if changed else None,
        release=is_held and not wanted.get("allocation") and (len(remaining) < len(reserved) or is_over),
        delete=is_unused
        and owner is not None
        and reference is not None
        and (objects.uid(owner) != reference["uid"] or is_done(owner)),
    )


def claim_from(template: Object, pod: Object, entry: Object) -> Object:
    """The claim to create for ``entry`` of ``pod``."""
    spec = template.get("spec") or {}
    stated = objects.metadata(spec)
    metadata: Object = {
        "generateName": base_name(objects.name(pod), entry["name"]),
        "namespace": objects.namespace(pod),
        "annotations": {**(stated.get("annotations") or {}), POD_CLAIM: entry["name"]},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": objects.name(pod),
                "uid": objects.uid(pod),
                "controller": True,
            }
        ],
    }
    if stated.get("labels"):
        metadata["labels"] = stated["labels"]
    return {
        "apiVersion": RESOURCECLAIMS.api_version,
        "kind": RESOURCECLAIMS.kind,
        "metadata": metadata,
        "spec": spec.get("spec") or {},
    }


def base_name(pod: str, entry: str) -> str:
    """``<pod>-<entry>-``, both parts cut in proportion where that is too long."""
    base = f"{pod}-{entry}-"
    if len(base) <= LONGEST_BASE:
        return base
    kept = pod[: len(pod) * LONGEST_BASE // len(base)]
    return f"{kept}-{entry[: len(entry) * LONGEST_BASE // len(base)]}"


class ResourceClaimController:
    """Reconciles one Pod by ``pod:<key>`` or one ResourceClaim by ``claim:<key>``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._pods = context.informer(POD_WATCH)
        self._claims = context.informer(CLAIM_WATCH)
        self._templates = context.informer(TEMPLATE_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        if resource is RESOURCECLAIMTEMPLATES:
            return [POD + objects.key_of(pod) for pod in self._pods.by_index("claim-template", change.key)]
        if resource is RESOURCECLAIMS:
            users = [POD + objects.key_of(pod) for pod in self._pods.by_index("resource-claim", change.key)]
            return users if change.new is None else [CLAIM + change.key, *users]
        pod = change.object
        claims = [CLAIM + key for key in by_resource_claim(pod)]
        if change.new is None:
            return claims
        if not entries(pod):
            return claims if is_done(pod) else ()
        return [POD + change.key, *(claims if is_done(pod) else ())]

    async def reconcile(self, key: str) -> Result:
        if key.startswith(POD):
            pod = self._pods.get(key.removeprefix(POD))
            if pod is None or objects.is_deleting(pod) or is_done(pod):
                self._context.expectations.forget(key)
                return DONE
            await self._sync_pod(key, pod)
            return DONE
        claim = self._claims.get(key.removeprefix(CLAIM))
        if claim is None:
            self._context.expectations.forget(key)
            return DONE
        await self._sync_claim(key, claim)
        return DONE

    async def _sync_pod(self, key: str, pod: Object) -> None:
        known = generated(pod)
        wanted = dict(known)
        for entry in entries(pod):
            try:
                made = await self._ensure(key, pod, entry)
            except APIError as error:
                message = f"PodResourceClaim {entry['name']}: {error.message}"
                self._context.events.event(
                    pod, PODS, type="Warning", reason="FailedResourceClaimCreation", message=message
                )
                raise
            if made:
                wanted[entry["name"]] = made
        if wanted != known:
            pod = await self._save_names(key, pod, wanted)
        if node_name(pod):
            await self._reserve(key, pod)

    async def _ensure(self, key: str, pod: Object, entry: Object) -> str:
        """The name of the claim that was made or found for ``entry``; empty where there is nothing to do. Raises ``APIError``."""
        template_name = entry.get("resourceClaimTemplateName")
        if not template_name:
            return ""
        if entry["name"] in generated(pod):
            name = generated(pod)[entry["name"]]
            if name is None:
                return ""
            claim = self._claims.get(objects.make_key(objects.namespace(pod), name))
            if claim is not None and objects.is_controlled_by(claim, pod):
                return ""
        for claim in self._claims.by_index("owning-pod", objects.uid(pod)):
            if objects.annotations(claim).get(POD_CLAIM) == entry["name"]:
                return objects.name(claim)
        template = self._templates.get(objects.make_key(objects.namespace(pod), template_name))
        if template is None:
            what = f'resourceclaimtemplate.resource.k8s.io "{template_name}" not found'
            raise Invalid(f'resource claim template "{template_name}": {what}')
        try:
            made = await self._client.create(RESOURCECLAIMS, claim_from(template, pod, entry))
        except APIError as error:
            raise Invalid(f"create ResourceClaim : {error.message}") from error
        self._context.expectations.wrote(key, self._claims, made)
        return objects.name(made)

    async def _save_names(self, key: str, pod: Object, names: dict[str, str | None]) -> Object:
        statuses = [
            {"name": entry, **({"resourceClaimName": name} if name else {})} for entry, name in sorted(names.items())
        ]
        applied = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": objects.name(pod), "namespace": objects.namespace(pod), "uid": objects.uid(pod)},
            "status": {"resourceClaimStatuses": statuses},
        }
        patched = await self._client.patch(
            PODS,
            objects.name(pod),
            applied,
            namespace=objects.namespace(pod),
            subresource="status",
            patch_type=APPLY_PATCH,
            field_manager=FIELD_MANAGER,
            force=True,
        )
        self._context.expectations.wrote(key, self._pods, patched)
        return patched

    async def _reserve(self, key: str, pod: Object) -> None:
        """The scheduler reserves what it places; this is for pods that got their node otherwise."""
        for entry in entries(pod):
            name = claim_name(pod, entry)
            claim = self._claims.get(objects.make_key(objects.namespace(pod), name)) if name else None
            if claim is None or not allocation(claim) or is_reserved_for(claim, pod) or is_done(pod):
                continue
            if entry.get("resourceClaimTemplateName") and not objects.is_controlled_by(claim, pod):
                continue
            status = claim["status"]
            consumer = {"resource": "pods", "name": objects.name(pod), "uid": objects.uid(pod)}
            reserved = {**status, "reservedFor": [*(status.get("reservedFor") or ()), consumer]}
            await self._save(key, {**claim, "status": reserved}, subresource="status")

    async def _sync_claim(self, key: str, claim: Object) -> None:
        reserved = (claim.get("status") or {}).get("reservedFor") or []
        remaining = [entry for entry in reserved if await self._is_good(claim, entry)]
        reference = owning_pod(claim)
        owner = None
        if reference is not None:
            owner = self._pods.get(objects.make_key(objects.namespace(claim), reference["name"]))
        todo = plan(claim, remaining, owner, owner_is_known=owner is not None)
        if todo.update_status is not None:
            claim = await self._save(key, todo.update_status, subresource="status")
        if todo.release:
            kept = [name for name in objects.finalizers(claim) if name != FINALIZER]
            claim = await self._save(key, objects.with_metadata(claim, finalizers=kept or None))
        if todo.delete and not objects.is_deleting(claim):
            try:
                await self._client.delete(
                    RESOURCECLAIMS, objects.name(claim), namespace=objects.namespace(claim), uid=objects.uid(claim)
                )
            except (NotFound, Conflict):
                return
            self._context.expectations.deleted(key, self._claims, claim)

    async def _is_good(self, claim: Object, reservation: Object) -> bool:
        """Whether it still holds. The server is asked about pods that the cache does not show; others than pods are kept."""
        if reservation.get("apiGroup") or reservation.get("resource") != "pods":
            return True
        name, namespace = reservation["name"], objects.namespace(claim)
        pod = self._pods.get(objects.make_key(namespace, name))
        if pod is None:
            try:
                pod = await self._client.get(PODS, name, namespace=namespace)
            except NotFound:
                return False
        return objects.uid(pod) == reservation.get("uid") and not is_done(pod)

    async def _save(self, key: str, claim: Object, *, subresource: str = "") -> Object:
        written = await self._client.update(RESOURCECLAIMS, claim, subresource=subresource)
        self._context.expectations.wrote(key, self._claims, written)
        return written


def _conforms(context: Context) -> Controller:
    return ResourceClaimController(context)
