"""``python -m conformance.decisions --scheduler=PATH``: does our scheduler decide as upstream's kube-scheduler does?

Random clusters and pods, one pod after another. Upstream's program places each pod through our API server and logs the
score of every plugin for every node; our core decides about the same pod over the same cluster. Compared are the nodes that
fit, the scores by plugin, and for pods that fit nowhere the whole message. Ends with 0 where nothing differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.clusters import Scenario, provisioned, resized, scenario
from conformance.profiles import PROFILES
from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster import kubeconfigs
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.meta import objects
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    RESOURCECLAIMS,
    RESOURCESLICES,
    Resource,
)
from steersman.meta.times import format_time
from steersman.scheduler.component import DEFAULT_PLUGINS
from steersman.scheduler.configuration import read_configuration
from steersman.scheduler.core import Decision, SchedulerCore
from steersman.scheduler.framework import CurrentTime, Nomination, Write
from steersman.scheduler.plugin_calls import PluginFailed
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.search import search_node
from steersman.scheduler.snapshot import read_cluster
from steersman.scheduler.victims import best
from steersman.scheduler.volumes import BIND_COMPLETED, SELECTED_NODE
from steersman.store.drivers.memory import MemoryStore

CONFIGURATION: Object = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "percentageOfNodesToScore": 100,
    "leaderElection": {"leaderElect": False},
    "profiles": PROFILES,
}
"""Of both schedulers."""
SETTLE_S = 0.4
"""For upstream's informers to see what was made; nothing says when they have."""
PATIENCE_S = 20.0
FIRST_START_S = 1_767_225_600.0
_SCORE = re.compile(r'"Plugin scored node for pod" pod="([^"]+)" plugin="([^"]+)" node="([^"]+)" score=(-?\d+)')

Scores = dict[str, dict[str, int]]
"""By node and plugin."""


@dataclass(slots=True)
class Tally:
    """How much was compared, and what differed."""

    placed: int = 0
    refused: int = 0
    preempted: int = 0
    claims: int = 0
    differences: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Arena:
    """Our API server and upstream's scheduler."""

    client: Client
    log: Path

    def scores_of(self, pod: str) -> Scores:
        found: Scores = {}
        for key, plugin, node, score in _SCORE.findall(self.log.read_text(errors="replace")):
            if key == pod:
                found.setdefault(node, {})[plugin] = int(score)
        return found

    async def clear(self) -> None:
        for resource in (PODS, NODES, RESOURCESLICES):
            for obj in (await self.client.list(resource)).items:
                await self._delete(resource, obj)

    async def _delete(self, resource: Resource, obj: Object) -> None:
        try:
            await self.client.delete(resource, objects.name(obj), namespace=objects.namespace(obj), grace_period_s=0)
        except NotFound:
            return

    async def make(self, wanted: Scenario) -> None:
        for name, labels in wanted.namespaces.items():
            try:
                await self.client.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}})
            except APIError:
                await self.client.patch(NAMESPACES, name, {"metadata": {"labels": labels}})
        for resource, obj in wanted.objects:
            try:
                await self.client.create(resource, obj)
            except APIError as error:
                if error.code != 409:
                    raise
        for node in wanted.nodes:
            await self.client.create(NODES, node)

    async def start(self, pod: Object, order: int) -> None:
        """What a kubelet says of a pod that it runs. Which pods are victims depends on when they started: a second apart."""
        at = format_time(FIRST_START_S + order)
        status = {"status": {"phase": "Running", "startTime": at, **resized(pod)}}
        await self.client.patch(PODS, objects.name(pod), status, namespace=objects.namespace(pod), subresource="status")

    async def attend_to_claims(self) -> bool:
        """What the volume controllers do: bind what a scheduler decided to bind, and make what it ordered. True where there
        was something to do."""
        bound = False
        volumes = {objects.name(volume): volume for volume in (await self.client.list(PERSISTENTVOLUMES)).items}
        chosen = {
            volume["spec"]["claimRef"]["name"]: name for name, volume in volumes.items() if "claimRef" in volume["spec"]
        }
        for claim in (await self.client.list(PERSISTENTVOLUMECLAIMS)).items:
            name, where = objects.name(claim), objects.annotations(claim).get(SELECTED_NODE)
            if claim["spec"].get("volumeName") or not (where or name in chosen):
                continue
            if name not in chosen:
                chosen[name] = f"made-for-{name}"
                await self.client.create(PERSISTENTVOLUMES, provisioned(chosen[name], claim, str(where)))
            change = {"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": chosen[name]}}
            await self.client.patch(PERSISTENTVOLUMECLAIMS, name, change, namespace=objects.namespace(claim))
            bound = True
        return bound


