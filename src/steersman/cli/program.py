"""What every component's command does around its component: event loop, logging, signals, health and metrics.

A component's command parses its flags and calls ``run_component``. Called on its own, that runs the component until
SIGTERM or SIGINT; under ``steersman run`` several components share one process and one event loop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import click
from msgspec import Struct, field

from steersman.aio import threads
from steersman.aio.clock import Clock, SystemClock
from steersman.aio.tasks import TaskGroup

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from steersman.client.api import Client

STOP_GRACE_S = 25.0
log = logging.getLogger(__name__)


def leader_identity() -> str:
    """A name of this process that no other has; it says on which machine which one leads."""
    return f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4()}"


class Component(Protocol):
    """A part of Kubernetes that runs until it is cancelled."""

    async def run(self) -> None: ...

    def ready(self) -> bool:
        """What /readyz answers."""


class Delegation(Struct, frozen=True, kw_only=True):
    """How a component's own server asks the API server about its callers (``cli.delegation``)."""

    authentication_kubeconfig: str = ""
    """Without it only client certificates say who somebody is."""
    authorization_kubeconfig: str = ""
    """Without it nothing is allowed but ``always_allow_paths``."""
    always_allow_paths: tuple[str, ...] = ("/healthz", "/readyz", "/livez")
    client_ca_file: str = ""
    skips_lookup: bool = False
    """Do not take the authority of clients from the API server."""
    tolerates_lookup_failure: bool = True
    token_ttl_s: float = 10.0
    authorized_ttl_s: float = 10.0
    unauthorized_ttl_s: float = 10.0


@runtime_checkable
class Documented(Protocol):
    """A component that serves more than its health and its metrics."""

    def documents(self) -> Mapping[str, Callable[[], bytes]]:
        """By path."""


class Serving(Struct, frozen=True, kw_only=True):
    """Where a component answers /healthz, /livez, /readyz and /metrics. Port 0: nowhere."""

    bind_address: str = "127.0.0.1"
    port: int = 0
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    """Both empty: plain HTTP, as upstream's kube-proxy and kubelet health ports are; but see ``delegation``."""
    delegation: Delegation | None = None
    """Always over TLS then, with a certificate made here where none is named. None: everybody may read everything."""
    cert_dir: str = ""
    """Where a certificate that is made here stays."""


class Environment(Struct, frozen=True, kw_only=True):
    """What a process lends to the components it runs."""

    clock: Clock
    rng: random.Random
    registry: CollectorRegistry
    clients: list[Client] = field(default_factory=list)
    """Closed when the process ends."""

    def client(self, kubeconfig: str, *, user_agent: str, master: str = "") -> Client:
        """A client for the kubeconfig's current context; without a file, for the cluster this pod runs in.

        ``master`` overrides the server's address. Raises ``click.UsageError`` where neither can be used.
        """
        from msgspec.structs import replace

        from steersman.client import kubeconfig as kubeconfigs
        from steersman.client.api import Client
        from steersman.client.http import HTTPTransport

        try:
            config = kubeconfigs.load(kubeconfig) if kubeconfig else kubeconfigs.in_cluster(os.environ)
        except kubeconfigs.KubeConfigError as error:
            raise click.UsageError(str(error)) from error
        if master:
            config = replace(config, server=master.rstrip("/"))
        client = Client(HTTPTransport(config, clock=self.clock), user_agent=f"{user_agent}/v1.36.0 (steersman)")
        self.clients.append(client)
        return client


Build = Callable[[Environment], Awaitable[Component]]
"""Makes the component on the running event loop."""


class Program(Struct, frozen=True, kw_only=True):
    """A component whose flags have been read."""

    name: str
    build: Build
    serving: Serving = field(default_factory=Serving)
    stop_grace_s: float = STOP_GRACE_S
    """How long it may take to end."""


class Collector(Struct):
    """Under ``steersman run``: takes programs instead of running them, to run them together afterwards."""

    programs: list[Program] = field(default_factory=list)
    verbosity: int = 0


def run_component(
    name: str, build: Build, *, serving: Serving | None = None, verbosity: int = 0, stop_grace_s: float = STOP_GRACE_S
) -> None:
    """Run one component to its end, or hand it to the ``Collector`` of ``steersman run``."""
    program = Program(name=name, build=build, serving=serving or Serving(), stop_grace_s=stop_grace_s)
    context = click.get_current_context(silent=True)
    collector = context.find_object(Collector) if context is not None else None
    if collector is not None:
        collector.programs.append(program)
        collector.verbosity = max(collector.verbosity, verbosity)
        return
    run_programs([program], verbosity=verbosity)


def run_programs(programs: Sequence[Program], *, verbosity: int = 0) -> None:
    """Run ``programs`` on one event loop until a signal; exits with 1 when one of them fails."""
    configure_logging(verbosity)
    threads.insist()
    try:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(programs))
    except ImportError:
        asyncio.run(_main(programs))
    except click.ClickException:
        raise
    except Exception as error:
        log.critical("%s: %s", ", ".join(program.name for program in programs), error, exc_info=error)
        sys.exit(1)


def configure_logging(verbosity: int) -> None:
    """``--v=2`` and above logs INFO's finer grains, 4 and above DEBUG, as upstream's levels are used."""
    level = logging.DEBUG if verbosity >= 4 else logging.INFO
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s.%(msecs)03d %(levelname).1s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )  # fmt: skip
    for chatty in ("aiohttp.access", "asyncio", "grpc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _calm_garbage_collector() -> None:
    """API objects are trees of dicts that die by reference counting; searching them for cycles after every 700
    allocations costs a busy component about a fifth of its time (bench/api)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _main(programs: Sequence[Program]) -> None:
    _calm_garbage_collector()
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(1)  # a second signal is for those who do not want to wait, as upstream has it
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    clock = SystemClock()
    clients: list[Client] = []
    try:
        await _run_until(stopped, programs, clock, clients)
    finally:
        for client in clients:
            await client.close()


async def _run_until(stopped: asyncio.Event, programs: Sequence[Program], clock: Clock, clients: list[Client]) -> None:
    from prometheus_client import CollectorRegistry, ProcessCollector

    async with TaskGroup("process") as group:
        for program in programs:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            environment = Environment(clock=clock, rng=random.Random(), registry=registry, clients=clients)
            component = await program.build(environment)
            group.spawn(component.run(), name=program.name)
            if program.serving.port:
                from steersman.cli.health import serve_health

                group.spawn(serve_health(program.serving, component, environment), name=f"{program.name}-health")
        stop = asyncio.ensure_future(stopped.wait())
        work = asyncio.ensure_future(group.wait())
        await asyncio.wait({stop, work}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if work.done():
            work.result()
            raise RuntimeError("a component ended by itself")
        work.cancel()
        log.info("stopping")
        grace_s = max(program.stop_grace_s for program in programs)
        try:
            async with asyncio.timeout(grace_s):
                await group.close()
        except TimeoutError:
            log.warning("not stopped in %.0f s; leaving", grace_s)
