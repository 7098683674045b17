"""Every controller as its own service account, with no more rights than upstream's bootstrap roles give it."""

from __future__ import annotations

import asyncio
import random

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.controllers.attachments import MANAGED
from steersman.controllers.component import ControllerManager
from steersman.controllers.config import ControllerManagerConfig
from steersman.meta import objects
from steersman.meta.resources import (
    CERTIFICATESIGNINGREQUESTS,
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    HORIZONTALPODAUTOSCALERS,
    JOBS,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    PODS,
    RESOURCECLAIMS,
    RESOURCECLAIMTEMPLATES,
    RESOURCEQUOTAS,
    RESOURCESLICES,
    SECRETS,
    SERVICES,
    STATEFULSETS,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
)
from steersman.meta.wire import Handler, Request, Response
from steersman.store.drivers.memory import MemoryStore
from tests.controllers.builders import pod, workload
from tests.controllers.kinds import (
    test_certificates,
    test_cronjob,
    test_disruption,
    test_endpoints,
    test_ephemeralvolume,
    test_horizontalpodautoscaler,
    test_job,
    test_resourceclaim,
    test_resourcequota,
    test_serviceaccounttoken,
    test_statefulset,
)
from tests.controllers.kinds import test_persistentvolumebinder as binder
from tests.controllers.world import World, WriteLog

MANAGER = "system:kube-controller-manager"