async def compare(arena: Arena, wanted: Scenario, tally: Tally) -> None:
    """One scenario, pod by pod."""
    await arena.clear()
    await arena.make(wanted)
    await asyncio.sleep(SETTLE_S)
    for order, pod in enumerate(wanted.pods):
        if await arena.attend_to_claims():
            await asyncio.sleep(SETTLE_S)
        cluster, _ = await read_cluster(arena.client)
        core = SchedulerCore(read_configuration(CONFIGURATION, DEFAULT_PLUGINS).frameworks, cluster)
        made = await arena.client.create(PODS, pod)
        pods = (await read_cluster(arena.client))[1]
        key = objects.key_of(made)
        info = pods[key]
        ours = _decided(core, info)
        nomination = _with_alternatives(core, info) if isinstance(ours, Decision) and ours.nomination else None
        theirs = await _outcome(arena, made)
        judged = len(tally.differences)
        node_name = theirs["spec"].get("nodeName")
        if node_name and nomination is not None:
            tally.preempted += 1
            await _compare_victims(arena, key, nomination, str(node_name), tally)
        elif node_name:
            tally.placed += 1
            if isinstance(ours, Decision) and ours.node_name:
                await _compare_devices(arena, key, _devices_on(core, info, str(node_name)), theirs, tally)
            _compare_placed(key, str(node_name), ours, arena.scores_of(key), tally)
        else:
            tally.refused += 1
            _compare_refused(key, ours, _failures(core, info), theirs, tally)
            promised = str((theirs.get("status") or {}).get("nominatedNodeName", ""))
            if promised or nomination is not None:
                tally.preempted += 1
                await _compare_victims(arena, key, nomination, promised, tally)
            await arena._delete(PODS, theirs)
            await asyncio.sleep(SETTLE_S / 4)
        if node_name:
            await arena.start(theirs, order)
        for line in tally.differences[judged:]:
            print(f"  {line}")


async def _outcome(arena: Arena, pod: Object) -> Object:
    """The pod once upstream has placed or refused it."""
    name, namespace = objects.name(pod), objects.namespace(pod)
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while asyncio.get_running_loop().time() < deadline:
        found = await arena.client.get(PODS, name, namespace=namespace)
        if found["spec"].get("nodeName") or objects.condition(found, "PodScheduled") is not None:
            return found
        if any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or ()):
            await arena.attend_to_claims()
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{namespace}/{name} was neither placed nor refused")


def _compare_placed(key: str, node_name: str, ours: Decision | PluginFailed, theirs: Scores, tally: Tally) -> None:
    if isinstance(ours, PluginFailed) or not ours.node_name:
        why = ours if isinstance(ours, PluginFailed) else ours.diagnosis and ours.diagnosis.message
        tally.differences.append(f"{key}: upstream placed it on {node_name}; {why}")
        return
    mine = {score.node_name: dict(score.by_plugin) for score in ours.best}
    if not theirs:
        if set(mine) != {node_name}:
            tally.differences.append(f"{key}: only {node_name} fits for upstream, here {sorted(mine)}")
        return
    if set(mine) != set(theirs):
        tally.differences.append(f"{key}: {sorted(theirs)} fit for upstream, here {sorted(mine)}")
        return
    plugins = {plugin for scores in (*mine.values(), *theirs.values()) for plugin in scores}
    for plugin in sorted(plugins):
        here = {name: mine[name].get(plugin, 0) for name in mine}
        there = {name: theirs[name].get(plugin, 0) for name in mine}
        is_same = here == there or len({here[name] - there[name] for name in mine}) == 1
        if not is_same:
            tally.differences.append(f"{key}: {plugin} scores {there}; here {here}")
    best = max(score.total for score in ours.best)
    if all(score.total < best for score in ours.best if score.node_name == node_name):
        tally.differences.append(f"{key}: upstream chose {node_name}, which is not among the best here")


