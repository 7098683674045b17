"""Puts a kubelet and its server together from flags and the completed configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steersman.cli.kubelet_identity import build_identity
from steersman.cli.program import Environment
from steersman.kubelet import node_object
from steersman.kubelet.agent import Agent
from steersman.kubelet.certificates.metrics import ServingCertificateMetrics
from steersman.kubelet.certificates.pair import PairStore
from steersman.kubelet.certificates.rotation import CertificateManager
from steersman.kubelet.certificates.signing_requests import SERVING_SIGNER, serving_template
from steersman.kubelet.component import Kubelet
from steersman.kubelet.configuration import ConfigurationError, KubeletConfig
from steersman.kubelet.configuration_file import API_VERSION, Document
from steersman.kubelet.host_checks import apply_to_process, check_host
from steersman.kubelet.iptables_chains import IPTablesChains
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_cgroups import over_reserved
from steersman.kubelet.node_resources.policies import PolicyError
from steersman.kubelet.node_resources.state_file import StateError
from steersman.kubelet.platform import Platform, machine_platform
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.runtimes.image_mounts import ContainerdImageMounter
from steersman.kubelet.server.authentication import (
    AnonymousAuthenticator,
    Authenticator,
    CertificateAuthenticator,
    TokenReviewAuthenticator,
    UnionAuthenticator,
)
from steersman.kubelet.server.authorization import AlwaysAllow, Authorizer, SubjectAccessReviewAuthorizer
from steersman.kubelet.server.certificates import ServerCertificate, ensure_self_signed
from steersman.kubelet.server.documents import About
from steersman.kubelet.server.server import KubeletServer, ServerConfig
from steersman.kubelet.server.tls_settings import TLSSettingsError, tls_settings
from steersman.meta.durations import parse_duration
from steersman.meta.quantities import format_decimal

if TYPE_CHECKING:
    from steersman.cli.kubelet import Flags
    from steersman.client.api import Client


async def build_agent(environment: Environment, flags: Flags, document: Document, config: KubeletConfig) -> Agent:
    """Raises ``click.UsageError`` where flags and configuration do not go with this machine."""
    certificates = flags.cert_dir or config.root_dir / "pki"
    metrics = KubeletMetrics(environment.registry)
    runtime = CRIRuntime(
        document["containerRuntimeEndpoint"],
        image_endpoint=document["imageServiceEndpoint"],
        clock=environment.clock,
        request_timeout_s=parse_duration(document["runtimeRequestTimeout"]),
        observe=metrics.observe_runtime,
        cgroup_root=config.cgroup_root,
    )
    mounter = ContainerdImageMounter(document["containerRuntimeEndpoint"])
    try:
        platform = machine_platform(config, runtime, clock=environment.clock, image_mounter=mounter)
        check_host(document, cgroup_v2=platform.is_cgroup_v2)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    total = node_object.capacity(config, platform.facts)
    held = {name: format_decimal(amount) for name, amount in node_object.reserved(config, total).items()}
    if problem := over_reserved(total, held):
        raise click.UsageError(problem)
    apply_to_process(document)
    identity = await build_identity(
        environment,
        kubeconfig=flags.kubeconfig,
        bootstrap_kubeconfig=flags.bootstrap_kubeconfig,
        cert_dir=certificates,
        node_name=config.node_name,
        rotate=document["rotateCertificates"],
    )
    try:
        kubelet = Kubelet(
            client=identity.client,
            clock=environment.clock,
            config=config,
            runtime=runtime,
            platform=platform,
            rng=environment.rng,
            metrics=metrics,
        )
    except (ConfigurationError, PolicyError, StateError) as error:
        raise click.UsageError(str(error)) from error
    client = kubelet.clients.api
    managers = [identity.manager] if identity.manager is not None else []
    server = None
    if document["enableServer"]:
        certificate, manager = _serving(environment, document, config, kubelet, client, platform, certificates)
        if manager is not None:
            managers.append(manager)
        server = _server(environment, flags, document, config, kubelet, client, runtime, certificate)
    chains = IPTablesChains(clock=environment.clock) if document["makeIPTablesUtilChains"] else None
    return Agent(kubelet, server, certificates=managers, chains=chains, clock=environment.clock)


def shown_configuration(document: Mapping[str, Any]) -> dict[str, Any]:
    """As ``/configz`` has it; values of headers may be secrets."""
    shown = {"kind": "KubeletConfiguration", "apiVersion": API_VERSION, **document}
    if document.get("staticPodURLHeader"):
        shown["staticPodURLHeader"] = {name: ["<masked>"] for name in document["staticPodURLHeader"]}
    return shown


def _serving(
    environment: Environment,
    document: Document,
    config: KubeletConfig,
    kubelet: Kubelet,
    client: Client,
    platform: Platform,
    folder: Path,
) -> tuple[ServerCertificate, CertificateManager | None]:
    """The server's certificate: from files, asked for of the cluster, or self-signed."""
    client_ca = document["authentication"]["x509"]["clientCAFile"]
    authority = Path(client_ca) if client_ca else None
    certificate, key = document["tlsCertFile"], document["tlsPrivateKeyFile"]
    if bool(certificate) != bool(key):
        raise click.UsageError("--tls-cert-file and --tls-private-key-file need each other")
    try:
        settings = tls_settings(document["tlsMinVersion"], document.get("tlsCipherSuites") or ())
    except TLSSettingsError as error:
        raise click.UsageError(str(error)) from error
    if document["serverTLSBootstrap"]:
        served = ServerCertificate(None, authority, settings=settings)
        files = (Path(certificate), Path(key)) if certificate else None
        store = PairStore(folder, "kubelet-server", files=files)
        metrics = ServingCertificateMetrics(environment.registry)
        manager = CertificateManager(
            signer=SERVING_SIGNER,
            template=lambda: serving_template(config.node_name, _addresses(kubelet)),
            store=store,
            client=lambda: client,
            clock=environment.clock,
            rng=environment.rng,
            adopted=served.use_pair,
            failed=metrics.errors.inc,
            rotated=metrics.lived.observe,
        )
        manager.load()
        metrics.follow(manager.ttl_s)
        return served, manager
    if not certificate:
        files = ensure_self_signed(folder, config.node_name, platform.addresses, now_s=environment.clock.now())
    else:
        files = (Path(certificate), Path(key))
    return ServerCertificate(files, authority, settings=settings), None


