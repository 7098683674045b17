"""Puts a kubelet and its server together from flags and the completed configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steersman.cli.program import Environment
from steersman.kubelet.agent import Agent
from steersman.kubelet.component import Kubelet
from steersman.kubelet.configuration import ConfigurationError, KubeletConfig
from steersman.kubelet.configuration_file import API_VERSION, Document
from steersman.kubelet.host_checks import apply_to_process, check_host
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
from steersman.kubelet.server.certificates import ensure_self_signed
from steersman.kubelet.server.server import KubeletServer, ServerConfig
from steersman.kubelet.stats import StatsPlaces, StatsProvider
from steersman.meta.durations import parse_duration

if TYPE_CHECKING:
    from steersman.cli.kubelet import Flags
    from steersman.client.api import Client


async def build_agent(environment: Environment, flags: Flags, document: Document, config: KubeletConfig) -> Agent:
    """Raises ``click.UsageError`` where flags and configuration do not go with this machine."""
    client = environment.client(flags.kubeconfig, user_agent="kubelet")
    runtime = CRIRuntime(
        document["containerRuntimeEndpoint"],
        image_endpoint=document["imageServiceEndpoint"],
        clock=environment.clock,
        request_timeout_s=parse_duration(document["runtimeRequestTimeout"]),
    )
    mounter = ContainerdImageMounter(document["containerRuntimeEndpoint"])
    platform = machine_platform(config, runtime, clock=environment.clock, image_mounter=mounter)
    try:
        check_host(document, cgroup_v2=platform.is_cgroup_v2)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    apply_to_process(document)
    kubelet = Kubelet(
        client=client,
        clock=environment.clock,
        config=config,
        runtime=runtime,
        platform=platform,
        rng=environment.rng,
    )
    server = None
    if document["enableServer"]:
        server = _server(environment, flags, document, config, kubelet, client, runtime, platform)
    return Agent(kubelet, server)


def shown_configuration(document: Mapping[str, Any]) -> dict[str, Any]:
    """As ``/configz`` has it; values of headers may be secrets."""
    shown = {"kind": "KubeletConfiguration", "apiVersion": API_VERSION, **document}
    if document.get("staticPodURLHeader"):
        shown["staticPodURLHeader"] = {name: ["<masked>"] for name in document["staticPodURLHeader"]}
    return shown


def _server(
    environment: Environment,
    flags: Flags,
    document: Document,
    config: KubeletConfig,
    kubelet: Kubelet,
    client: Client,
    runtime: CRIRuntime,
    platform: Platform,
) -> KubeletServer:
    clock = environment.clock
    client_ca = document["authentication"]["x509"]["clientCAFile"]
    certificate, key = document["tlsCertFile"], document["tlsPrivateKeyFile"]
    if bool(certificate) != bool(key):
        raise click.UsageError("--tls-cert-file and --tls-private-key-file need each other")
    if not certificate:
        folder = flags.cert_dir or config.root_dir / "pki"
        certificate, key = ensure_self_signed(folder, config.node_name, platform.addresses, now_s=clock.now())
    return KubeletServer(
        pods=kubelet.lookup,
        runtime=runtime,
        stats=StatsProvider(
            runtime, node_name=config.node_name, places=StatsPlaces(root_dir=config.root_dir), clock=clock
        ),
        authenticator=_authenticator(environment, document, client),
        authorizer=_authorizer(environment, document, client, config.node_name),
        clock=clock,
        config=ServerConfig(
            address=document["address"],
            port=config.port,
            tls_cert_file=Path(certificate),
            tls_private_key_file=Path(key),
            client_ca_file=Path(client_ca) if client_ca else None,
            healthz_address=document["healthzBindAddress"],
            healthz_port=document["healthzPort"],
            checkpoint_dir=config.root_dir / "checkpoints",
        ),
        registry=environment.registry,
        configz=lambda: shown_configuration(document),
        healthy=kubelet.ready,
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
