"""Which resources the server has, as its discovery documents list them.

Groups that cannot be asked (an aggregated API server that is down) are failures of their own: the rest is still usable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.client.api import Client, decoded, failure_of
from steersman.client.transport import Unreachable
from steersman.meta.errors import APIError
from steersman.meta.resources import Resource


class ServedResource(Struct, frozen=True, kw_only=True):
    """One resource in its group's preferred version, and what can be done with it."""

    resource: Resource
    verbs: frozenset[str]


class Discovery(Struct, frozen=True, kw_only=True):
    resources: Sequence[ServedResource]
    by_kind: Mapping[tuple[str, str], Resource] = field(default_factory=dict)
    """(apiVersion, kind) -> the resource, in every version that is served."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """group/version -> why it could not be asked."""

    def supporting(self, *verbs: str, namespaced: bool | None = None) -> list[Resource]:
        """Resources with all of ``verbs``, of namespaces or of the cluster only where that is given."""
        return [
            entry.resource
            for entry in self.resources
            if entry.verbs.issuperset(verbs) and namespaced in (None, entry.resource.namespaced)
        ]

    def of_kind(self, group: str, kind: str) -> Resource | None:
        """The resource of a kind, in its group's preferred version."""
        for entry in self.resources:
            if (entry.resource.group, entry.resource.kind) == (group, kind):
                return entry.resource
        return None


async def discover(client: Client) -> Discovery:
    """Every resource (no subresources), each once: in the preferred version of its group, or another that alone has it.

    Raises ``APIError`` or ``Unreachable`` where not even the groups can be asked.
    """
    groups = (await _get(client, "/apis")).get("groups") or []
    versions = [("", "v1")]
    for group in groups:
        preferred = (group.get("preferredVersion") or {}).get("version")
        others = [entry["version"] for entry in group.get("versions") or [] if entry["version"] != preferred]
        versions += [(group["name"], version) for version in ([preferred] if preferred else []) + others]
    answers = await asyncio.gather(*(_resources(client, group, version) for group, version in versions))
    found: dict[tuple[str, str], ServedResource] = {}
    by_kind: dict[tuple[str, str], Resource] = {}
    failures: dict[str, str] = {}
    for (group, version), answer in zip(versions, answers, strict=True):
        if isinstance(answer, str):
            failures[f"{group}/{version}" if group else version] = answer
            continue
        for entry in answer:
            found.setdefault((entry.resource.group, entry.resource.plural), entry)
            by_kind.setdefault((entry.resource.api_version, entry.resource.kind), entry.resource)
    return Discovery(resources=[*found.values()], by_kind=by_kind, failures=failures)


async def _resources(client: Client, group: str, version: str) -> list[ServedResource] | str:
    try:
        document = await _get(client, f"/apis/{group}/{version}" if group else f"/api/{version}")
    except (APIError, Unreachable) as error:
        return str(error)
    return [
        ServedResource(
            resource=Resource(
                group=group,
                version=version,
                plural=entry["name"],
                kind=entry["kind"],
                namespaced=bool(entry.get("namespaced")),
            ),
            verbs=frozenset(entry.get("verbs") or ()),
        )
        for entry in document.get("resources") or []
        if "/" not in entry["name"]
    ]


async def _get(client: Client, path: str) -> Any:
    response = await client.request("GET", path)
    if response.status >= 400:
        raise failure_of(response)
    return decoded(response)
