"""The scheduler as a component: configuration, leader election and what it says of itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from prometheus_client import CollectorRegistry

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.eventseries import SeriesRecorder
from steersman.client.leaderelection import LeaderElectionConfig, LeaderElector
from steersman.scheduler.configuration import (
    KIND,
    ConfigurationError,
    SchedulerConfiguration,
    read_configuration,
)
from steersman.scheduler.external import from_entry_points, from_file
from steersman.scheduler.http_extender import HTTPExtender
from steersman.scheduler.metrics import SchedulerMetrics
from steersman.scheduler.plugin_args import API_VERSION
from steersman.scheduler.plugins import REGISTRY
from steersman.scheduler.pod_resource_metrics import exposition
from steersman.scheduler.profiles import PluginSpec
from steersman.scheduler.shell import Shell, ShellConfig

DEFAULT_PLUGINS: tuple[PluginSpec, ...] = tuple(
    PluginSpec(name=plugin.NAME, make=plugin.from_args, weight=weight) for plugin, weight in REGISTRY
)


def default_configuration() -> SchedulerConfiguration:
    return read_configuration({}, DEFAULT_PLUGINS)


def load_configuration(
    path: str,
    leader_election: Mapping[str, Any] | None = None,
    plugin_files: Sequence[str] = (),
    client_connection: Mapping[str, Any] | None = None,
) -> SchedulerConfiguration:
    """The configuration in a YAML file (the default one without a path). ``leader_election`` has fields that flags give;
    as with kube-scheduler they win over what the file says, and those of ``client_connection`` count without a file
    only. ``plugin_files`` define plugins that profiles may name, as
    installed ones may. Raises ``OSError``, ``ConfigurationError``."""
    import yaml

    document: Any = {}
    if path:
        try:
            document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}: {error}") from error
        if not isinstance(document, dict):
            raise ConfigurationError(f"{path}: not a {KIND}")
    else:
        document = {"apiVersion": API_VERSION, "kind": KIND, "clientConnection": client_connection or {}}
    stated = {**(document.get("leaderElection") or {}), **(leader_election or {})}
    plugins = [*DEFAULT_PLUGINS, *from_entry_points()]
    for plugin_file in plugin_files:
        plugins += from_file(plugin_file)
    names = [plugin.name for plugin in plugins]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f'two plugins have the name "{name}"')
    return read_configuration({**document, "leaderElection": stated}, plugins)


class SchedulerConfig(Struct, frozen=True, kw_only=True):
    """How one scheduler runs."""

    configuration: SchedulerConfiguration = field(default_factory=default_configuration)
    identity: str = "steersman-scheduler"
    """Who it is in leader election; unique among its replicas."""
    host: str = "localhost"
    """Where it runs, as its events say."""
    seed: int = 0
    """Of the generator that breaks ties between equally good nodes."""
    runners_up: int = 3
    """How many other nodes the log names beside the chosen one (at DEBUG)."""
    max_unschedulable_s: float = 300.0


class Scheduler:
    """Places pods while it leads (or at once, without leader election)."""

    def __init__(
        self,
        *,
        client: Client,
        clock: Clock,
        config: SchedulerConfig | None = None,
        rng: random.Random | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._config = config or SchedulerConfig()
        connection = self._config.configuration.client_connection
        if connection.qps:
            client = client.limited(qps=connection.qps, burst=connection.burst, clock=clock)
        self._client = client
        self._clock = clock
        self._rng = rng or random.Random(self._config.seed)
        self._metrics = SchedulerMetrics(registry or CollectorRegistry())
        self._recorder = SeriesRecorder(client, instance=self._config.host, clock=clock)
        self._extenders = [HTTPExtender(extender) for extender in self._config.configuration.extenders]
        self._shell = self._new_shell()
        self._metrics.watch(lambda: self._shell)
        self._stands_by = False

    @property
    def shell(self) -> Shell:
        """What is at work, for explanations and tests."""
        return self._shell

    def ready(self) -> bool:
        """Informers are synced, or another replica leads."""
        return self._shell.synced or self._stands_by

    def documents(self) -> Mapping[str, Callable[[], bytes]]:
        """What its server shows beside health and metrics, by path."""
        configz = {"componentconfig": self._config.configuration.document}
        return {
            "/configz": lambda: msgspec.json.encode(configz),
            "/metrics/resources": lambda: exposition(self._shell.cluster, self._shell.queue),
        }

    async def run(self) -> None:
        """Until cancelled. Raises ``LostLeadership`` when another replica took over."""
        async with TaskGroup("scheduler-component") as group:
            group.supervise(self._recorder.run, name="events", clock=self._clock)
            election = self._config.configuration.leader_election
            if not election.leader_elect:
                group.spawn(self._shell.run(), name="shell")
            else:
                elector = LeaderElector(
                    self._client,
                    LeaderElectionConfig(
                        name=election.resource_name,
                        namespace=election.resource_namespace,
                        identity=self._config.identity,
                        lease_duration_s=election.lease_duration_s,
                        renew_deadline_s=election.renew_deadline_s,
                        retry_period_s=election.retry_period_s,
                    ),
                    clock=self._clock,
                    rng=self._rng,
                )
                self._stands_by = True
                if not self._config.configuration.delays_cache_until_active:
                    group.spawn(self._shell.follow(), name="informers")
                group.spawn(elector.run(self._lead), name="leader-election")
            try:
                await group.wait()
            finally:
                for extender in self._extenders:
                    await extender.close()

    async def _lead(self) -> None:
        self._stands_by = False
        if self._config.configuration.delays_cache_until_active:
            await self._shell.run()
        else:
            await self._shell.work()

    def _new_shell(self) -> Shell:
        configuration = self._config.configuration
        return Shell(
            self._client,
            configuration.frameworks,
            clock=self._clock,
            recorder=self._recorder,
            metrics=self._metrics,
            config=ShellConfig(
                parallelism=configuration.parallelism,
                initial_backoff_s=configuration.initial_backoff_s,
                max_backoff_s=configuration.max_backoff_s,
                max_unschedulable_s=self._config.max_unschedulable_s,
                runners_up=self._config.runners_up,
                seed=self._config.seed,
            ),
            extenders=self._extenders,
        )
