"""Plugins that look at other objects: namespaces, owners, services, claims, Events; and those that look at nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.alwaysadmit import AlwaysAdmit, AlwaysDeny
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.denyserviceexternalips import DenyServiceExternalIPs
from steersman.apiserver.admission.eventratelimit import EventLimit, EventRateLimit, event_limits
from steersman.apiserver.admission.namespaceautoprovision import NamespaceAutoProvision, NamespaceExists
from steersman.apiserver.admission.ownerreferencespermissionenforcement import OwnerReferencesPermissionEnforcement
from steersman.apiserver.admission.persistentvolumeclaimresize import PersistentVolumeClaimResize
from steersman.apiserver.admission.storageobjectinuseprotection import StorageObjectInUseProtection
from steersman.apiserver.authz.api import Attributes, Decision
from steersman.client.api import Client
from steersman.meta.errors import Forbidden, TooManyRequests
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    EVENTS,
    NAMESPACES,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    REPLICASETS,
    SERVICES,
    STORAGECLASSES,
    VOLUMEATTRIBUTESCLASSES,
    Resource,
)
from tests.apiserver.admission.asking import asked, mutated, refusal
from tests.apiserver.builders import config_map, pod
from tests.apiserver.readers import ListedObjects, named


async def test_the_oldest_plugins_admit_or_deny_everything() -> None:
    assert await refusal(AlwaysAdmit(), asked(CONFIGMAPS, config_map())) == ""
    why = 'configmaps "a" is forbidden: admission control is denying all modifications'
    assert await refusal(AlwaysDeny(), asked(CONFIGMAPS, config_map())) == why
    with pytest.raises(Forbidden, match="denying all modifications"):
        await AlwaysDeny().mutate(asked(CONFIGMAPS, config_map(), operation="DELETE"))


class TestNamespaces:
    async def test_a_missing_namespace_is_made(self, client: Client) -> None:
        plugin = NamespaceAutoProvision(ListedObjects(), client)
        assert await plugin.mutate(asked(CONFIGMAPS, config_map(namespace="new"), dry_run=True)) is None
        assert "new" not in {entry["metadata"]["name"] for entry in (await client.list(NAMESPACES)).items}
        for _ in range(2):
            assert await plugin.mutate(asked(CONFIGMAPS, config_map(namespace="new"))) is None
        assert (await client.get(NAMESPACES, "new"))["status"] == {"phase": "Active"}

    async def test_a_name_that_no_namespace_can_have_is_forbidden(self, client: Client) -> None:
        plugin = NamespaceAutoProvision(ListedObjects(), client)
        with pytest.raises(Forbidden, match='configmaps "a" is forbidden: Namespace "A_B" is invalid'):
            await plugin.mutate(asked(CONFIGMAPS, config_map(namespace="A_B")))

    async def test_a_missing_namespace_is_not_found(self) -> None:
        plugin = NamespaceExists(ListedObjects([(NAMESPACES, named("here"))]))
        for operation in ("CREATE", "UPDATE", "DELETE"):
            request = asked(CONFIGMAPS, config_map(namespace="gone"), operation=operation)
            assert await refusal(plugin, request) == 'namespaces "gone" not found'
        assert await refusal(plugin, asked(CONFIGMAPS, config_map(namespace="here"))) == ""
        assert await refusal(plugin, asked(NAMESPACES, named("gone"))) == ""
        assert await refusal(plugin, asked(PODS, pod(namespace="gone"), operation="CONNECT")) == ""


async def test_external_ips_are_only_kept() -> None:
    plugin = DenyServiceExternalIPs()

    def service(*addresses: str) -> Object:
        return named("s", "default", spec={"externalIPs": list(addresses)})

    why = 'services "s" is forbidden: Use of external IPs is denied by admission control'
    assert await refusal(plugin, asked(SERVICES, service("1.1.1.1"))) == why
    assert await refusal(plugin, asked(SERVICES, service("1.1.1.1", "2.2.2.2"), service("1.1.1.1"))) == why
    assert await refusal(plugin, asked(SERVICES, service("1.1.1.1"), service("2.2.2.2", "1.1.1.1"))) == ""
    assert await refusal(plugin, asked(SERVICES, service())) == ""
    assert await refusal(plugin, asked(SERVICES, service("1.1.1.1"), service(), subresource="status")) == ""


class TestClaims:
    plugin = PersistentVolumeClaimResize(
        ListedObjects(
            [
                (STORAGECLASSES, named("grows", allowVolumeExpansion=True)),
                (STORAGECLASSES, named("stays", allowVolumeExpansion=False)),
            ]
        )
    )
    FIXED = (
        'persistentvolumeclaims "c" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that '
        "provisions the pvc must support resize"
    )

    @staticmethod
    def claim(size: str, class_name: str | None = "grows", phase: str = "Bound") -> Object:
        spec: Object = {"resources": {"requests": {"storage": size}}}
        if class_name is not None:
            spec["storageClassName"] = class_name
        return named("c", "default", spec=spec, status={"phase": phase})

    @pytest.mark.parametrize(
        ("new", "old", "why"),
        [
            (claim("2Gi"), claim("1Gi"), ""),
            (claim("1024Mi", "stays"), claim("1Gi", "stays"), ""),
            (claim("1Gi", "stays"), claim("2Gi", "stays"), ""),
            (claim("2Gi", "stays"), claim("1Gi", "stays"), FIXED),
            (claim("2Gi", "absent"), claim("1Gi", "absent"), FIXED),
            (claim("2Gi", None), claim("1Gi", None), FIXED),
            (claim("2Gi", ""), claim("1Gi", ""), FIXED),
            (claim("2Gi"), claim("1Gi", "stays"), FIXED),
            (
                claim("2Gi"),
                claim("1Gi", phase="Pending"),
                'persistentvolumeclaims "c" is forbidden: Only bound persistent volume claims can be expanded',
            ),
        ],
    )
    async def test_growth_needs_a_bound_claim_of_a_class_that_grows(self, new: Object, old: Object, why: str) -> None:
        assert await refusal(self.plugin, asked(PERSISTENTVOLUMECLAIMS, new, old)) == why

    async def test_what_is_in_use_gets_its_finalizer(self) -> None:
        plugin = StorageObjectInUseProtection()
        changed = await mutated(plugin, asked(VOLUMEATTRIBUTESCLASSES, named("gold")))
        assert changed["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]


class _Allowing:
    """An authorizer with a list of what is allowed, as ``verb resource[/subresource] name``."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    async def authorize(self, attributes: Attributes) -> Decision:
        resource = "/".join(filter(None, (attributes.resource, attributes.subresource)))
        text = f"{attributes.verb} {resource} {attributes.name}"
        return Decision(allowed=text in self.allowed, reason=f"may not {text}")


