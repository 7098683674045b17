"""KubeSchedulerConfiguration v1, read as upstream reads it: defaults and validation.

What is unknown is an error with its path. What upstream has and this scheduler does not is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.scheduler.extender_configuration import Extender, read_extenders
from steersman.scheduler.framework import Framework
from steersman.scheduler.plugin_args import API_VERSION, ArgsError, duration_s, percentage, reject_unknown
from steersman.scheduler.profiles import PluginSpec, read_profiles
from steersman.scheduler.shown_configuration import shown

KIND = "KubeSchedulerConfiguration"
WIRE_FORMAT = "application/json"


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message starts with the path of what is wrong."""


class LeaderElection(Struct, frozen=True, kw_only=True):
    """Upstream's defaults."""

    leader_elect: bool = True
    lease_duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_period_s: float = 2.0
    resource_name: str = "kube-scheduler"
    resource_namespace: str = "kube-system"


class ClientConnection(Struct, frozen=True, kw_only=True):
    """How the API server is reached, and how often it may be asked."""

    kubeconfig: str = ""
    qps: float = 0.0
    """Requests a second; 0: as many as it takes, unlike upstream's 50. Flow control is the API server's business."""
    burst: int = 0
    """How many may be made at once beyond that."""


class SchedulerConfiguration(Struct, frozen=True, kw_only=True):
    """A whole configuration."""

    frameworks: Mapping[str, Framework]
    """By scheduler name."""
    leader_election: LeaderElection = LeaderElection()
    client_connection: ClientConnection = ClientConnection()
    parallelism: int = 16
    """How many API calls one preemption makes side by side. Nodes are looked at all at once, not in parallel."""
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 10.0
    extenders: tuple[Extender, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    """All of it as it is in force (``shown_configuration``)."""
    delays_cache_until_active: bool = False
    """A scheduler that stands by reads nothing until it leads."""


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
        "apiVersion", "kind", "parallelism", "leaderElection", "clientConnection", "enableProfiling",
        "enableContentionProfiling", "percentageOfNodesToScore", "podInitialBackoffSeconds", "podMaxBackoffSeconds",
        "profiles", "extenders", "delayCacheUntilActive",
    )  # fmt: skip
    reject_unknown(document, known)
    stated = document.get("parallelism")
    parallelism = 16 if stated is None else int(stated)
    if parallelism <= 0:
        raise ArgsError(f"parallelism: Invalid value: {parallelism}: should be an integer value greater than zero")
    for name in ("enableProfiling", "enableContentionProfiling"):
        if document.get(name):
            raise ArgsError(
                f"{name}: Unsupported value: true: this scheduler serves no profiles; leave it out or say false"
            )
    initial_s = float(document.get("podInitialBackoffSeconds", 1))
    max_s = float(document.get("podMaxBackoffSeconds", 10))
    if initial_s <= 0:
        raise ArgsError(f"podInitialBackoffSeconds: Invalid value: {initial_s:g}: must be greater than 0")
    if max_s < initial_s:
        raise ArgsError(
            f"podMaxBackoffSeconds: Invalid value: {max_s:g}: must be greater than or equal to PodInitialBackoffSeconds"
        )
    extenders = read_extenders(document.get("extenders") or ())
    ignored = sorted({name for extender in extenders for name, is_ignored in extender.managed_resources if is_ignored})
    score = percentage(document, "", 0)
    return SchedulerConfiguration(
        frameworks=read_profiles(document.get("profiles") or [{}], plugins, ignored, score),
        leader_election=_leader_election(document.get("leaderElection") or {}),
        client_connection=_client_connection(document.get("clientConnection") or {}),
        parallelism=parallelism,
        initial_backoff_s=initial_s,
        max_backoff_s=max_s,
        extenders=extenders,
        document=shown(document, plugins),
        delays_cache_until_active=bool(document.get("delayCacheUntilActive")),
    )


def _leader_election(stated: Mapping[str, Any]) -> LeaderElection:
    known = (
        "leaderElect", "leaseDuration", "renewDeadline", "retryPeriod", "resourceLock", "resourceName",
        "resourceNamespace",
    )  # fmt: skip
    path = "leaderElection"
    reject_unknown(stated, known, path)
    lock = stated.get("resourceLock") or "leases"
    if lock != "leases":
        raise ArgsError(f'{path}.resourceLock: Invalid value: "{lock}": resourceLock value must be "leases"')
    election = LeaderElection(
        leader_elect=bool(stated.get("leaderElect", True)),
        lease_duration_s=duration_s(stated.get("leaseDuration") or "15s", f"{path}.leaseDuration"),
        renew_deadline_s=duration_s(stated.get("renewDeadline") or "10s", f"{path}.renewDeadline"),
        retry_period_s=duration_s(stated.get("retryPeriod") or "2s", f"{path}.retryPeriod"),
        resource_name=stated.get("resourceName") or "kube-scheduler",
        resource_namespace=stated.get("resourceNamespace") or "kube-system",
    )
    if election.leader_elect:
        _check_times(election, path)
    return election


def _check_times(election: LeaderElection, path: str) -> None:
    for name, value in (
        ("leaseDuration", election.lease_duration_s), ("renewDeadline", election.renew_deadline_s),
        ("retryPeriod", election.retry_period_s),
    ):  # fmt: skip
        if value <= 0:
            raise ArgsError(f"{path}.{name}: Invalid value: {value:g}s: must be greater than zero")
    if election.lease_duration_s <= election.renew_deadline_s:
        raise ArgsError(
            f"{path}.leaseDuration: Invalid value: {election.lease_duration_s:g}s: must be greater than `RenewDeadline`"
        )
    if election.renew_deadline_s <= election.retry_period_s * 1.2:
        raise ArgsError(
            f"{path}.renewDeadline: Invalid value: {election.renew_deadline_s:g}s: must be greater than retryPeriod*1.2"
        )


def _client_connection(stated: Mapping[str, Any]) -> ClientConnection:
    path = "clientConnection"
    reject_unknown(stated, ("kubeconfig", "acceptContentTypes", "contentType", "qps", "burst"), path)
    for name in ("acceptContentTypes", "contentType"):
        wanted = [part.strip() for part in str(stated.get(name) or WIRE_FORMAT).split(",")]
        if WIRE_FORMAT not in wanted:
            raise ArgsError(f'{path}.{name}: Unsupported value: "{stated[name]}": this scheduler speaks {WIRE_FORMAT}')
    qps, burst = float(stated.get("qps") or 0.0), int(stated.get("burst") or 0)
    if burst < 0:
        raise ArgsError(f"{path}.burst: Invalid value: {burst}: must be non-negative")
    if burst and not qps:
        raise ArgsError(f"{path}.qps: Required value: burst says how much more than qps may be asked at once")
    return ClientConnection(
        kubeconfig=str(stated.get("kubeconfig") or ""), qps=max(qps, 0.0), burst=burst or (100 if qps > 0 else 0)
    )