class Denials:
    """Requests that authorization refused, and by whom they were made."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, str]] = set()

    def client(self, handler: Handler, user: str, *groups: str) -> Client:
        async def handle(request: Request) -> Response:
            response = await handler(request)
            if response.status == 403:
                self.seen.add((user, request.method, request.path))
            return response

        return Client(InProcessTransport(handle, user=user, groups=("system:authenticated", *groups)))


async def start(group: TaskGroup, denials: Denials) -> World:
    clock = FakeClock()
    config = APIServerConfig(reconcile_endpoints=False, authorization_modes=("Node", "RBAC"))
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(1))
    await server.start()

    def client_of(account: str) -> Client:
        groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system")
        return denials.client(server.handle, f"system:serviceaccount:kube-system:{account}", *groups)

    def make_manager() -> ControllerManager:
        return ControllerManager(
            client=denials.client(server.handle, MANAGER),
            clock=clock,
            config=ControllerManagerConfig(
                controllers=("*", "bootstrap-signer-controller", "token-cleaner-controller"),
                root_ca_pem=b"CA",
                service_account_key_pem=test_serviceaccounttoken.KEY_PEM,
                cluster_signing=test_certificates.authority(),
                allocate_node_cidrs=True,
                cluster_cidrs=("10.8.0.0/16",),
            ),
            rng=random.Random(2),
            client_of=client_of,
        )

    manager = make_manager()
    return World(
        clock=clock,
        client=Client(InProcessTransport(server.handle)),
        server=server,
        log=WriteLog(),
        manager=manager,
        group=group,
        task=group.spawn(manager.run(), name="controllers"),
        make_manager=make_manager,
    )


async def live(world: World, rounds: int) -> None:
    for _ in range(rounds):
        await world.run_pods(node="n1")
        await world.reap_pods()
        await world.advance(5)


async def use_storage_and_devices(world: World) -> None:
    """Volumes that are deleted, recycled, attached and made on demand; claims of devices made and released."""
    await world.create(STORAGECLASSES, binder.storage_class("made", "kubernetes.io/gce-pd"))
    await world.create(PERSISTENTVOLUMECLAIMS, binder.claim("made", storageClassName="made"))
    for policy in ("Delete", "Recycle"):
        name = policy.lower()
        await world.create(PERSISTENTVOLUMES, binder.volume(name, persistentVolumeReclaimPolicy=policy))
        await world.create(PERSISTENTVOLUMECLAIMS, binder.claim(name, volumeName=name))
        await world.client.delete(PERSISTENTVOLUMECLAIMS, name, namespace="default")
        await world.settle()
    csi = {"driver": "disks.example", "volumeHandle": "h1"}
    await world.create(PERSISTENTVOLUMES, binder.volume("csi", csi=csi))
    await world.create(PERSISTENTVOLUMECLAIMS, binder.claim("csi", volumeName="csi"))
    await world.patch(NODES, "n1", {"metadata": {"annotations": {MANAGED: "true"}}})
    mounts = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "csi"}}]}
    await world.create(PODS, pod("mounting", spec=mounts))
    await world.create(PODS, test_ephemeralvolume.consumer())
    await world.create(RESOURCECLAIMTEMPLATES, test_resourceclaim.template())
    trainer = await world.create(PODS, test_resourceclaim.user())
    (claim,) = await world.list(RESOURCECLAIMS)
    await test_resourceclaim.allocate(world, claim, consumers=(trainer,))
    await world.run_pods(node="n1")
    assert await world.list(VOLUMEATTACHMENTS)
    tainted = test_resourceclaim.resource_slice({"key": "broken", "effect": "NoExecute"})
    await world.create(RESOURCESLICES, tainted)
    assert objects.is_deleting(await world.get(PODS, "trainer"))
    await world.finish_pods("Succeeded", [await world.get(PODS, "recycler-for-recycle")])


async def test_all_controllers_together_do_their_work_with_their_own_rights() -> None:
    denials = Denials()
    async with TaskGroup("world") as group:
        world = await start(group, denials)
        await asyncio.sleep(0)
        await world.settle()
        await world.add_nodes("n1", "n2")
        await world.create(PODS, pod("orphan"))
        await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=3))
        claims = {"whenDeleted": "Delete", "whenScaled": "Delete"}
        database = workload(
            STATEFULSETS,
            "db",
            labels={"app": "db"},
            replicas=2,
            volumeClaimTemplates=[test_statefulset.data_claim()],
            persistentVolumeClaimRetentionPolicy=claims,
        )
        await world.create(STATEFULSETS, database)
        await world.create(DAEMONSETS, workload(DAEMONSETS, "agents", labels={"app": "agents"}))
        await world.create(JOBS, test_job.job(completions=2, ttlSecondsAfterFinished=5))
        await world.create(CRONJOBS, test_cronjob.cronjob())
        await world.create(SERVICES, test_endpoints.service())
        await world.create(PODDISRUPTIONBUDGETS, test_disruption.budget(maxUnavailable=1))
        await world.create(RESOURCEQUOTAS, test_resourcequota.quota({"pods": "100", "count/deployments.apps": "9"}))
        await world.create(HORIZONTALPODAUTOSCALERS, test_horizontalpodautoscaler.hpa())
        await world.create(SECRETS, test_serviceaccounttoken.secret())
        await world.create(CERTIFICATESIGNINGREQUESTS, test_certificates.request())
        await use_storage_and_devices(world)
        await live(world, 6)
        jobs = [p for p in await world.list(PODS) if (objects.controller_of(p) or {}).get("kind") == "Job"]
        await world.finish_pods("Succeeded", jobs)
        await world.patch(STATEFULSETS, "db", {"spec": {"replicas": 1}})
        await live(world, 2)
        deployment = await world.get(DEPLOYMENTS, "web")
        assert deployment["status"]["availableReplicas"] == 3
        await world.advance(310)
        assert not objects.is_true(await world.get(NODES, "n1"), "Ready")
        assert (await world.get(NODES, "n1"))["spec"]["podCIDR"].startswith("10.8.")
        await world.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        await world.client.delete(NAMESPACES, "team")
        await world.client.delete(DEPLOYMENTS, "web", namespace="default", propagation="Foreground")
        await live(world, 4)
        assert not await world.exists(NAMESPACES, "team")
        assert not await world.exists(DEPLOYMENTS, "web")
        await world.client.delete(NODES, "n1")
        await world.advance(120)
        assert denials.seen == set()
        stranger = denials.client(world.server.handle, "stranger")
        response = await stranger.request("GET", "/api/v1/nodes")
        assert response.status == 403
    await world.server.close()
