"""Profiles of a KubeSchedulerConfiguration: which plugins each has, in which order, with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.scheduler.framework import Framework, WeightedPlugin
from steersman.scheduler.plugin_args import API_VERSION, ArgsError, percentage, reject_unknown
from steersman.scheduler.pod_info import DEFAULT_SCHEDULER_NAME
from steersman.scheduler.pre_filter_only import PreFilterOnly

POINTS: Mapping[str, str] = {
    "preEnqueue": "pre_enqueue",
    "queueSort": "queue_key",
    "preFilter": "pre_filter",
    "filter": "filter",
    "postFilter": "post_filter",
    "preScore": "pre_score",
    "score": "score",
    "reserve": "reserve",
    "permit": "permit",
    "preBind": "pre_bind",
    "bind": "bind",
    "postBind": "post_bind",
}
"""Extension points as configuration names them, and the method by which a plugin serves each."""

_FIT = "NodeResourcesFit"
"""Resources that an extender manages and the scheduler is to ignore are ignored by this plugin."""

_STATELESS: Mapping[str, frozenset[str]] = {
    "filter": frozenset({"NodeUnschedulable", "NodeName", "TaintToleration"}),
    "score": frozenset({"ImageLocality", "DynamicResources"}),
}
"""By point, those that upstream has there and not at the point before: nobody can disable that."""

_REMOVED_PLUGINS = frozenset({"AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"})


class PluginSpec(Struct, frozen=True, kw_only=True):
    """A plugin that profiles can name."""

    name: str
    make: Callable[[Mapping[str, Any]], Any]
    """From its arguments. Raises ``ArgsError``."""
    weight: int = 0
    is_default: bool = True
    """Enabled in every profile that does not disable it."""


class Enabled(Struct, frozen=True, kw_only=True):
    """A plugin at a point."""

    name: str
    weight: int = 0


def read_profiles(
    profiles: Sequence[Mapping[str, Any]], plugins: Sequence[PluginSpec], ignored: Sequence[str], percentage_of_all: int
) -> dict[str, Framework]:
    """Frameworks by scheduler name. ``ignored`` are resources that extenders look after; ``percentage_of_all`` is what profiles
    score that do not say themselves. Raises ``ArgsError``."""
    frameworks: dict[str, Framework] = {}
    for index, profile in enumerate(profiles):
        path = f"profiles[{index}]"
        reject_unknown(profile, ("schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"), path)
        name = profile.get("schedulerName") or (DEFAULT_SCHEDULER_NAME if len(profiles) == 1 else "")
        if not name:
            raise ArgsError(f"{path}.schedulerName: Required value")
        if name in frameworks:
            raise ArgsError(f'{path}.schedulerName: Duplicate value: "{name}"')
        score = percentage(profile, f"{path}.", percentage_of_all)
        frameworks[name] = _framework(name, profile, plugins, ignored, score, path)
    sorts = {framework.queue_sort.NAME for framework in frameworks.values()}
    if len(sorts) > 1:
        raise ArgsError("profiles.plugins.queueSort: Invalid value: must be the same for all profiles")
    return frameworks


def _framework(
    name: str,
    profile: Mapping[str, Any],
    plugins: Sequence[PluginSpec],
    ignored: Sequence[str],
    percentage_to_score: int,
    path: str,
) -> Framework:
    specs = {spec.name: spec for spec in plugins}
    arguments = _plugin_arguments(profile.get("pluginConfig") or (), specs, f"{path}.pluginConfig")
    if ignored and _FIT in specs:
        fit = arguments.get(_FIT, {})
        arguments[_FIT] = {**fit, "ignoredResources": [*(fit.get("ignoredResources") or ()), *ignored]}
    by_point = _enabled(profile.get("plugins") or {}, plugins, f"{path}.plugins")
    used = {entry.name for entries in by_point.values() for entry in entries}
    made: dict[str, Any] = {}
    for plugin_name in [*specs, *sorted(used - set(specs))]:
        if plugin_name not in used:
            continue
        try:
            made[plugin_name] = specs[plugin_name].make(arguments.get(plugin_name, {}))
        except ArgsError as error:
            raise ArgsError(f"{path}.pluginConfig[{plugin_name}].args.{error}") from error

    def of(point: str) -> list[Any]:
        return [made[entry.name] for entry in by_point[point] if hasattr(made[entry.name], POINTS[point])]

    sorting = of("queueSort")
    _check_needed(sorting, of("bind"), path)
    _check_states(by_point, made, path)
    filtering = {entry.name for entry in by_point["filter"]}
    alone = [
        PreFilterOnly(plugin)
        for plugin in of("preFilter")
        if plugin.NAME not in filtering or not hasattr(plugin, POINTS["filter"])
    ]
    return Framework(
        profile_name=name,
        percentage_to_score=percentage_to_score,
        plugins=made,
        pre_enqueue=tuple(of("preEnqueue")),
        queue_sort=sorting[0],
        pre_filter=tuple(of("preFilter")),
        filter=(*alone, *of("filter")),
        post_filter=tuple(of("postFilter")),
        pre_score=tuple(of("preScore")),
        score=tuple(
            WeightedPlugin(plugin=made[entry.name], weight=entry.weight or specs[entry.name].weight or 1)
            for entry in by_point["score"]
            if hasattr(made[entry.name], "score")
        ),
        reserve=tuple(of("reserve")),
        permit=tuple(of("permit")),
        pre_bind=tuple(of("preBind")),
        bind=tuple(of("bind")),
        post_bind=tuple(of("postBind")),
    )


def _check_needed(sorting: Sequence[Any], binding: Sequence[Any], path: str) -> None:
    if len(sorting) != 1:
        problem = "only one queue sort plugin can be enabled" if sorting else "no queue sort plugin is enabled"
        raise ArgsError(f"{path}.plugins.queueSort: Invalid value: {len(sorting)}: {problem}")
    if not binding:
        raise ArgsError(f"{path}.plugins.bind: Required value: at least one bind plugin is needed")


def _check_states(by_point: Mapping[str, list[Enabled]], made: Mapping[str, Any], path: str) -> None:
    """``filter`` and ``score`` need the state that the point before them makes; upstream's fail at every pod without it."""
    for first, second in (("preFilter", "filter"), ("preScore", "score")):
        making = {entry.name for entry in by_point[first]} | _STATELESS[second]
        for entry in by_point[second]:
            plugin = made[entry.name]
            if entry.name not in making and hasattr(plugin, POINTS[first]) and hasattr(plugin, POINTS[second]):
                raise ArgsError(
                    f"{path}.plugins.{second}: Unsupported value: {entry.name}: it needs {first}, where it is not enabled"
                )


