"""KubeSchedulerConfiguration v1, read as upstream reads it: defaults, plugin sets, validation.

What is unknown is an error with its path. What upstream has and this scheduler does not (percentageOfNodesToScore below
100, plugins that are off by default upstream) is an error that names it, except where upstream's default is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steersman.scheduler.framework import Framework, WeightedPlugin
from steersman.scheduler.plugin_args import ArgsError, reject_unknown
from steersman.scheduler.pod_info import DEFAULT_SCHEDULER_NAME

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"

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

_REMOVED_PLUGINS = frozenset({"AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"})


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message starts with the path of what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec:
    """A plugin that profiles can name."""

    name: str
    make: Callable[[Mapping[str, Any]], Any]
    """From its arguments. Raises ``ArgsError``."""
    weight: int = 0
    is_default: bool = True
    """Enabled in every profile that does not disable it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElection:
    """Upstream's defaults."""

    leader_elect: bool = True
    lease_duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_period_s: float = 2.0
    resource_name: str = "kube-scheduler"
    resource_namespace: str = "kube-system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extender:
    """An HTTP extender."""

    url_prefix: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    bind_verb: str = ""
    weight: int = 0
    timeout_s: float = 5.0
    node_cache_capable: bool = False
    managed_resources: tuple[tuple[str, bool], ...] = ()
    """(resource, ignored by the scheduler)."""
    ignorable: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfiguration:
    """A whole configuration."""

    frameworks: Mapping[str, Framework]
    """By scheduler name."""
    leader_election: LeaderElection = LeaderElection()
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 10.0
    extenders: tuple[Extender, ...] = ()
    kubeconfig: str = ""
    """``clientConnection.kubeconfig``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enabled:
    name: str
    weight: int = 0
    points: tuple[str, ...] = field(default=())


def read_configuration(document: Mapping[str, Any], plugins: Sequence[PluginSpec]) -> SchedulerConfiguration:
    """Raises ``ConfigurationError``. ``plugins`` are all that profiles may name; the default ones come in the order in
    which a profile calls them. An empty document gives the default configuration."""
    if document and (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise ConfigurationError(
            f'no kind "{document.get("kind")}" is registered for version "{document.get("apiVersion")}"; '
            f"use {API_VERSION} {KIND}"
        )
    try:
        return _read(document, plugins)
    except ArgsError as error:
        raise ConfigurationError(str(error)) from error


def _read(document: Mapping[str, Any], plugins: Sequence[PluginSpec]) -> SchedulerConfiguration:
    known = (
        "apiVersion", "kind", "parallelism", "leaderElection", "clientConnection", "healthzBindAddress",
        "metricsBindAddress", "enableProfiling", "enableContentionProfiling", "percentageOfNodesToScore",
        "podInitialBackoffSeconds", "podMaxBackoffSeconds", "profiles", "extenders", "delayCacheUntilActive",
    )  # fmt: skip
    reject_unknown(document, known)
    if int(document.get("parallelism") or 16) <= 0:
        raise ArgsError("parallelism: Invalid value: should be an integer value greater than zero")
    for name in ("healthzBindAddress", "metricsBindAddress"):
        if document.get(name):
            raise ArgsError(f'{name}: Unsupported value: "{document[name]}": use --bind-address and --secure-port')
    _check_percentage(document, "")
    initial_s = float(document.get("podInitialBackoffSeconds", 1))
    max_s = float(document.get("podMaxBackoffSeconds", 10))
    if initial_s <= 0:
        raise ArgsError(f"podInitialBackoffSeconds: Invalid value: {initial_s:g}: must be greater than 0")
    if max_s < initial_s:
        raise ArgsError(
            f"podMaxBackoffSeconds: Invalid value: {max_s:g}: must be greater than or equal to PodInitialBackoffSeconds"
        )
    extenders = _extenders(document.get("extenders") or ())
    ignored = sorted({name for extender in extenders for name, is_ignored in extender.managed_resources if is_ignored})
    return SchedulerConfiguration(
        frameworks=_frameworks(document.get("profiles") or [{}], plugins, ignored),
        leader_election=_leader_election(document.get("leaderElection") or {}),
        initial_backoff_s=initial_s,
        max_backoff_s=max_s,
        extenders=extenders,
        kubeconfig=_client_connection(document.get("clientConnection") or {}),
    )


def _check_percentage(owner: Mapping[str, Any], path: str) -> None:
    percentage = owner.get("percentageOfNodesToScore")
    if percentage is None:
        return
    if not isinstance(percentage, int) or not 0 <= percentage <= 100:
        raise ArgsError(f"{path}percentageOfNodesToScore: Invalid value: {percentage}: not in valid range [0-100]")
    if percentage not in (0, 100):
        raise ArgsError(
            f"{path}percentageOfNodesToScore: Unsupported value: {percentage}: every feasible node is scored; "
            "leave it out or use 0 or 100"
        )


# -- profiles ----------------------------------------------------------------------------------------------------------


def _frameworks(
    profiles: Sequence[Mapping[str, Any]], plugins: Sequence[PluginSpec], ignored: Sequence[str]
) -> dict[str, Framework]:
    frameworks: dict[str, Framework] = {}
    for index, profile in enumerate(profiles):
        path = f"profiles[{index}]"
        reject_unknown(profile, ("schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"), path)
        name = profile.get("schedulerName") or (DEFAULT_SCHEDULER_NAME if len(profiles) == 1 else "")
        if not name:
            raise ArgsError(f"{path}.schedulerName: Required value")
        if name in frameworks:
            raise ArgsError(f'{path}.schedulerName: Duplicate value: "{name}"')
        _check_percentage(profile, f"{path}.")
        frameworks[name] = _framework(name, profile, plugins, ignored, path)
    sorts = {framework.queue_sort.NAME for framework in frameworks.values()}
    if len(sorts) > 1:
        raise ArgsError("profiles.plugins.queueSort: Invalid value: must be the same for all profiles")
    return frameworks


def _framework(
    name: str, profile: Mapping[str, Any], plugins: Sequence[PluginSpec], ignored: Sequence[str], path: str
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
    if len(sorting) != 1:
        problem = "only one queue sort plugin can be enabled" if sorting else "no queue sort plugin is enabled"
        raise ArgsError(f"{path}.plugins.queueSort: Invalid value: {len(sorting)}: {problem}")
    if not of("bind"):
        raise ArgsError(f"{path}.plugins.bind: Required value: at least one bind plugin is needed")
    _check_pairs(by_point, made, path)
    filters = of("filter")
    return Framework(
        profile_name=name,
        plugins=made,
        pre_enqueue=tuple(of("preEnqueue")),
        queue_sort=sorting[0],
        pre_filter=tuple(of("preFilter")),
        filter=tuple(filters),
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


def _check_pairs(by_point: Mapping[str, list[_Enabled]], made: Mapping[str, Any], path: str) -> None:
    """Here ``filter`` and ``score`` need the state that the point before them makes, so neither works alone."""
    for first, second in (("preFilter", "filter"), ("preScore", "score")):
        names = {point: {entry.name for entry in by_point[point]} for point in (first, second)}
        for name in sorted(names[first] ^ names[second]):
            if hasattr(made[name], POINTS[first]) and hasattr(made[name], POINTS[second]):
                enabled = first if name in names[first] else second
                raise ArgsError(
                    f"{path}.plugins.{enabled}: Unsupported value: {name}: enable or disable it at {first} and {second} alike"
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


def _enabled(stated: Mapping[str, Any], plugins: Sequence[PluginSpec], path: str) -> dict[str, list[_Enabled]]:
    """Which plugins each extension point has, in the order of their calls.

    As upstream merges them: ``multiPoint`` starts from the defaults; what a point says of a plugin that it also gets from
    ``multiPoint`` replaces that and comes first; what only the point enables comes last.
    """
    reject_unknown(stated, ("multiPoint", *POINTS), path)
    known = {spec.name for spec in plugins}
    default = [_Enabled(name=spec.name) for spec in plugins if spec.is_default]
    multi = _merged(default, stated.get("multiPoint") or {}, known, f"{path}.multiPoint")
    result: dict[str, list[_Enabled]] = {}
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


def _merged(default: Sequence[_Enabled], stated: Mapping[str, Any], known: set[str], path: str) -> list[_Enabled]:
    reject_unknown(stated, ("enabled", "disabled"), path)
    disabled = {str(entry.get("name")) for entry in stated.get("disabled") or ()}
    custom: dict[str, _Enabled] = {}
    for index, entry in enumerate(stated.get("enabled") or ()):
        reject_unknown(entry, ("name", "weight"), f"{path}.enabled[{index}]")
        name = str(entry.get("name") or "")
        if name in _REMOVED_PLUGINS:
            raise ArgsError(f'{path}.enabled[{index}]: Invalid value: "{name}": was invalid in version "{API_VERSION}"')
        if name not in known:
            raise ArgsError(f'{path}.enabled[{index}].name: Invalid value: "{name}": no such plugin')
        if name in custom:
            raise ArgsError(f'{path}.enabled[{index}].name: Duplicate value: "{name}"')
        custom[name] = _Enabled(name=name, weight=int(entry.get("weight") or 0))
    kept = [] if "*" in disabled else [entry for entry in default if entry.name not in disabled]
    names = {entry.name for entry in kept}
    return [
        *(custom.get(entry.name, entry) for entry in kept),
        *(entry for name, entry in custom.items() if name not in names),
    ]


# -- the rest ----------------------------------------------------------------------------------------------------------


def _leader_election(stated: Mapping[str, Any]) -> LeaderElection:
    known = (
        "leaderElect", "leaseDuration", "renewDeadline", "retryPeriod", "resourceLock", "resourceName",
        "resourceNamespace",
    )  # fmt: skip
    reject_unknown(stated, known, "leaderElection")
    lock = stated.get("resourceLock") or "leases"
    if lock != "leases":
        raise ArgsError(f'leaderElection.resourceLock: Invalid value: "{lock}": resourceLock value must be "leases"')
    return LeaderElection(
        leader_elect=bool(stated.get("leaderElect", True)),
        lease_duration_s=duration_s(stated.get("leaseDuration") or "15s", "leaderElection.leaseDuration"),
        renew_deadline_s=duration_s(stated.get("renewDeadline") or "10s", "leaderElection.renewDeadline"),
        retry_period_s=duration_s(stated.get("retryPeriod") or "2s", "leaderElection.retryPeriod"),
        resource_name=stated.get("resourceName") or "kube-scheduler",
        resource_namespace=stated.get("resourceNamespace") or "kube-system",
    )


def _client_connection(stated: Mapping[str, Any]) -> str:
    reject_unknown(stated, ("kubeconfig", "acceptContentTypes", "contentType", "qps", "burst"), "clientConnection")
    return str(stated.get("kubeconfig") or "")


def _extenders(entries: Sequence[Mapping[str, Any]]) -> tuple[Extender, ...]:
    known = (
        "urlPrefix", "filterVerb", "preemptVerb", "prioritizeVerb", "weight", "bindVerb", "enableHTTPS", "tlsConfig",
        "httpTimeout", "nodeCacheCapable", "managedResources", "ignorable",
    )  # fmt: skip
    found = []
    for index, entry in enumerate(entries):
        path = f"extenders[{index}]"
        reject_unknown(entry, known, path)
        if entry.get("prioritizeVerb") and int(entry.get("weight") or 0) <= 0:
            raise ArgsError(f"{path}.weight: Invalid value: must have a positive weight applied to it")
        tls = entry.get("tlsConfig") or {}
        reject_unknown(tls, ("insecure", "serverName", "certFile", "keyFile", "caFile"), f"{path}.tlsConfig")
        if tls.get("serverName"):
            raise ArgsError(f"{path}.tlsConfig.serverName: Unsupported value: not supported")
        if entry.get("preemptVerb"):
            raise ArgsError(f"{path}.preemptVerb: Unsupported value: extenders do not take part in preemption")
        found.append(
            Extender(
                url_prefix=str(entry.get("urlPrefix") or "").rstrip("/"),
                filter_verb=entry.get("filterVerb") or "",
                prioritize_verb=entry.get("prioritizeVerb") or "",
                bind_verb=entry.get("bindVerb") or "",
                weight=int(entry.get("weight") or 0),
                timeout_s=duration_s(entry.get("httpTimeout") or "5s", f"{path}.httpTimeout"),
                node_cache_capable=bool(entry.get("nodeCacheCapable")),
                managed_resources=tuple(
                    (str(resource.get("name")), bool(resource.get("ignoredByScheduler")))
                    for resource in entry.get("managedResources") or ()
                ),
                ignorable=bool(entry.get("ignorable")),
                ca_file=tls.get("caFile") or "",
                cert_file=tls.get("certFile") or "",
                key_file=tls.get("keyFile") or "",
                insecure=bool(tls.get("insecure")),
            )
        )
    if sum(bool(extender.bind_verb) for extender in found) > 1:
        raise ArgsError("extenders: Invalid value: only one extender can implement bind")
    return tuple(found)


def duration_s(text: object, path: str) -> float:
    """A Go duration (``1m30s``, ``500ms``) in seconds. Raises ``ArgsError``."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d*)?)(h|ms|us|ns|m|s)", str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        raise ArgsError(f'{path}: Invalid value: "{text}": not a duration')
    return sum(float(number) * units[unit] for number, unit in parts)
