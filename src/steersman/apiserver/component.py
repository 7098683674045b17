"""One API server: its parts put together, started and stopped."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.admission.api import AdmissionPlugin
from steersman.apiserver.admission.chain import AdmissionChain
from steersman.apiserver.api import API, ServedKinds
from steersman.apiserver.authn.anonymous import AnonymousAuthenticator
from steersman.apiserver.authn.api import Authenticator
from steersman.apiserver.authn.inprocess import InProcessAuthenticator
from steersman.apiserver.authn.union import UnionAuthenticator
from steersman.apiserver.authz.alwaysallow import AlwaysAllowAuthorizer
from steersman.apiserver.authz.api import Authorizer
from steersman.apiserver.authz.masters import SystemMastersAuthorizer
from steersman.apiserver.authz.union import UnionAuthorizer
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.core import Core
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.routes import SUBRESOURCES, VERBS
from steersman.apiserver.filters.api import Filter
from steersman.apiserver.filters.audit import AuditFilter, AuditSink
from steersman.apiserver.filters.authentication import AuthenticationFilter
from steersman.apiserver.filters.authorization import AuthorizationFilter
from steersman.apiserver.filters.chain import chain
from steersman.apiserver.filters.deadline import DeadlineFilter
from steersman.apiserver.filters.flowcontrol import FlowControlFilter, FlowController, MaxInFlight
from steersman.apiserver.filters.impersonation import ImpersonationFilter
from steersman.apiserver.metrics import RequestMetrics
from steersman.apiserver.reader import CacheReader
from steersman.apiserver.router import Router
from steersman.apiserver.watching import WatchTimer
from steersman.meta.wire import Request, Response
from steersman.schema.groups import REGISTRY
from steersman.schema.registry import Registry
from steersman.store.api import Store
from steersman.store.objects import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugins:
    """What is plugged into a server: authenticators, authorizers, admission, and endpoints of other packages."""

    authenticators: Sequence[Authenticator] = ()
    authorizers: Sequence[Authorizer] = (AlwaysAllowAuthorizer(),)
    admission: Sequence[AdmissionPlugin] = ()
    verbs: Mapping[tuple[str, str, str], Endpoint] = field(default_factory=dict)
    """(group, plural, verb) -> endpoint of kinds that are not stored, e.g. reviews."""
    subresources: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = field(default_factory=dict)
    audit: AuditSink | None = None
    flow_controller: FlowController | None = None


class APIServer:
    """Serves the kinds of ``schema.groups`` from ``store``. ``handle`` answers requests once it is started."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        config: APIServerConfig,
        rng: random.Random,
        plugins: Plugins | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self.metrics = RequestMetrics(registry or CollectorRegistry())
        self.objects = ObjectStore(store, clock=clock)
        self.kinds = ServedKinds(Registry(REGISTRY))
        self.reader = CacheReader(self.objects, self.kinds)
        self._tasks = TaskGroup("apiserver")
        self._watches = WatchTimer(clock)
        self._deadlines = DeadlineFilter(clock, limit_s=config.request_timeout_s)
        plugins = plugins or Plugins()
        authorizer = UnionAuthorizer((SystemMastersAuthorizer(), *plugins.authorizers))
        self.api = API(
            objects=self.objects,
            kinds=self.kinds,
            admission=AdmissionChain(plugins.admission),
            authorizer=authorizer,
            clock=clock,
            rng=rng,
            config=config,
            watches=self._watches,
        )
        router = Router(
            self.api, verbs=VERBS, subresources={**SUBRESOURCES, **plugins.subresources}, paths={}, prefixes={}
        )
        authenticator = UnionAuthenticator(
            (InProcessAuthenticator(), *plugins.authenticators),
            last=AnonymousAuthenticator() if config.anonymous_auth else None,
        )
        filters: list[Filter] = [
            self._deadlines,
            AuthenticationFilter(authenticator),
            *([AuditFilter(plugins.audit)] if plugins.audit is not None else []),
            ImpersonationFilter(authorizer),
            FlowControlFilter(plugins.flow_controller or MaxInFlight(config.max_in_flight)),
            AuthorizationFilter(authorizer),
        ]
        self._core = Core(
            chain(filters, router), clock=clock, rng=rng, metrics=self.metrics, max_body_bytes=config.max_body_bytes
        )

    async def start(self) -> None:
        """Open the store and fill the cache. Raises ``StoreUnavailable``."""
        await self._store.start()
        await self.objects.start()
        self._tasks.spawn(self._deadlines.run(), name="deadlines")
        self._tasks.spawn(self._watches.run(), name="watch-timer")

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises but for cancellation."""
        return await self._core(request)

    async def close(self) -> None:
        """End the watches, then everything else."""
        self._watches.close()
        await self._tasks.close()
        await self.objects.close()
        await self._store.close()
