"""Resource claims of pods: made from templates, reserved, released; pods that use tainted devices go."""

from __future__ import annotations

import pytest

from steersman.controllers.kinds import devicetainteviction, resourceclaim
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, PODS, RESOURCECLAIMS, RESOURCECLAIMTEMPLATES, RESOURCESLICES
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

CLAIMS = "resourceclaim-controller"
EVICTION = "device-taint-eviction-controller"
API = "resource.k8s.io/v1"
REQUESTS: Object = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example"}}]}}


def template(name: str = "gpu") -> Object:
    return {
        "apiVersion": API,
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"metadata": {"labels": {"made": "from-template"}}, "spec": REQUESTS},
    }


def user(name: str = "trainer", **spec: object) -> Object:
    made = pod(name, spec={"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}], **spec})
    made["spec"]["containers"][0]["resources"] = {"claims": [{"name": "gpu"}]}
    return made


async def allocate(world: World, claim: Object, *, consumers: tuple[Object, ...] = (), device: str = "gpu-0") -> Object:
    """Do what the scheduler does."""
    held = {"metadata": {"finalizers": ["resource.kubernetes.io/delete-protection"]}}
    await world.client.patch(RESOURCECLAIMS, objects.name(claim), held, namespace="default")
    result = {"request": "gpu", "driver": "gpu.example", "pool": "pool", "device": device}
    reserved = [{"resource": "pods", "name": objects.name(each), "uid": objects.uid(each)} for each in consumers]
    await world.set_status(RESOURCECLAIMS, claim, allocation={"devices": {"results": [result]}}, reservedFor=reserved)
    await world.settle()
    return await world.get(RESOURCECLAIMS, objects.name(claim))


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [("web", "gpu", "web-gpu-"), ("p" * 60, "gpu", "p" * 52 + "-" + "gp"), ("web", "e" * 63, "we" + "-" + "e" * 52)],
)
def test_long_names_are_cut_in_proportion(name: str, entry: str, expected: str) -> None:
    assert resourceclaim.base_name(name, entry) == expected


async def test_a_claim_is_made_from_the_template_once(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS)
    await world.create(RESOURCECLAIMTEMPLATES, template())
    owner = await world.create(PODS, user())
    (claim,) = await world.list(RESOURCECLAIMS)
    assert objects.is_controlled_by(claim, owner)
    assert objects.name(claim).startswith("trainer-gpu-")
    assert objects.labels(claim) == {"made": "from-template"}
    assert objects.annotations(claim) == {"resource.kubernetes.io/pod-claim-name": "gpu"}
    status = (await world.get(PODS, "trainer"))["status"]
    assert status["resourceClaimStatuses"] == [{"name": "gpu", "resourceClaimName": objects.name(claim)}]


async def test_a_claim_that_was_made_but_not_written_down_is_found_again(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS)
    await world.create(RESOURCECLAIMTEMPLATES, template())
    owner = await world.create(PODS, user())
    (claim,) = await world.list(RESOURCECLAIMS)
    await world.set_status(PODS, owner, resourceClaimStatuses=None)
    await world.settle()
    assert [objects.uid(each) for each in await world.list(RESOURCECLAIMS)] == [objects.uid(claim)]
    assert (await world.get(PODS, "trainer"))["status"]["resourceClaimStatuses"]


async def test_a_pod_without_its_template_is_told_so_and_gets_its_claim_later(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS)
    await world.create(PODS, user())
    event = (await world.list(EVENTS))[0]
    assert event["reason"] == "FailedResourceClaimCreation"
    assert event["message"].startswith('PodResourceClaim gpu: resource claim template "gpu": resourceclaimtemplate')
    await world.create(RESOURCECLAIMTEMPLATES, template())
    assert len(await world.list(RESOURCECLAIMS)) == 1


async def test_when_its_pod_is_done_a_claim_is_released_and_removed(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS)
    await world.create(RESOURCECLAIMTEMPLATES, template())
    owner = await world.create(PODS, user())
    (claim,) = await world.list(RESOURCECLAIMS)
    claim = await allocate(world, claim, consumers=(owner,))
    assert claim["status"]["reservedFor"]
    await world.finish_pods("Succeeded", [owner])
    assert not await world.list(RESOURCECLAIMS)


async def test_a_claim_of_its_own_is_deallocated_with_its_last_pod_and_stays(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS)
    own = {"apiVersion": API, "kind": "ResourceClaim", "metadata": {"name": "shared", "namespace": "default"}}
    claim = await world.create(RESOURCECLAIMS, {**own, "spec": REQUESTS})
    uses = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "shared"}]}
    first = await world.create(PODS, user("first", **uses))
    second = await world.create(PODS, user("second", **uses))
    await allocate(world, claim, consumers=(first, second))
    await world.client.delete(PODS, "first", namespace="default", grace_period_s=0)
    await world.settle()
    found = await world.get(RESOURCECLAIMS, "shared")
    assert [entry["name"] for entry in found["status"]["reservedFor"]] == ["second"]
    assert found["status"]["allocation"]
    await world.client.delete(PODS, "second", namespace="default", grace_period_s=0)
    await world.settle()
    found = await world.get(RESOURCECLAIMS, "shared")
    assert not found["status"].get("allocation")
    assert not objects.finalizers(found)