class _Kinds:
    """ReplicaSets are the only kind that can be found by its name."""

    def resource_of(self, api_version: str, kind: str) -> Resource | None:
        return REPLICASETS if (api_version, kind) == ("apps/v1", "ReplicaSet") else None


def _owned(*owners: Object) -> Object:
    return pod("p", ownerReferences=list(owners))


def _owner(name: str = "rs", **fields: Any) -> Object:
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"uid-{name}", **fields}


BLOCKING = _owner(blockOwnerDeletion=True)
NOT_DELETABLE = "cannot set an ownerRef on a resource you can't delete: may not delete pods p, <nil>"
NOT_FINALIZABLE = (
    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: may not update "
    "replicasets/finalizers rs, <nil>"
)
UNKNOWN = (
    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v9 Kind ReplicaSet: no "
    'matches for kind "ReplicaSet" in version "apps/v9"'
)


@pytest.mark.parametrize(
    ("new", "old", "allowed", "subresource", "why"),
    [
        (_owned(), None, (), "", ""),
        (_owned(_owner()), None, (), "", ""),
        (_owned(_owner()), _owned(_owner()), (), "", ""),
        (_owned(_owner()), _owned(), (), "", NOT_DELETABLE),
        (_owned(), _owned(_owner()), (), "", NOT_DELETABLE),
        (_owned(_owner()), _owned(), (), "status", ""),
        (_owned(_owner()), _owned(), ("delete pods p",), "", ""),
        (_owned(BLOCKING), None, (), "", NOT_FINALIZABLE),
        (_owned(BLOCKING), None, ("update replicasets/finalizers rs",), "", ""),
        (_owned(BLOCKING), None, ("update */finalizers *",), "", ""),
        (_owned(BLOCKING), _owned(_owner()), ("delete pods p",), "", NOT_FINALIZABLE),
        (_owned(BLOCKING, _owner("x")), _owned(BLOCKING), ("delete pods p",), "", ""),
        (_owned({**BLOCKING, "apiVersion": "apps/v9"}), None, (), "", UNKNOWN),
    ],
)
async def test_owners_are_set_by_who_may_delete(
    new: Object, old: Object | None, allowed: Sequence[str], subresource: str, why: str
) -> None:
    plugin = OwnerReferencesPermissionEnforcement(_Allowing(*allowed), _Kinds())
    expected = f'pods "p" is forbidden: {why}' if why else ""
    assert await refusal(plugin, asked(PODS, new, old, subresource=subresource)) == expected


