"""The controller manager: every controller that is switched on, as one component, led by one of its replicas."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.events import EventRecorder
from steersman.client.informer import Informers
from steersman.client.leaderelection import LeaderElector
from steersman.controllers.config import ControllerManagerConfig
from steersman.controllers.kinds import NOT_RUN, REGISTRY
from steersman.controllers.metrics import ControllerMetrics
from steersman.controllers.runtime import NotRun, Registration, Runner, reconcile_log

log = reconcile_log(__name__)


class UnknownController(ValueError):
    """``--controllers`` names what does not exist."""


def selected(
    config: ControllerManagerConfig,
    registry: Sequence[Registration] = REGISTRY,
    not_run: Sequence[NotRun] = NOT_RUN,
) -> list[Registration]:
    """The controllers to run. Raises ``UnknownController``.

    As upstream: of several words about one controller the first counts, and one that a feature gate disables is skipped even
    where it is named.
    """
    chosen_names = _canonical(config.controllers, [*registry, *not_run])
    for entry in not_run:
        if entry.is_off_by_default and entry.name in chosen_names:
            raise UnknownController(f"{entry.name!r} cannot be run: {entry.because}")
        if _runs(entry.name, chosen_names, on_by_default=not entry.is_off_by_default):
            log.info("%s is not started: %s", entry.name, entry.because)
    chosen = []
    for registration in registry:
        if not _runs(registration.name, chosen_names, on_by_default=registration.on_by_default):
            continue
        if not registration.enabled(config):
            log.info("%s is not started: its configuration is missing", registration.name)
            continue
        chosen.append(registration)
    return chosen


def _canonical(names: Sequence[str], known: Sequence[Registration | NotRun]) -> list[str]:
    """``names`` without aliases. Raises ``UnknownController``."""
    canonical = {alias: entry.name for entry in known for alias in (*entry.aliases, entry.name)}
    chosen = []
    for name in names:
        bare = name.removeprefix("-")
        if name != "*" and bare not in canonical:
            raise UnknownController(f'"{bare}" is not in the list of known controllers')
        chosen.append(name if name == "*" else name.removesuffix(bare) + canonical[bare])
    return chosen


def _runs(name: str, chosen: Sequence[str], *, on_by_default: bool) -> bool:
    for word in chosen:
        if word in (name, f"-{name}"):
            return word == name
    return "*" in chosen and on_by_default


class ControllerManager:
    """Runs controllers against one API server until cancelled.

    ``client_of`` gives each controller its own identity (upstream's ``--use-service-account-credentials``), by the name of its
    service account in kube-system; without it all work as ``client``'s user.
    """

    def __init__(
        self,
        *,
        client: Client,
        clock: Clock,
        config: ControllerManagerConfig,
        rng: random.Random,
        registry: CollectorRegistry | None = None,
        client_of: Callable[[str], Client] | None = None,
        controllers: Sequence[Registration] = REGISTRY,
    ) -> None:
        self._client = client
        self._clock = clock
        self._config = config
        self._rng = rng
        self._metrics = ControllerMetrics(registry or CollectorRegistry())
        self._client_of = client_of
        self._registrations = selected(config, controllers)
        self._stands_by = config.leader_election is not None
        self.informers: Informers | None = None
        self.runners: list[Runner] = []

    def ready(self) -> bool:
        """Standing by, or leading with every cache filled."""
        if not self.runners:
            return self._stands_by
        return all(runner.ready for runner in self.runners)

    @property
    def quiet(self) -> bool:
        """Every controller has nothing to do until something changes or time passes."""
        return bool(self.runners) and all(runner.ready and runner.quiet for runner in self.runners)

    async def run(self) -> None:
        """Raises ``LostLeadership`` when another replica took over: the process has to end."""
        election = self._config.leader_election
        if election is None:
            await self._lead()
            return
        await LeaderElector(self._client, election, clock=self._clock, rng=self._rng).run(self._lead)

    async def _lead(self) -> None:
        informers = self.informers = Informers(self._client, clock=self._clock, name="controller-informers")
        self.runners = [self._runner(registration, informers) for registration in self._registrations]
        try:
            async with TaskGroup("controllers") as group:
                group.spawn(informers.run(), name="informers")
                for runner in self.runners:
                    group.spawn(runner.run(), name=runner.name)
                await group.wait()
        finally:
            self.runners = []

    def _runner(self, registration: Registration, informers: Informers) -> Runner:
        account = registration.name if registration.service_account is None else registration.service_account
        client = self._client_of(account) if self._client_of is not None and account else self._client
        return Runner(
            registration,
            client=client.with_user_agent(f"steersman-controller-manager/{registration.name}"),
            informers=informers,
            clock=self._clock,
            config=self._config,
            rng=random.Random(self._rng.getrandbits(64)),
            events=EventRecorder(client, component=registration.event_source or registration.name, clock=self._clock),
            metrics=self._metrics.queue(registration.name),
        )