def _devices_on(core: SchedulerCore, pod: PodInfo, node_name: str) -> dict[str, Object]:
    """What our core gives to the pod's claims on that node: the statuses that it would write."""
    written: dict[str, Object] = {}
    assumed = core.assume(pod, node_name)
    assert isinstance(assumed, PodInfo), assumed
    for plugin in core.frameworks[assumed.scheduler_name].pre_bind:
        errand = plugin.pre_bind(assumed, node_name, core.cluster) if plugin.NAME == "DynamicResources" else None
        answer: Any = None
        while errand is not None:
            try:
                step = errand.send(answer)
            except StopIteration:
                break
            answer = 0.0 if isinstance(step, CurrentTime) else None
            if isinstance(step, Write):
                answer = {**step.obj, "metadata": {"uid": objects.name(step.obj), **step.obj["metadata"]}}
                if "status" in step.obj:
                    written[objects.key_of(step.obj)] = step.obj["status"]
    return written


async def _compare_devices(arena: Arena, key: str, ours: dict[str, Object], theirs: Object, tally: Tally) -> None:
    for entry in theirs["spec"].get("resourceClaims") or ():
        name = entry["resourceClaimName"]
        claim = await arena.client.get(RESOURCECLAIMS, name, namespace=objects.namespace(theirs))
        allocation = _without_chance(claim["status"]["allocation"])
        here = ours.get(objects.key_of(claim))
        tally.claims += 1
        if here is None or _without_chance(here["allocation"]) != allocation:
            tally.differences.append(
                f"{key}: claim {name} has\n      {allocation}\n    here\n      {here and here['allocation']}"
                f"\n    for {claim['spec']}"
            )


def _without_chance(allocation: Object) -> Object:
    """Without what is different each time: times, and names of shares."""
    results = [
        {field: value for field, value in result.items() if field != "shareID"}
        for result in allocation["devices"]["results"]
    ]
    kept = {field: value for field, value in allocation.items() if field != "allocationTimestamp"}
    return kept | {"devices": allocation["devices"] | {"results": results}}


def _compare_refused(
    key: str, ours: Decision | PluginFailed, failures: Sequence[str], theirs: Object, tally: Tally
) -> None:
    """Where plugins fail on several nodes, upstream, which looks at them in parallel, says any one of ``failures``."""
    said = str((objects.condition(theirs, "PodScheduled") or {}).get("message"))
    if isinstance(ours, PluginFailed):
        here = str(ours)
    else:
        here = ours.diagnosis.message if ours.diagnosis is not None else f"it goes to {ours.node_name}"
    if here != said and said not in failures:
        tally.differences.append(f"{key}: upstream says\n      {said}\n    here\n      {here}")


def _decided(core: SchedulerCore, pod: PodInfo) -> Decision | PluginFailed:
    """With all scores."""
    try:
        return core.decide(pod, runners_up=core.cluster.nodes.node_count)
    except PluginFailed as failure:
        return failure


def _failures(core: SchedulerCore, pod: PodInfo) -> list[str]:
    """What plugins fail with, by node."""
    found = []
    for name in core.cluster.nodes.rows:
        try:
            search_node(core.frameworks[pod.scheduler_name], pod, core.cluster, name)
        except PluginFailed as failure:
            found.append(str(failure))
    return found