def _addresses(kubelet: Kubelet) -> list[Mapping[str, Any]]:
    return ((kubelet.node or {}).get("status") or {}).get("addresses") or []


def _server(
    environment: Environment,
    flags: Flags,
    document: Document,
    config: KubeletConfig,
    kubelet: Kubelet,
    client: Client,
    runtime: CRIRuntime,
    certificate: ServerCertificate,
) -> KubeletServer:
    clock = environment.clock
    return KubeletServer(
        pods=kubelet.lookup,
        runtime=runtime,
        stats=kubelet.upkeep.stats,
        authenticator=_authenticator(environment, document, client),
        authorizer=_authorizer(environment, document, client, config.node_name),
        certificate=certificate,
        clock=clock,
        config=ServerConfig(
            address=document["address"],
            port=config.port,
            healthz_address=document["healthzBindAddress"],
            healthz_port=document["healthzPort"],
            checkpoint_dir=config.root_dir / "checkpoints",
            read_only_port=document["readOnlyPort"],
            debugging_handlers=document["enableDebuggingHandlers"],
            system_logs=Path("/var/log") if document["enableSystemLogHandler"] else None,
            journalctl="journalctl" if document["enableSystemLogQuery"] else "",
            debug_flags=document["enableDebugFlagsHandler"],
        ),
        registry=environment.registry,
        probes=kubelet.probe_metrics.registry,
        about=About(
            configz=lambda: shown_configuration(document),
            flags=flags.given,
            healthy=kubelet.alive,
            version=config.version.removeprefix("v"),
            started_s=clock.now(),
        ),
    )


def _authenticator(environment: Environment, document: Document, client: Client) -> Authenticator:
    given = document["authentication"]
    authenticators: list[Authenticator] = [CertificateAuthenticator()] if given["x509"]["clientCAFile"] else []
    if given["webhook"]["enabled"]:
        ttl_s = parse_duration(given["webhook"]["cacheTTL"])
        authenticators.append(TokenReviewAuthenticator(client, clock=environment.clock, ttl_s=ttl_s))
    if given["anonymous"]["enabled"]:
        authenticators.append(AnonymousAuthenticator())
    return UnionAuthenticator(*authenticators)


def _authorizer(environment: Environment, document: Document, client: Client, node_name: str) -> Authorizer:
    given = document["authorization"]
    if given["mode"] == "AlwaysAllow":
        return AlwaysAllow()
    return SubjectAccessReviewAuthorizer(
        client,
        node_name=node_name,
        clock=environment.clock,
        authorized_ttl_s=parse_duration(given["webhook"]["cacheAuthorizedTTL"]),
        unauthorized_ttl_s=parse_duration(given["webhook"]["cacheUnauthorizedTTL"]),
    )