def _plugin_arguments(
    entries: Sequence[Mapping[str, Any]], specs: Mapping[str, PluginSpec], path: str
) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for index, entry in enumerate(entries):
        reject_unknown(entry, ("name", "args"), f"{path}[{index}]")
        name = str(entry.get("name") or "")
        if name in found:
            raise ArgsError(f'{path}[{index}]: Duplicate value: "{name}"')
        if name not in specs:
            raise ArgsError(f'{path}[{index}].name: Invalid value: "{name}": no such plugin')
        args = dict(entry.get("args") or {})
        version, kind = args.pop("apiVersion", API_VERSION), args.pop("kind", f"{name}Args")
        if version != API_VERSION or kind != f"{name}Args":
            raise ArgsError(f"{path}[{index}].args: Invalid value: {version} {kind}: has to match plugin args")
        found[name] = args
    return found


def _enabled(stated: Mapping[str, Any], plugins: Sequence[PluginSpec], path: str) -> dict[str, list[Enabled]]:
    """Which plugins each extension point has, in the order of their calls.

    As upstream merges them: ``multiPoint`` starts from the defaults; what a point says of a plugin that it also gets from
    ``multiPoint`` replaces that and comes first; what only the point enables comes last.
    """
    reject_unknown(stated, ("multiPoint", *POINTS), path)
    known = {spec.name for spec in plugins}
    default = [Enabled(name=spec.name) for spec in plugins if spec.is_default]
    multi = _merged(default, stated.get("multiPoint") or {}, known, f"{path}.multiPoint")
    result: dict[str, list[Enabled]] = {}
    for point in POINTS:
        own = stated.get(point) or {}
        mine = _merged([], own, known, f"{path}.{point}")
        disabled = {entry.get("name") for entry in own.get("disabled") or ()}
        rest = [] if "*" in disabled else [entry for entry in multi if entry.name not in disabled]
        from_multi = {entry.name for entry in rest}
        overriding = [entry for entry in mine if entry.name in from_multi]
        own_names = {entry.name for entry in mine}
        result[point] = [
            *overriding,
            *(entry for entry in rest if entry.name not in own_names),
            *(entry for entry in mine if entry.name not in from_multi),
        ]
    return result


def multi_point(stated: Mapping[str, Any], plugins: Sequence[PluginSpec]) -> list[Enabled]:
    """What ``plugins`` of a valid profile enables at ``multiPoint``, with the weights of the defaults."""
    default = [Enabled(name=spec.name, weight=spec.weight) for spec in plugins if spec.is_default]
    return _merged(default, stated.get("multiPoint") or {}, {spec.name for spec in plugins}, "multiPoint")


def _merged(default: Sequence[Enabled], stated: Mapping[str, Any], known: set[str], path: str) -> list[Enabled]:
    reject_unknown(stated, ("enabled", "disabled"), path)
    disabled = {str(entry.get("name")) for entry in stated.get("disabled") or ()}
    custom: dict[str, Enabled] = {}
    for index, entry in enumerate(stated.get("enabled") or ()):
        reject_unknown(entry, ("name", "weight"), f"{path}.enabled[{index}]")
        name = str(entry.get("name") or "")
        if name in _REMOVED_PLUGINS:
            raise ArgsError(f'{path}.enabled[{index}]: Invalid value: "{name}": was invalid in version "{API_VERSION}"')
        if name not in known:
            raise ArgsError(f'{path}.enabled[{index}].name: Invalid value: "{name}": no such plugin')
        if name in custom:
            raise ArgsError(f'{path}.enabled[{index}].name: Duplicate value: "{name}"')
        custom[name] = Enabled(name=name, weight=int(entry.get("weight") or 0))
    kept = [] if "*" in disabled else [entry for entry in default if entry.name not in disabled]
    names = {entry.name for entry in kept}
    return [
        *(custom.get(entry.name, entry) for entry in kept),
        *(entry for name, entry in custom.items() if name not in names),
    ]
