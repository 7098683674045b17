"""Devices: administrative access needs a label on the namespace, allocation and reports need permissions of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from steersman.apiserver.admission.resourceclaimaccess import NODE_NAME, ResourceClaimAccess
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Decision
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES, RESOURCECLAIMS, RESOURCECLAIMTEMPLATES
from tests.apiserver.admission.asking import asked, refusal
from tests.apiserver.readers import ListedObjects

LABEL = {"resource.kubernetes.io/admin-access": "true"}
DRIVER_ACCOUNT = "system:serviceaccount:drivers:gpu"


@dataclass(slots=True, kw_only=True)
class Allowing:
    """Allows what is listed as ``verb subresource name``."""

    allowed: tuple[str, ...]
    asked: list[str] = field(default_factory=list)

    async def authorize(self, attributes: Attributes) -> Decision:
        self.asked.append(f"{attributes.verb} {attributes.subresource} {attributes.name}".strip())
        return Decision(allowed=self.asked[-1] in self.allowed, reason="not in the list")


def access(*allowed: str, labels: dict[str, str] | None = None) -> ResourceClaimAccess:
    namespace = {"metadata": {"name": "default", "labels": labels or {}}}
    return ResourceClaimAccess(ListedObjects([(NAMESPACES, namespace)]), Allowing(allowed=allowed))


def claim(status: Object | None = None, *, admin: bool = False) -> Object:
    exactly = {"deviceClassName": "gpu", **({"adminAccess": True} if admin else {})}
    spec = {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}
    return {"metadata": {"name": "c", "namespace": "default"}, "spec": spec, "status": status or {}}


def allocation(*, node_name: str = "", admin: bool = False) -> Object:
    result = {"request": "r", "driver": "gpu.example.com", "pool": "p", "device": "d"}
    found: Object = {"devices": {"results": [result | ({"adminAccess": True} if admin else {})]}}
    if node_name:
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node_name]}]}
        found["nodeSelector"] = {"nodeSelectorTerms": [term]}
    return found


def report(driver: str = "gpu.example.com", **fields: Any) -> Object:
    return {"driver": driver, "pool": "p", "device": "d", **fields}


async def status_update(plugin: ResourceClaimAccess, new: Object, old: Object, **fields: Any) -> str:
    request = asked(RESOURCECLAIMS, claim(new), claim(old), subresource="status", verb="update")
    for name, value in fields.items():
        setattr(request, name, value)
    return await refusal(plugin, request)


class TestAdministrativeAccess:
    async def test_is_only_for_labelled_namespaces(self) -> None:
        why = (
            'ResourceClaim.resource.k8s.io "c" is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access to '
            "devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"
        )
        assert await refusal(access(), asked(RESOURCECLAIMS, claim(admin=True))) == why
        assert await refusal(access(labels=LABEL), asked(RESOURCECLAIMS, claim(admin=True))) == ""
        assert await refusal(access(), asked(RESOURCECLAIMS, claim())) == ""

    async def test_of_templates_is_judged_the_same(self) -> None:
        template = {"metadata": {"name": "t", "namespace": "default"}, "spec": {"spec": claim(admin=True)["spec"]}}
        assert "requires the `resource" in await refusal(access(), asked(RESOURCECLAIMTEMPLATES, template))
        assert await refusal(access(labels=LABEL), asked(RESOURCECLAIMTEMPLATES, template)) == ""

    async def test_needs_a_namespace_to_look_at(self) -> None:
        plugin = ResourceClaimAccess(ListedObjects(), Allowing(allowed=()))
        assert 'could not retrieve namespace to verify admin access: namespaces "default" not found' in await refusal(
            plugin, asked(RESOURCECLAIMS, claim(admin=True))
        )

    async def test_cannot_be_slipped_in_by_an_allocation(self) -> None:
        new = {"allocation": allocation(admin=True)}
        assert "status.allocation.devices.results[0].adminAccess: Forbidden" in await status_update(
            access("update binding"), new, {}
        )
        assert await status_update(access("update binding", labels=LABEL), new, {}) == ""
        assert await status_update(access(), new, new) == ""


class TestAllocation:
    async def test_needs_the_permission_to_bind(self) -> None:
        why = (
            'ResourceClaim.resource.k8s.io "c" is invalid: status.allocation: Forbidden: changing status.allocation or '
            'status.reservedFor requires resource="resourceclaims/binding", verb="update" permission: '
            'resourceclaims.resource.k8s.io is forbidden: User "joe" cannot update resource "resourceclaims/binding" in API '
            'group "resource.k8s.io" at the cluster scope: not in the list'
        )
        assert await status_update(access(), {"allocation": allocation()}, {}) == why
        assert await status_update(access("update binding"), {"allocation": allocation()}, {}) == ""

    async def test_reservation_does_too(self) -> None:
        reserved = {"allocation": allocation(), "reservedFor": [{"resource": "pods", "name": "a", "uid": "1"}]}
        assert "requires resource" in await status_update(access(), reserved, {"allocation": allocation()})

    async def test_asks_for_the_verb_of_the_request(self) -> None:
        new = {"allocation": allocation()}
        assert 'verb="patch"' in await status_update(access("update binding"), new, {}, verb="patch")
        assert await status_update(access("patch binding"), new, {}, verb="patch") == ""


class TestReports:
    async def test_need_the_permission_for_the_driver(self) -> None:
        old: Object = {"allocation": allocation(node_name="n")}
        new = old | {"devices": [report()]}
        assert 'changing status.devices requires resource="resourceclaims/driver", verb="[arbitrary-node:update]"' in (
            await status_update(access(), new, old)
        )
        assert await status_update(access("arbitrary-node:update driver gpu.example.com"), new, old) == ""

    async def test_of_a_driver_on_the_node_need_less(self) -> None:
        old: Object = {"allocation": allocation(node_name="n")}
        new = old | {"devices": [report()]}
        plugin = access("associated-node:update driver gpu.example.com")
        there = User(name=DRIVER_ACCOUNT, extra={NODE_NAME: ("n",)})
        elsewhere = User(name=DRIVER_ACCOUNT, extra={NODE_NAME: ("m",)})
        assert await status_update(plugin, new, old, user=there) == ""
        assert "[arbitrary-node:update]" in await status_update(plugin, new, old, user=elsewhere)
        assert await status_update(plugin, new, old, user=User(name="joe", extra=there.extra)) != ""

    async def test_that_did_not_change_need_nothing(self) -> None:
        old: Object = {"allocation": allocation(), "devices": [report()]}
        assert await status_update(access(), old, old) == ""

    async def test_are_judged_driver_by_driver(self) -> None:
        old: Object = {"allocation": allocation(), "devices": [report(), report("other.example.com")]}
        new = old | {"devices": [report(data={"ready": True})]}
        plugin = access("arbitrary-node:update driver gpu.example.com")
        refused = await status_update(plugin, new, old)
        assert refused.count("changing status.devices") == 1
        assert '"other.example.com" is forbidden' in refused
