"""HTTP extenders: other programs that filter and prioritize nodes, or bind pods.

The wire format is upstream's ``k8s.io/kube-scheduler/extender/v1``. An extender that fails fails the pod's try, unless it is
``ignorable``.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from steersman.meta.objects import Object
from steersman.scheduler.configuration import Extender
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo

MAX_EXTENDER_PRIORITY = 10
MAX_NODE_SCORE = 100


class ExtenderFailed(Exception):
    """An extender could not be reached or answered with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """What an extender left over."""

    names: frozenset[str]
    failed: dict[str, str]
    """Node to the reason; removing pods could help."""
    unresolvable: dict[str, str]


class HTTPExtender:
    """One configured extender."""

    def __init__(self, config: Extender) -> None:
        self.config = config
        self._managed = {name for name, _ in config.managed_resources}
        self._session: aiohttp.ClientSession | None = None

    def is_interested_in(self, pod: PodInfo) -> bool:
        """Extenders with managed resources are asked about pods that request one of these only."""
        return not self._managed or any(name in self._managed for name in pod.requests.amounts)

    async def filter(self, pod: PodInfo, names: Sequence[str], table: NodeTable) -> Filtered:
        """Raises ``ExtenderFailed``."""
        answer = await self._post(self.config.filter_verb, self._arguments(pod, names, table))
        if answer.get("error") or answer.get("Error"):
            raise ExtenderFailed(f"{self.config.url_prefix}: {answer.get('error') or answer.get('Error')}")
        left = _field(answer, "nodenames")
        if left is None:
            items = (_field(answer, "nodes") or {}).get("items") or []
            left = [item["metadata"]["name"] for item in items]
        failed = dict(_field(answer, "failedNodes") or {})
        unresolvable = dict(_field(answer, "failedAndUnresolvableNodes") or {})
        gone = set(names) - set(left) - set(failed) - set(unresolvable)
        reason = f"node(s) were rejected by extender {self.config.url_prefix}"
        return Filtered(
            names=frozenset(left) & frozenset(names),
            failed={**failed, **dict.fromkeys(gone, reason)},
            unresolvable=unresolvable,
        )

    async def prioritize(self, pod: PodInfo, names: Sequence[str], table: NodeTable) -> dict[str, int]:
        """What to add to the score of each node. Raises ``ExtenderFailed``."""
        answer: Any = await self._post(self.config.prioritize_verb, self._arguments(pod, names, table))
        scale = self.config.weight * (MAX_NODE_SCORE // MAX_EXTENDER_PRIORITY)
        return {str(_field(entry, "host")): int(_field(entry, "score") or 0) * scale for entry in answer or ()}

    async def bind(self, pod: PodInfo, node_name: str) -> None:
        """Raises ``ExtenderFailed``."""
        arguments = {"podName": pod.name, "podNamespace": pod.namespace, "podUID": pod.uid, "node": node_name}
        answer = await self._post(self.config.bind_verb, arguments)
        if answer and _field(answer, "error"):
            raise ExtenderFailed(f"{self.config.url_prefix}: {_field(answer, 'error')}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _arguments(self, pod: PodInfo, names: Sequence[str], table: NodeTable) -> Object:
        if self.config.node_cache_capable:
            return {"pod": pod.obj, "nodes": None, "nodenames": list(names)}
        nodes = [table.nodes[table.rows[name]] for name in names]
        return {"pod": pod.obj, "nodes": {"metadata": {}, "items": nodes}, "nodenames": None}

    async def _post(self, verb: str, arguments: Object) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls()), timeout=aiohttp.ClientTimeout(self.config.timeout_s)
            )
        url = f"{self.config.url_prefix}/{verb.lstrip('/')}"
        try:
            async with self._session.post(url, json=arguments) as response:
                if response.status != 200:
                    raise ExtenderFailed(f"failed {verb} with extender at URL {url}, code {response.status}")
                return await response.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise ExtenderFailed(f"{url}: {error or type(error).__name__}") from error

    def _tls(self) -> ssl.SSLContext | bool:
        config = self.config
        if config.insecure:
            return False
        if not (config.ca_file or config.cert_file):
            return True
        context = ssl.create_default_context(cafile=config.ca_file or None)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file)
        return context


def _field(answer: Any, name: str) -> Any:
    """Extenders written in Go may answer with capital letters; JSON decoding in Go accepts either, so do we."""
    for key, value in answer.items():
        if key.lower() == name.lower():
            return value
    return None