async def test_a_pod_that_replaced_one_of_its_name_does_not_keep_the_old_ones_reservation(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS)
    own = {"apiVersion": API, "kind": "ResourceClaim", "metadata": {"name": "shared", "namespace": "default"}}
    claim = await world.create(RESOURCECLAIMS, {**own, "spec": REQUESTS})
    uses = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "shared"}]}
    first = await world.create(PODS, user("same", **uses))
    await allocate(world, claim, consumers=(first,))
    await world.client.delete(PODS, "same", namespace="default", grace_period_s=0)
    await world.client.create(PODS, user("same", **uses))
    await world.settle()
    assert not (await world.get(RESOURCECLAIMS, "shared"))["status"].get("reservedFor")


async def test_a_pod_that_was_bound_without_the_scheduler_gets_its_reservation(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS)
    await world.add_nodes("n1")
    own = {"apiVersion": API, "kind": "ResourceClaim", "metadata": {"name": "shared", "namespace": "default"}}
    claim = await world.create(RESOURCECLAIMS, {**own, "spec": REQUESTS})
    uses = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "shared"}]}
    first = await world.create(PODS, user("first", **uses))
    second = await world.create(PODS, user("second", **uses))
    await allocate(world, claim, consumers=(first,))
    await world.run_pod(second, node="n1")
    await world.settle()
    reserved = (await world.get(RESOURCECLAIMS, "shared"))["status"]["reservedFor"]
    assert [entry["name"] for entry in reserved] == ["first", "second"]


TAINT: Object = {"key": "broken", "effect": "NoExecute", "timeAdded": times.format_time(100)}


@pytest.mark.parametrize(
    ("tolerations", "taint", "expected"),
    [
        ([], TAINT, 100),
        ([], {**TAINT, "effect": "NoSchedule"}, None),
        ([{"operator": "Exists", "effect": "NoExecute"}], TAINT, None),
        ([{"operator": "Exists"}], TAINT, 100),
        ([{"key": "broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}], TAINT, 130),
        ([{"key": "broken", "value": "x", "effect": "NoExecute"}], TAINT, 100),
        ([{"key": "broken", "value": "", "effect": "NoExecute", "tolerationSeconds": -5}], TAINT, 100),
    ],
)
def test_when_a_pod_on_a_tainted_device_has_to_go(
    tolerations: list[Object], taint: Object, expected: float | None
) -> None:
    bound = pod(spec={"nodeName": "n1"})
    assert devicetainteviction.plan(bound, [({"tolerations": tolerations}, [taint])]).evict_at_s == expected


def resource_slice(*taints: Object, generation: int = 1, name: str = "slice") -> Object:
    return {
        "apiVersion": API,
        "kind": "ResourceSlice",
        "metadata": {"name": name},
        "spec": {
            "driver": "gpu.example",
            "nodeName": "n1",
            "pool": {"name": "pool", "generation": generation, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0", "taints": list(taints)}, {"name": "gpu-1"}],
        },
    }


async def test_a_pod_goes_when_its_device_is_tainted_and_another_stays(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS, EVICTION)
    await world.add_nodes("n1")
    await world.create(RESOURCECLAIMTEMPLATES, template())
    made = await world.create(RESOURCESLICES, resource_slice())
    for name, device in (("hit", "gpu-0"), ("spared", "gpu-1")):
        owner = await world.create(PODS, user(name))
        (claim,) = [each for each in await world.list(RESOURCECLAIMS) if objects.is_controlled_by(each, owner)]
        await allocate(world, claim, consumers=(owner,), device=device)
        await world.run_pod(owner, node="n1")
    await world.settle()
    tainted = resource_slice({"key": "broken", "effect": "NoExecute"})["spec"]
    await world.client.update(RESOURCESLICES, {**made, "spec": tainted})
    await world.settle()
    hit = await world.get(PODS, "hit")
    assert objects.is_deleting(hit)
    assert (objects.condition(hit, "DisruptionTarget") or {})["reason"] == "DeletionByDeviceTaintManager"
    assert not objects.is_deleting(await world.get(PODS, "spared"))
    assert "DeviceTaintManagerEviction" in {event["reason"] for event in await world.list(EVENTS)}


async def test_slices_of_an_older_generation_do_not_count(world_of: StartWorld) -> None:
    world = await world_of(CLAIMS, EVICTION)
    await world.add_nodes("n1")
    await world.create(RESOURCECLAIMTEMPLATES, template())
    await world.create(RESOURCESLICES, resource_slice(generation=2, name="new"))
    owner = await world.create(PODS, user())
    (claim,) = await world.list(RESOURCECLAIMS)
    await allocate(world, claim, consumers=(owner,))
    await world.run_pod(owner, node="n1")
    await world.create(RESOURCESLICES, resource_slice({"key": "broken", "effect": "NoExecute"}, name="old"))
    assert not objects.is_deleting(await world.get(PODS, "trainer"))
