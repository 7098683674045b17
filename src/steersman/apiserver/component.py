"""One API server: its parts put together, started, served and stopped."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.admission.chain import AdmissionChain
from steersman.apiserver.admission.equivalents import ServedVersions
from steersman.apiserver.admission.metrics import AdmissionMetrics
from steersman.apiserver.admission.policies.metrics import PolicyMetrics
from steersman.apiserver.aggregation.aggregator import Aggregator
from steersman.apiserver.aggregation.metrics import AvailabilityMetrics
from steersman.apiserver.api import API, ServedKinds, StorageHook
from steersman.apiserver.audit.configuration import backend_of
from steersman.apiserver.audit.metrics import AuditMetrics
from steersman.apiserver.authn.anonymous import AnonymousAuthenticator
from steersman.apiserver.authn.inprocess import InProcessAuthenticator
from steersman.apiserver.authn.union import UnionAuthenticator
from steersman.apiserver.authz.metrics import DecisionMetrics
from steersman.apiserver.bootstrap.cluster import bootstrap
from steersman.apiserver.bootstrap.clusterauthentication import ClusterAuthentication
from steersman.apiserver.certificates import CertificateRequester
from steersman.apiserver.config import APIServerConfig, Listener, extension_authentication, identity_headers
from steersman.apiserver.core import Core
from steersman.apiserver.discovery.handlers import Discovery
from steersman.apiserver.endpoints.routes import OWN_VERBS, SUBRESOURCES, VERBS
from steersman.apiserver.extensions.conversion import Conversions
from steersman.apiserver.extensions.conversionmetrics import ConversionMetrics
from steersman.apiserver.extensions.customkinds import CustomKinds
from steersman.apiserver.extensions.rulemetrics import RuleMetrics
from steersman.apiserver.filters.api import Filter
from steersman.apiserver.filters.audit import AuditFilter
from steersman.apiserver.filters.authentication import AuthenticationFilter
from steersman.apiserver.filters.authorization import AuthorizationFilter
from steersman.apiserver.filters.chain import chain
from steersman.apiserver.filters.deadline import DeadlineFilter
from steersman.apiserver.filters.flowcontrol import FlowControlFilter
from steersman.apiserver.filters.impersonation import ImpersonationFilter
from steersman.apiserver.flowcontrol.api import FlowController
from steersman.apiserver.flowcontrol.component import HOOKS as FLOW_CONTROL_HOOKS
from steersman.apiserver.flowcontrol.component import FlowControl
from steersman.apiserver.flowcontrol.maxinflight import MaxInFlight
from steersman.apiserver.health import PING, HealthCheck, HealthEndpoint
from steersman.apiserver.impersonation.modes import Impersonation
from steersman.apiserver.index import index
from steersman.apiserver.metrics.comparisons import ComparisonMetrics
from steersman.apiserver.metrics.credentials import CredentialMetrics
from steersman.apiserver.metrics.exposition import MetricsPath
from steersman.apiserver.metrics.health import HealthMetrics
from steersman.apiserver.metrics.identity import IdentityMetrics
from steersman.apiserver.metrics.impersonation import ImpersonationMetrics
from steersman.apiserver.metrics.requests import RequestMetrics
from steersman.apiserver.metrics.storage import StorageMetrics
from steersman.apiserver.metrics.watches import WatchMetrics
from steersman.apiserver.openapi.handlers import OpenAPIPaths
from steersman.apiserver.openid import OpenIDPaths
from steersman.apiserver.plugins import Plugins, Surroundings, assemble
from steersman.apiserver.proxying.backend import Backends
from steersman.apiserver.proxying.locations import Locations
from steersman.apiserver.reader import CacheReader
from steersman.apiserver.requestinfo import request_info
from steersman.apiserver.router import PathHandler, Router
from steersman.apiserver.services.addresses import ServiceAddresses
from steersman.apiserver.services.allocation import ServiceAllocation
from steersman.apiserver.services.clusterips import ClusterIPs
from steersman.apiserver.services.counting import AllocatorMetrics
from steersman.apiserver.services.kubernetesservice import KubernetesService
from steersman.apiserver.services.networks import first_address
from steersman.apiserver.services.nodeports import NodePorts
from steersman.apiserver.services.repair import repair
from steersman.apiserver.tls import server_context
from steersman.apiserver.version import build_info, serve_version
from steersman.apiserver.watching import WatchTimer
from steersman.apiserver.webhooks.client import WebhookClient
from steersman.apiserver.zpages import ZPages
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import APIError
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS, SERVICES
from steersman.meta.wire import Request, Response
from steersman.schema.groups import REGISTRY
from steersman.schema.registry import Registry
from steersman.store.api import Store, StoreUnavailable
from steersman.store.compaction import Compactor
from steersman.store.objects import ObjectStore

if TYPE_CHECKING:
    import ssl

    from steersman.apiserver.http import HTTPServer

log = logging.getLogger(__name__)

OWN_USER = "system:apiserver"


class APIServer:
    """Serves the kinds of ``schema.groups`` from ``store``. ``handle`` answers requests once it is started."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        config: APIServerConfig,
        rng: random.Random,
        plugins: Callable[[Surroundings], Plugins] = assemble,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._tasks = TaskGroup("apiserver")
        self._bootstrapped = False
        self._stopping = False
        self._server: HTTPServer | None = None
        self.metrics = RequestMetrics(registry or CollectorRegistry(), clock=clock)
        build_info(self.metrics.registry)
        self._identity_metrics = IdentityMetrics(self.metrics.registry)
        self._impersonation_metrics = ImpersonationMetrics(self.metrics.registry)
        self._health_metrics = HealthMetrics(CollectorRegistry())
        self._handshake_errors = Counter(
            "apiserver_tls_handshake_errors",
            "Number of requests dropped with 'TLS handshake error from' error",
            registry=self.metrics.registry,
        )
        self.kinds = ServedKinds(Registry(REGISTRY))
        self._storage_metrics = StorageMetrics(self.metrics.registry, self.kinds)
        self.objects = ObjectStore(store, clock=clock, observer=self._storage_metrics)
        self._storage_metrics.expose(self.objects)
        self.reader = CacheReader(self.objects, self.kinds)
        self._watches = WatchTimer(clock)
        self._deadlines = DeadlineFilter(clock, limit_s=config.request_timeout_s, gave_up=self.metrics.gave_up)
        self._clusterips = ClusterIPs(
            self.objects, self.kinds, self.reader, cidrs=config.services.cidrs, clock=clock, rng=rng
        )
        first, last = config.services.node_ports
        self._nodeports = NodePorts(self.objects, first=first, last=last, rng=rng)
        AllocatorMetrics(
            self.metrics.registry,
            addresses=self._clusterips.usage,
            address_counts=self._clusterips.counts,
            ports=self._nodeports.usage,
            port_counts=self._nodeports.counts,
        )
        self._backends = Backends()
        self._webhooks = WebhookClient(
            ServiceAddresses(self.reader, rng=rng), clock=clock, loopback=self.handle, loopback_user=OWN_USER
        )
        self.client = Client(
            InProcessTransport(self.handle, user=OWN_USER), user_agent="kube-apiserver/v1.36.0 (steersman)"
        )
        """Acts as the server itself."""
        admission_metrics = AdmissionMetrics(self.metrics.registry)
        chosen = plugins(self._surroundings(rng, admission_metrics))
        self.api = self._make_api(chosen, rng, admission_metrics)
        self._aggregator = self._make_aggregator(rng)
        self._audit = self._recording()
        self._flow_control = self._priorities() if chosen.flow_controller is None else None
        self._core = Core(
            chain(self._filters(chosen), self._router(chosen)),
            clock=clock,
            rng=rng,
            metrics=self.metrics,
            max_body_bytes=config.max_body_bytes,
        )
        if self._flow_control is not None:
            self._flow_control.expose(self.metrics.registry)
        self._customs = self._make_customs(rng)
        self._authentication = ClusterAuthentication(
            self.client, self.objects, extension_authentication(config), clock=clock
        )
        self._kubernetes = self._make_kubernetes()

    def _surroundings(self, rng: random.Random, admission_metrics: AdmissionMetrics) -> Surroundings:
        """What plugins are made from."""
        return Surroundings(
            config=self._config,
            reader=self.reader,
            clock=self._clock,
            rng=rng,
            versions=ServedVersions(self.kinds),
            webhooks=self._webhooks,
            admission_metrics=admission_metrics,
            registry=self.metrics.registry,
            credential_metrics=CredentialMetrics(self.metrics.registry),
            decisions=DecisionMetrics(self.metrics.registry),
            policy_metrics=PolicyMetrics(self.metrics.registry),
            client=self.client,
        )

    def _make_api(self, chosen: Plugins, rng: random.Random, admission_metrics: AdmissionMetrics) -> API:
        return API(
            objects=self.objects,
            kinds=self.kinds,
            admission=AdmissionChain(chosen.admission, clock=self._clock, metrics=admission_metrics),
            authorizer=chosen.authorizer,
            clock=self._clock,
            rng=rng,
            config=self._config,
            watches=self._watches,
            locations=Locations(self.reader, self._config.kubelets, rng=rng),
            backends=self._backends,
            watch_metrics=WatchMetrics(self.metrics.registry),
            storage_metrics=self._storage_metrics,
            comparison_metrics=ComparisonMetrics(self.metrics.registry),
            hooks=self._hooks(),
        )

    def _make_aggregator(self, rng: random.Random) -> Aggregator:
        return Aggregator(
            objects=self.objects,
            kinds=self.kinds,
            reader=self.reader,
            client=self.client,
            backends=self._backends,
            config=self._config,
            metrics=AvailabilityMetrics(self.metrics.registry),
            clock=self._clock,
            rng=rng,
            has_been_ready=lambda: self._bootstrapped,
        )

    def _make_customs(self, rng: random.Random) -> CustomKinds:
        conversions = Conversions(
            self._webhooks, clock=self._clock, rng=rng, metrics=ConversionMetrics(self.metrics.registry)
        )
        rules = RuleMetrics(self.metrics.registry, clock=self._clock)
        return CustomKinds(self.api, self.client, conversions, rules=rules, clock=self._clock, tasks=self._tasks)

    def _make_kubernetes(self) -> KubernetesService:
        return KubernetesService(
            self.client,
            self._store,
            clock=self._clock,
            address=self._config.advertise_address,
            port=self._config.secure_port,
            cluster_ip=first_address(self._config.services.cidrs),
        )

    # -- life

    async def start(self) -> None:
        """Open the store, fill the cache, make what every cluster has. Raises ``StoreUnavailable`` and ``APIError``."""
        await self._store.start()
        await self.objects.start()
        if self._audit is not None:
            self._audit.start(self._tasks)
        self._tasks.spawn(self._deadlines.run(), name="deadlines")
        self._tasks.spawn(self._watches.run(), name="watch-timer")
        self._customs.start()
        self._tasks.spawn(
            Compactor(self._store, clock=self._clock, compacted=self.objects.compacted).run(), name="compaction"
        )
        await repair(self.reader, self._clusterips, self._nodeports)
        await bootstrap(
            self.client,
            service_cidrs=self._config.services.cidrs,
            with_rbac="RBAC" in self._config.authorization_modes,
            now_s=self._clock.now(),
        )
        await self._authentication.reconcile()
        self._tasks.spawn(self._authentication.run(), name="cluster-authentication")
        await self._aggregator.start(self._tasks)
        if self._flow_control is not None:
            await self._flow_control.start(self.client, self._tasks)
        if self._config.reconcile_endpoints:
            await self._kubernetes.reconcile()
            self._tasks.spawn(self._kubernetes.run(), name="kubernetes-service")
        self._bootstrapped = True

    async def run(self) -> None:
        """Start, serve where the configuration says, and close when cancelled."""
        try:
            await self.start()
            listener = self._config.listener
            if listener is not None:
                await self.serve(listener.bind_address, listener.port, tls=self.tls(listener))
                log.info("serving on %s:%d", listener.bind_address, listener.port)
            await self._tasks.wait()
        finally:
            await self.close()

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises but for cancellation."""
        return await self._core(request)

    async def serve(self, host: str, port: int, *, tls: ssl.SSLContext | None) -> int:
        """Serve HTTP(S); returns the port. May be called for several addresses."""
        if self._server is None:
            from steersman.apiserver.http import HTTPServer  # an embedded server does without aiohttp

            self._server = HTTPServer(
                self.handle, max_body_bytes=self._config.max_body_bytes, streams_body=self._is_passed_on
            )
        return await self._server.listen(host, port, tls=tls)

    def tls(self, listener: Listener) -> ssl.SSLContext:
        """For serving there. Raises ``OSError``, ``ssl.SSLError``."""
        return server_context(listener, self._config, failed=self._handshake_errors.inc)

    def _is_passed_on(self, method: str, path: str) -> bool:
        """The request's body is for somebody else: it is passed on as it comes."""
        if "/proxy" in path and request_info(Request(method=method, path=path)).subresource == "proxy":
            return True
        return self._aggregator.directory.route(path) is not None

    def ready(self) -> bool:
        """What /readyz answers."""
        return not self._readyz.failing()

    async def close(self) -> None:
        """Fail /readyz, finish what was accepted, end the watches cleanly, then stop everything else. Once."""
        if self._stopping:
            return
        self._stopping = True
        if self._server is not None:
            self._server.is_stopping = True
        if self._bootstrapped and self._config.reconcile_endpoints:
            try:
                await self._kubernetes.withdraw()
            except (APIError, StoreUnavailable) as error:
                log.warning("this server could not be taken out of the kubernetes Service: %s", error)
        config = self._config
        if self._server is not None:
            if config.shutdown_delay_s:
                await self._clock.sleep(config.shutdown_delay_s)
            self._server.stop_listening()
        self._watches.close()
        if self._server is not None:
            await self._server.close(grace_s=config.shutdown_grace_s, linger_s=config.shutdown_linger_s)
        if self._audit is not None:
            await self._audit.close()
        self._aggregator.close()
        await self._tasks.close()
        await self._backends.close()
        await self._webhooks.close()
        await self.objects.close()
        await self._store.close()

    # -- parts

    def _hooks(self) -> Mapping[tuple[str, str], StorageHook]:
        services, requests = SERVICES, CERTIFICATESIGNINGREQUESTS
        return {
            (services.group, services.plural): ServiceAllocation(self._clusterips, self._nodeports, self._tasks),
            (requests.group, requests.plural): CertificateRequester(),
        }

    def _filters(self, chosen: Plugins) -> list[Filter]:
        authenticator = UnionAuthenticator(
            (InProcessAuthenticator(), *chosen.authenticators),
            last=AnonymousAuthenticator() if self._config.anonymous_auth else None,
        )
        return [
            self._deadlines,
            AuthenticationFilter(
                authenticator,
                clock=self._clock,
                metrics=self._identity_metrics,
                identity_headers=identity_headers(self._config.request_header),
                audit=self._audit,
            ),
            *([self._audit] if self._audit is not None else []),
            ImpersonationFilter(
                Impersonation(chosen.authorizer, clock=self._clock, metrics=self._impersonation_metrics)
            ),
            FlowControlFilter(
                self._flow_controller(chosen), clock=self._clock, durations=self._identity_metrics.flow_control
            ),
            AuthorizationFilter(chosen.authorizer, clock=self._clock, metrics=self._identity_metrics),
        ]

    def _recording(self) -> AuditFilter | None:
        config, metrics = self._config.audit, AuditMetrics(self.metrics.registry)
        backend = backend_of(config, clock=self._clock, rng=self.api.rng, metrics=metrics)
        if backend is None or config.policy is None:
            return None
        return AuditFilter(config.policy, backend, clock=self._clock, metrics=metrics)

    def _priorities(self) -> FlowControl | None:
        config = self._config
        seats = config.max_requests_inflight + config.max_mutating_requests_inflight
        if not config.enable_priority_and_fairness or not seats:
            return None
        return FlowControl(
            seats,
            request_timeout_s=config.request_timeout_s,
            store=self.objects,
            kinds=self.kinds,
            reader=self.reader,
            clock=self._clock,
            rng=self.api.rng,
        )

    def _flow_controller(self, chosen: Plugins) -> FlowController:
        if chosen.flow_controller is not None:
            return chosen.flow_controller
        if self._flow_control is not None:
            return self._flow_control.controller
        config = self._config
        return MaxInFlight(reads=config.max_requests_inflight, writes=config.max_mutating_requests_inflight)

    def _router(self, chosen: Plugins) -> Router:
        address = f"{self._config.advertise_address}:{self._config.secure_port}"
        store = HealthCheck(name="etcd", failure=self._store_failure)
        names = ("start-bootstrap", *(FLOW_CONTROL_HOOKS if self._flow_control is not None else ()))
        hooks = [HealthCheck(name=f"poststarthook/{name}", failure=self._bootstrap_failure) for name in names]
        shutdown = HealthCheck(name="shutdown", failure=lambda: "process is shutting down" if self._stopping else "")
        sync = HealthCheck(name="informer-sync", failure=self._bootstrap_failure)
        log_check = HealthCheck(name="log", failure=lambda: "")
        registered = HealthCheck(name="autoregister-completion", failure=self._aggregator.completion_failure)
        self._readyz = HealthEndpoint(
            "readyz", (PING, log_check, store, sync, *hooks, registered, shutdown), self._health_metrics
        )
        discovery = Discovery(self.kinds, self._aggregator, server_address=address)
        alive = (PING, log_check, store, *hooks, registered)
        healthz, livez = (HealthEndpoint(name, alive, self._health_metrics) for name in ("healthz", "livez"))
        endpoints = (
            healthz,
            livez,
            self._readyz,
            discovery,
            OpenAPIPaths(self.kinds, self._aggregator, clock=self._clock),
            MetricsPath(self.metrics.registry, self._health_metrics.registry, refresh=self._refresh_metrics),
            OpenIDPaths(self._config),
            ZPages(self._config.flags, clock=self._clock),
        )
        paths: dict[str, PathHandler] = {"/version": serve_version}
        prefixes: dict[str, PathHandler] = {}
        for endpoint in endpoints:
            paths |= endpoint.paths
            prefixes |= endpoint.prefixes

        paths["/"] = index(paths, (healthz, livez, self._readyz), discovery.group_paths)
        if self._flow_control is not None:
            paths |= self._flow_control.paths
        return Router(
            self.api,
            verbs=VERBS,
            own_verbs={**OWN_VERBS, **chosen.verbs},
            subresources={**SUBRESOURCES, **chosen.subresources},
            paths=paths,
            prefixes=prefixes,
            aggregator=self._aggregator,
            metrics=self.metrics,
        )

    async def _refresh_metrics(self) -> None:
        await self._storage_metrics.refresh(self._store)

    def _store_failure(self) -> str:
        return "" if self.objects.revision else "the store has not been read"

    def _bootstrap_failure(self) -> str:
        return "" if self._bootstrapped else "not finished"
