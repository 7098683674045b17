"""The cluster as it is, read once through the API: for questions that need no running scheduler."""

from __future__ import annotations

import asyncio

from steersman.client.api import Client
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS, Resource
from steersman.scheduler.cluster import LISTED_RESOURCES, Cluster
from steersman.scheduler.pod_info import PodInfo, is_terminal, parse_pod

PAGE_SIZE = 500


async def read_cluster(client: Client) -> tuple[Cluster, dict[str, PodInfo]]:
    """The cluster, and its pods by key. Raises ``APIError``; kinds that the server does not have are left out."""
    cluster = Cluster()
    for node in await _all(client, NODES):
        cluster.nodes.put_node(node)
    listed = await asyncio.gather(*(_all(client, resource) for resource in LISTED_RESOURCES))
    for resource, found in zip(LISTED_RESOURCES, listed, strict=True):
        for obj in found:
            cluster.put(resource, obj)
    pods: dict[str, PodInfo] = {}
    for obj in await _all(client, PODS):
        if is_terminal(obj):
            continue
        pod = parse_pod(obj)
        pods[pod.key] = pod
        if pod.node_name:
            cluster.nodes.add_pod(pod)
        elif pod.nominated_node:
            cluster.nominations.nominate(pod, pod.nominated_node)
    return cluster, pods


async def _all(client: Client, resource: Resource) -> list[Object]:
    found: list[Object] = []
    token = ""
    while True:
        try:
            page = await client.list(resource, limit=PAGE_SIZE, continue_token=token)
        except NotFound:
            return []
        found += page.items
        token = page.continue_token
        if not token:
            return found
