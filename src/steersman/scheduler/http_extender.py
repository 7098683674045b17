"""HTTP extenders: other programs that filter and prioritize nodes, choose victims, or bind pods.

The wire format is upstream's ``k8s.io/kube-scheduler/extender/v1``. An extender that fails fails the pod's try, unless it is
``ignorable``.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from steersman.meta.objects import Object
from steersman.scheduler.extender_configuration import TLS, Extender
from steersman.scheduler.framework import Nomination
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo

if TYPE_CHECKING:
    import aiohttp

MAX_EXTENDER_PRIORITY = 10
MAX_NODE_SCORE = 100


class ExtenderFailed(Exception):
    """An extender could not be reached or answered with an error."""


class Filtered(Struct, frozen=True, kw_only=True):
    """What an extender left over."""

    names: frozenset[str]
    failed: dict[str, str]
    """Node to the reason; removing pods could help."""
    unresolvable: dict[str, str]
    """Also nodes that were left out without a word; their reason is empty."""


class HTTPExtender:
    """One configured extender. It opens its connections when it is first asked, on the event loop it is asked on."""

    def __init__(self, config: Extender) -> None:
        self.config = config
        self._managed = frozenset(name for name, _ in config.managed_resources)
        self._session: aiohttp.ClientSession | None = None

    def is_interested_in(self, pod: PodInfo) -> bool:
        """Extenders with managed resources are asked about pods whose containers name one of these only."""
        return not self._managed or any(not self._managed.isdisjoint(names) for names in _named_resources(pod.obj))

    async def filter(self, pod: PodInfo, names: Sequence[str], table: NodeTable) -> Filtered:
        """Raises ``ExtenderFailed``."""
        answer = await self._post(self.config.filter_verb, self._arguments(pod, names, table))
        if problem := _field(answer, "error"):
            raise ExtenderFailed(str(problem))
        left = _field(answer, "nodeNames") if self.config.node_cache_capable else None
        if left is None:
            items = (_field(answer, "nodes") or {}).get("items") or []
            left = [item["metadata"]["name"] for item in items]
        for name in left:
            if name not in names:
                raise ExtenderFailed(
                    f'extender "{self.config.url_prefix}" claims a filtered node "{name}" which is not found in the input '
                    "node list"
                )
        unresolvable = dict(_field(answer, "failedAndUnresolvableNodes") or {})
        failed = {
            name: reason for name, reason in (_field(answer, "failedNodes") or {}).items() if name not in unresolvable
        }
        silent = set(names) - set(left) - set(failed) - set(unresolvable)
        return Filtered(
            names=frozenset(left), failed=failed, unresolvable={**unresolvable, **dict.fromkeys(silent, "")}
        )

    async def prioritize(self, pod: PodInfo, names: Sequence[str], table: NodeTable) -> dict[str, int]:
        """What to add to the score of each node. Raises ``ExtenderFailed``."""
        answer = await self._post(self.config.prioritize_verb, self._arguments(pod, names, table))
        scale = self.config.weight * (MAX_NODE_SCORE // MAX_EXTENDER_PRIORITY)
        return {str(_field(entry, "host")): int(_field(entry, "score") or 0) * scale for entry in answer or ()}

    async def preempt(
        self, pod: PodInfo, nominations: Mapping[str, Nomination], table: NodeTable
    ) -> dict[str, Nomination]:
        """Which of the nodes may be cleared, and of which pods. Raises ``ExtenderFailed``."""
        answer = await self._post(self.config.preempt_verb, self._preemption(pod, nominations))
        found: dict[str, Nomination] = {}
        for name, entry in (_field(answer, "nodeNameToMetaVictims") or {}).items():
            row = table.rows.get(name)
            if row is None:
                raise ExtenderFailed(f'nodeinfo not found for node name "{name}"')
            pods = []
            for stated in _field(entry or {}, "pods") or ():
                victim = table.pods_on(row).get(str(_field(stated, "uid")))
                if victim is None:
                    raise ExtenderFailed(
                        f"extender: {self.config.url_prefix} claims to preempt pod (UID: {_field(stated, 'uid')}) on node: "
                        f"{name}, but the pod is not found on that node"
                    )
                pods.append(victim)
            if pods:
                violations = int(_field(entry, "numPDBViolations") or 0)
                found[name] = Nomination(node_name=name, victims=tuple(pods), budget_violations=violations)
            elif not self.config.ignorable:
                raise ExtenderFailed(f'expected at least one victim pod on node "{name}"')
        return found

    async def bind(self, pod: PodInfo, node_name: str) -> None:
        """Raises ``ExtenderFailed``."""
        arguments = {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node_name}
        answer = await self._post(self.config.bind_verb, arguments)
        if problem := _field(answer or {}, "error"):
            raise ExtenderFailed(str(problem))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _arguments(self, pod: PodInfo, names: Sequence[str], table: NodeTable) -> Object:
        if self.config.node_cache_capable:
            return {"Pod": pod.obj, "Nodes": None, "NodeNames": [*names]}
        nodes = [table.nodes[table.rows[name]] for name in names]
        return {"Pod": pod.obj, "Nodes": {"metadata": {}, "items": nodes}, "NodeNames": None}

    def _preemption(self, pod: PodInfo, nominations: Mapping[str, Nomination]) -> Object:
        def victims(nomination: Nomination) -> list[Object]:
            if self.config.node_cache_capable:
                return [{"UID": victim.uid} for victim in nomination.victims]
            return [victim.obj for victim in nomination.victims]

        stated = {
            name: {"Pods": victims(nomination), "NumPDBViolations": nomination.budget_violations}
            for name, nomination in nominations.items()
        }
        capable = self.config.node_cache_capable
        return {
            "Pod": pod.obj,
            "NodeNameToVictims": None if capable else stated,
            "NodeNameToMetaVictims": stated if capable else None,
        }

    async def _post(self, verb: str, arguments: Object) -> Any:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=_context(self.config.tls)),
                timeout=aiohttp.ClientTimeout(self.config.timeout_s),
            )
        url = f"{self.config.url_prefix}/{verb}"
        body = msgspec.json.encode(arguments)
        server_name = self.config.tls.server_name or None
        try:
            async with self._session.post(
                url, data=body, headers={"content-type": "application/json"}, server_hostname=server_name
            ) as response:
                if response.status != 200:
                    raise ExtenderFailed(f"failed {verb} with extender at URL {url}, code {response.status}")
                return await response.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise ExtenderFailed(f'Post "{url}": {error or type(error).__name__}') from error


def _named_resources(pod: Object) -> list[Mapping[str, Any]]:
    spec = pod.get("spec") or {}
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    return [
        (container.get("resources") or {}).get(kind) or {}
        for container in containers
        for kind in ("requests", "limits")
    ]


def _context(tls: TLS) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=None if tls.ca_data else tls.ca_file or None, cadata=tls.ca_data.decode() or None
    )
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_data:
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # the ssl module reads certificates from files only
            file.write(tls.cert_data + b"\n" + tls.key_data)
            file.flush()
            context.load_cert_chain(file.name)
    elif tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _field(answer: Any, name: str) -> Any:
    """Decoding in Go accepts fields in whatever case, so extenders write ``Host`` or ``host``."""
    for key, value in answer.items():
        if key.lower() == name.lower():
            return value
    return None
