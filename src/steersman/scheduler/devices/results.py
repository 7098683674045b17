"""Solutions as the API wants them: ``status.allocation`` of a ResourceClaim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.scheduler.devices.allocation import Given, Solution


def allocation_result(solution: Solution, classes: Mapping[str, Object], node: Object) -> Object:
    result: Object = {"devices": {"results": [_result(given) for given in solution.given]}}
    config = [*_class_configs(solution, classes), *_claim_configs(solution)]
    if config:
        result["devices"]["config"] = config
    selector = node_selector(solution.given, objects.name(node))
    if selector is not None:
        result["nodeSelector"] = selector
    return result


def _result(given: Given) -> Object:
    driver, pool, device = given.device.id
    result: Object = {"request": given.request.full_name, "driver": driver, "pool": pool, "device": device}
    if given.request.is_admin:
        result["adminAccess"] = True
    if given.request.tolerations:
        result["tolerations"] = [dict(toleration) for toleration in given.request.tolerations]
    if given.device.binding_conditions:
        result["bindingConditions"] = [*given.device.binding_conditions]
    if given.device.binding_failure_conditions:
        result["bindingFailureConditions"] = [*given.device.binding_failure_conditions]
    if given.share_id:
        result["shareID"] = given.share_id
    if given.capacity:
        result["consumedCapacity"] = dict(given.capacity)
    return result


def _class_configs(solution: Solution, classes: Mapping[str, Object]) -> list[Object]:
    """Each class's configuration once, for all the requests that use the class."""
    requests: dict[str, list[str]] = {}
    for request in solution.picked:
        requests.setdefault(request.class_name, []).append(request.full_name)
    return [
        {"source": "FromClass", "requests": names, **_without_requests(config)}
        for class_name, names in requests.items()
        for config in (classes[class_name].get("spec") or {}).get("config") or ()
    ]


def _claim_configs(solution: Solution) -> list[Object]:
    """The claim's configuration, as far as it is for what was picked."""
    found: list[Object] = []
    for config in solution.claim.configs:
        stated = config.get("requests") or []
        entry: Object = {"source": "FromClaim", **({"requests": [*stated]} if stated else {})}
        entry |= _without_requests(config)
        if not stated:
            found.append(entry)
            continue
        found += [
            entry
            for request in solution.picked
            if (request.parent or request.name) in stated or (request.parent and request.full_name in stated)
        ]
    return found


def _without_requests(config: Mapping[str, Any]) -> Object:
    return {key: value for key, value in config.items() if key != "requests"}


def node_selector(given: Sequence[Given], node_name: str) -> Object | None:
    """From where all these devices can be used; None for everywhere."""
    fields: list[Any] = []
    expressions: list[Any] = []
    for each in given:
        nodes = each.device.nodes
        if nodes.node_name or each.device.binds_to_node:
            only = {"key": "metadata.name", "operator": "In", "values": [node_name]}
            return {"nodeSelectorTerms": [{"matchFields": [only]}]}
        for term in ((nodes.selector or {}).get("nodeSelectorTerms") or ())[:1]:
            _add(fields, term.get("matchFields") or ())
            _add(expressions, term.get("matchExpressions") or ())
    term_of_all = {
        key: entries for key, entries in (("matchFields", fields), ("matchExpressions", expressions)) if entries
    }
    return {"nodeSelectorTerms": [term_of_all]} if term_of_all else None


def _add(requirements: list[Any], more: Sequence[Mapping[str, Any]]) -> None:
    def meaning(requirement: Mapping[str, Any]) -> tuple[Any, ...]:
        return requirement.get("key"), requirement.get("operator"), frozenset(requirement.get("values") or ())

    known = {meaning(requirement) for requirement in requirements}
    requirements += [dict(requirement) for requirement in more if meaning(requirement) not in known]