def _event(about: str = "p", namespace: str = "default") -> Object:
    return named("e", namespace, source={"component": "test"}, involvedObject={"kind": "Pod", "name": about})


class TestEventRateLimit:
    @staticmethod
    async def accepted(plugin: EventRateLimit, count: int, event: Object | None = None, user: str = "joe") -> int:
        request = asked(EVENTS, event or _event(), user=user)
        return [await refusal(plugin, request) for _ in range(count)].count("")

    async def test_a_burst_and_then_so_many_a_second(self) -> None:
        clock = FakeClock()
        plugin = EventRateLimit([EventLimit(type="Server", qps=2, burst=5)], clock=clock)
        assert await self.accepted(plugin, 10) == 5
        await clock.advance(1.0)
        assert await self.accepted(plugin, 10) == 2
        await clock.advance(60.0)
        assert await self.accepted(plugin, 10) == 5

    @pytest.mark.parametrize(
        ("kind", "others"),
        [
            ("Namespace", [(_event(namespace="other"), "joe")]),
            ("User", [(_event(), "ann")]),
            ("SourceAndObject", [(_event("q"), "joe")]),
        ],
    )
    async def test_keys_have_limits_of_their_own(self, kind: str, others: list[tuple[Object, str]]) -> None:
        plugin = EventRateLimit([EventLimit(type=kind, qps=1, burst=1)], clock=FakeClock())
        assert await self.accepted(plugin, 2) == 1
        for event, user in others:
            assert await self.accepted(plugin, 2, event, user) == 1

    async def test_the_least_recently_used_key_is_forgotten(self) -> None:
        plugin = EventRateLimit([EventLimit(type="User", qps=1, burst=1, cache_size=2)], clock=FakeClock())
        users = ["a", "b", "a", "c", "a", "b"]
        assert [await self.accepted(plugin, 1, user=user) for user in users] == [1, 1, 0, 1, 0, 1]

    async def test_every_limit_that_is_reached_is_named(self) -> None:
        limits = [EventLimit(type="Namespace", qps=1, burst=1), EventLimit(type="User", qps=1, burst=1)]
        plugin = EventRateLimit(limits, clock=FakeClock())
        await plugin.validate(asked(EVENTS, _event()))
        with pytest.raises(TooManyRequests) as caught:
            await plugin.validate(asked(EVENTS, _event()))
        assert caught.value.message == (
            "Too many requests: [limit reached on type Namespace for key default, limit reached on type User for key joe]"
        )

    async def test_other_objects_and_dry_runs_are_not_counted(self) -> None:
        plugin = EventRateLimit([EventLimit(type="Server", qps=1, burst=1)], clock=FakeClock())
        for _ in range(3):
            await plugin.validate(asked(EVENTS, _event(), dry_run=True))
            await plugin.validate(asked(CONFIGMAPS, config_map()))
        assert await self.accepted(plugin, 3) == 1

    def test_its_configuration_is_checked(self) -> None:
        head = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration"}
        limit = {"type": "User", "qps": 1, "burst": 2}
        assert event_limits({**head, "limits": [limit]}) == [EventLimit(type="User", qps=1, burst=2)]
        assert event_limits(None) == ()
        for configuration, why in (
            ({"kind": "Configuration"}, "is not a Configuration"),
            (head, "limits: Invalid value: .* must not be empty"),
            ({**head, "limits": [{**limit, "type": "Node"}]}, r"limits\[0\].type: Unsupported value: \"Node\""),
            ({**head, "limits": [{**limit, "qps": 0}]}, r"limits\[0\].qps: Invalid value: 0: must be positive"),
            ({**head, "limits": [{**limit, "cacheSize": -1}]}, r"limits\[0\].cacheSize: .* must not be negative"),
            ({**head, "limits": [{**limit, "rate": 1}]}, r"limits\[0\]: unknown fields rate"),
        ):
            with pytest.raises(AdmissionConfigurationError, match=why):
                event_limits(configuration)