def _with_alternatives(core: SchedulerCore, pod: PodInfo) -> Nomination | None:
    nomination = core.give_up(core.search(pod, wants_alternatives=True)).nomination
    return nomination if isinstance(nomination, Nomination) else None


async def _compare_victims(arena: Arena, key: str, ours: Nomination | None, nominated: str, tally: Tally) -> None:
    """The same node, or one of ours that is as good (upstream draws); and the same victims there."""
    if ours is None or not nominated:
        tally.differences.append(f"{key}: upstream nominates {nominated or 'no node'}; here {ours}")
        return
    await asyncio.sleep(SETTLE_S)
    left = {objects.key_of(pod) for pod in (await arena.client.list(PODS)).items if not objects.is_deleting(pod)}
    there = next((each for each in ours.alternatives if each.node_name == nominated), None)
    if there is None:
        tally.differences.append(f"{key}: upstream clears {nominated}, which is no candidate here")
        return
    spared = {victim.key for victim in there.victims} & left
    if spared:
        tally.differences.append(f"{key}: on {nominated} upstream spares {sorted(spared)}")
    if best([there, ours]).node_name != nominated:
        tally.differences.append(f"{key}: upstream clears {nominated}, worse than {ours.node_name}: {there}, {ours}")


async def run(scheduler: Path, seeds: Sequence[int], pods: int) -> Tally:
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="steersman-decisions-") as name:
        directory = Path(name)
        clock = SystemClock()
        pki = ClusterPKI(directory / "pki", clock=clock)
        pki.ensure_api_server(ServingHosts((), "cluster.local"))
        pair = pki.pair("apiserver")
        listener = Listener(
            bind_address="127.0.0.1", port=0, certificate_file=str(pair.certificate), key_file=str(pair.key)
        )
        config = APIServerConfig(
            client_ca=pki.authority.pair.certificate.read_bytes(),
            disabled_admission_plugins=("ServiceAccount", "Priority", "TaintNodesByCondition"),
        )
        server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(1))
        await server.start()
        port = await server.serve("127.0.0.1", 0, tls=server_context(listener, config))
        kubeconfig = directory / "kubeconfig"
        document = kubeconfigs.document(
            server=f"https://127.0.0.1:{port}", authority=pki.authority.pair.certificate,
            identity=pki.ensure_client("admin", "admin", ("system:masters",)), context="c", user="u",
        )  # fmt: skip
        kubeconfigs.write(kubeconfig, document)
        connection = {"kubeconfig": str(kubeconfig), "qps": 1000, "burst": 1000}
        (directory / "config.yaml").write_text(json.dumps(CONFIGURATION | {"clientConnection": connection}))
        arena = Arena(Client(InProcessTransport(server.handle)), directory / "scheduler.log")
        with arena.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                str(scheduler), f"--config={directory / 'config.yaml'}", "--secure-port=0", "--vmodule=schedule_one=10",
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            await asyncio.sleep(3.0)
            for seed in seeds:
                print(f"seed {seed}: {tally.placed} placed, {tally.refused} refused so far", flush=True)
                await compare(arena, scenario(random.Random(seed), pods), tally)
        finally:
            process.terminate()
            await process.wait()
            await server.close()
    return tally


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.decisions", description=__doc__.partition("\n")[0])
    parser.add_argument("--scheduler", type=Path, required=True, help="upstream's kube-scheduler")
    parser.add_argument("--seeds", type=int, default=20, help="how many random clusters")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--pods", type=int, default=25, help="pods on each")
    options = parser.parse_args(given)
    tally = asyncio.run(
        run(options.scheduler, range(options.first_seed, options.first_seed + options.seeds), options.pods)
    )
    print(f"{tally.placed} placed, {tally.refused} refused, {tally.preempted} with preemption, "
          f"{tally.claims} claims for devices; {len(tally.differences)} differences")  # fmt: skip
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
