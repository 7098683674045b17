"""``steersman kubelet``: a node's agent, with upstream's flag names."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steersman.cli.program import Environment, run_component

if TYPE_CHECKING:
    from steersman.client.api import Client
    from steersman.kubelet.agent import Agent
    from steersman.kubelet.configuration import KubeletConfig
    from steersman.kubelet.runtimes.api import Runtime
    from steersman.kubelet.server.server import KubeletServer

DEFAULT_ENDPOINT = "unix:///run/containerd/containerd.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says; None: not given, the configuration file's word counts."""

    kubeconfig: str
    config: Path | None
    container_runtime_endpoint: str | None
    image_service_endpoint: str | None
    address: str | None
    port: int | None
    healthz_bind_address: str | None
    healthz_port: int | None
    client_ca_file: Path | None
    tls_cert_file: Path | None
    tls_private_key_file: Path | None
    cert_dir: Path | None
    anonymous_auth: bool | None
    authorization_mode: str | None
    authentication_token_webhook: bool | None
    settings: Mapping[str, Any]
    """Arguments of ``KubeletConfig`` that were given as flags."""


def _list(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(entry for entry in value.split(",") if entry)


def _labels(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, str] | None:
    if value is None:
        return None
    labels = {}
    for entry in value.split(","):
        key, equals, text = entry.partition("=")
        if entry and not equals:
            raise click.BadParameter(f"{entry!r} is not key=value")
        if entry:
            labels[key] = text
    return labels


def _taints(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[dict[str, str], ...] | None:
    if value is None:
        return None
    taints = []
    for entry in filter(None, value.split(",")):
        rest, colon, effect = entry.rpartition(":")
        if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise click.BadParameter(f"{entry!r} is not key=value:effect")
        key, _, text = rest.partition("=")
        taints.append({"key": key, "value": text, "effect": effect} if text else {"key": key, "effect": effect})
    return tuple(taints)


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from steersman.kubelet.configuration import parse_duration

    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


FILE = click.Path(path_type=Path)


@click.command()
@click.option("--kubeconfig", default="", help="How to reach the API server.")
@click.option("--config", type=FILE, help="A KubeletConfiguration file (v1beta1); flags win over it.")
@click.option("--container-runtime-endpoint", help=f"CRI socket; default {DEFAULT_ENDPOINT}.")
@click.option("--image-service-endpoint", help="CRI socket for images, where it is another.")
@click.option("--hostname-override", help="The node's name; default: this machine's host name.")
@click.option("--node-ip", callback=_list, help="The node's addresses, the primary first.")
@click.option("--root-dir", type=FILE, help="Where pods' volumes are; default /var/lib/kubelet.")
@click.option("--pod-manifest-path", type=FILE, help="Directory of static pods.")
@click.option("--cluster-dns", callback=_list, help="The cluster's DNS servers.")
@click.option("--cluster-domain", help="The cluster's DNS domain; default cluster.local.")
@click.option("--resolv-conf", type=FILE, help="The node's resolv.conf; default /etc/resolv.conf.")
@click.option("--client-ca-file", type=FILE, help="Who may sign client certificates.")
@click.option("--tls-cert-file", type=FILE, help="The server's certificate; default: self-signed in --cert-dir.")
@click.option("--tls-private-key-file", type=FILE, help="The server's key.")
@click.option("--cert-dir", type=FILE, help="Where a self-signed certificate is kept; default <root-dir>/pki.")
@click.option("--address", help="Address of the server; default 0.0.0.0.")
@click.option("--port", type=int, help="Port of the server; default 10250.")
@click.option("--healthz-bind-address", help="Address of the plain /healthz; default 127.0.0.1.")
@click.option("--healthz-port", type=int, help="Port of the plain /healthz; default 10248, 0: none.")
@click.option("--anonymous-auth", type=bool, help="Let requests without credentials in as system:anonymous.")
@click.option("--authentication-token-webhook", type=bool, help="Ask the API server whose bearer tokens are.")
@click.option("--authorization-mode", type=click.Choice(["Webhook", "AlwaysAllow"]), help="Default Webhook.")
@click.option("--register-node", type=bool, help="Register the node with the API server; default true.")
@click.option("--node-labels", callback=_labels, help="Labels to register with: key=value,…")
@click.option("--register-with-taints", callback=_taints, help="Taints to register with: key=value:effect,…")
@click.option("--provider-id", help="The node's identity at its cloud provider.")
@click.option("--max-pods", type=int, help="How many pods the node takes; default 110.")
@click.option("--pod-cidr", help="The node's pod network, where nobody assigns one.")
@click.option("--cgroup-root", help="The cgroup below which pods' are; default /.")
@click.option("--cgroup-driver", type=click.Choice(["cgroupfs"]), help="Only cgroupfs.")
@click.option("--cpu-cfs-quota", type=bool, help="Enforce CPU limits; default true.")
@click.option("--seccomp-default", type=bool, help="RuntimeDefault for pods that name no seccomp profile.")
@click.option("--allowed-unsafe-sysctls", callback=_list, help="Sysctls beyond the safe ones; may end in *.")
@click.option("--serialize-image-pulls", type=bool, help="One image at a time; default true.")
@click.option("--max-parallel-image-pulls", type=int, help="How many images at a time.")
@click.option(
    "--node-status-update-frequency", callback=_seconds, help="How often the status is computed; default 10s."
)
@click.option("--sync-frequency", callback=_seconds, help="How often volumes are brought up to date; default 1m.")
@click.option("--file-check-frequency", callback=_seconds, help="How often static pods are looked for; default 20s.")
@click.option("--pod-log-dir", "pod_logs_dir", type=FILE, help="Where containers' logs are; default /var/log/pods.")
@click.option("--v", "verbosity", type=int, default=0, help="Log level.")
def command(verbosity: int, serialize_image_pulls: bool | None, cgroup_driver: str | None, **given: Any) -> None:
    """Run a node's agent: the pods that are bound to the node, on a container runtime."""
    names = {
        "hostname_override": "node_name",
        "node_ip": "node_ips",
        "pod_manifest_path": "static_pod_path",
        "register_with_taints": "taints",
        "node_status_update_frequency": "status_update_s",
        "sync_frequency": "sync_s",
        "file_check_frequency": "static_pod_check_s",
    }
    own = {name: given.pop(name) for name in Flags.__slots__ if name in given}
    settings = {names.get(name, name): value for name, value in given.items() if value is not None}
    if serialize_image_pulls is not None:
        settings.setdefault("max_parallel_image_pulls", 1 if serialize_image_pulls else 5)
    flags = Flags(**own, settings=settings)
    document = _document(flags)
    config = _config(flags, document)

    async def build(environment: Environment) -> Agent:
        return _build(environment, flags, document, config)

    run_component("kubelet", build, verbosity=verbosity)


def _document(flags: Flags) -> Mapping[str, Any]:
    from steersman.kubelet.configuration import ConfigurationError, load_configuration

    if flags.config is None:
        return {}
    try:
        return load_configuration(flags.config)
    except ConfigurationError as error:
        raise click.UsageError(f"--config: {error}") from error


def _config(flags: Flags, document: Mapping[str, Any]) -> KubeletConfig:
    from steersman.kubelet.configuration import ConfigurationError, KubeletConfig, settings_of

    try:
        settings = {"node_name": socket.gethostname().lower(), **settings_of(document), **flags.settings}
    except ConfigurationError as error:
        raise click.UsageError(f"--config={flags.config}: {error}") from error
    if flags.port is not None:
        settings["port"] = flags.port
    return KubeletConfig(**settings)


def _build(environment: Environment, flags: Flags, document: Mapping[str, Any], config: KubeletConfig) -> Agent:
    from steersman.kubelet.agent import Agent
    from steersman.kubelet.component import Kubelet
    from steersman.kubelet.platform import machine_platform
    from steersman.kubelet.runtimes.cri import CRIRuntime
    from steersman.kubelet.runtimes.image_mounts import ContainerdImageMounter

    endpoint = flags.container_runtime_endpoint or document.get("containerRuntimeEndpoint") or DEFAULT_ENDPOINT
    client = environment.client(flags.kubeconfig, user_agent="kubelet")
    runtime = CRIRuntime(endpoint, image_endpoint=flags.image_service_endpoint or "", clock=environment.clock)
    mounter = ContainerdImageMounter(endpoint)
    platform = machine_platform(config, runtime, clock=environment.clock, image_mounter=mounter)
    kubelet = Kubelet(
        client=client,
        clock=environment.clock,
        config=config,
        runtime=runtime,
        platform=platform,
        rng=environment.rng,
    )
    server = _server(environment, flags, document, config, kubelet, client, runtime, platform.addresses)
    return Agent(kubelet, server)


def _server(
    environment: Environment,
    flags: Flags,
    document: Mapping[str, Any],
    config: KubeletConfig,
    kubelet: Any,
    client: Client,
    runtime: Runtime,
    addresses: Sequence[str],
) -> KubeletServer:
    from steersman.kubelet.server.authentication import (
        AnonymousAuthenticator,
        Authenticator,
        CertificateAuthenticator,
        TokenReviewAuthenticator,
        UnionAuthenticator,
    )
    from steersman.kubelet.server.authorization import AlwaysAllow, SubjectAccessReviewAuthorizer
    from steersman.kubelet.server.certificates import ensure_self_signed
    from steersman.kubelet.server.server import KubeletServer, ServerConfig
    from steersman.kubelet.stats import StatsProvider

    clock = environment.clock
    authentication = document.get("authentication") or {}

    def choose(flag: Any, section: str, field: str, default: Any) -> Any:
        return flag if flag is not None else (authentication.get(section) or {}).get(field, default)

    client_ca = choose(flags.client_ca_file, "x509", "clientCAFile", None)
    authenticators: list[Authenticator] = [CertificateAuthenticator()] if client_ca else []
    if choose(flags.authentication_token_webhook, "webhook", "enabled", True):
        authenticators.append(TokenReviewAuthenticator(client, clock=clock))
    if choose(flags.anonymous_auth, "anonymous", "enabled", False):
        authenticators.append(AnonymousAuthenticator())
    mode = flags.authorization_mode or (document.get("authorization") or {}).get("mode") or "Webhook"
    certificate = flags.tls_cert_file or document.get("tlsCertFile")
    key = flags.tls_private_key_file or document.get("tlsPrivateKeyFile")
    if not certificate or not key:
        folder = flags.cert_dir or config.root_dir / "pki"
        certificate, key = ensure_self_signed(folder, config.node_name, addresses, now_s=clock.now())
    healthz_port = flags.healthz_port if flags.healthz_port is not None else document.get("healthzPort", 10248)
    return KubeletServer(
        pods=kubelet.lookup,
        runtime=runtime,
        stats=StatsProvider(runtime, node_name=config.node_name, root_dir=config.root_dir, clock=clock),
        authenticator=UnionAuthenticator(*authenticators),
        authorizer=AlwaysAllow()
        if mode == "AlwaysAllow"
        else SubjectAccessReviewAuthorizer(client, node_name=config.node_name, clock=clock),
        clock=clock,
        config=ServerConfig(
            address=flags.address or document.get("address") or "0.0.0.0",
            port=config.port,
            tls_cert_file=Path(certificate),
            tls_private_key_file=Path(key),
            client_ca_file=Path(client_ca) if client_ca else None,
            healthz_address=flags.healthz_bind_address or document.get("healthzBindAddress") or "127.0.0.1",
            healthz_port=healthz_port,
            checkpoint_dir=config.root_dir / "checkpoints",
        ),
        registry=environment.registry,
        configz=lambda: {"kubeletconfig": dict(document)},
        healthy=kubelet.ready,
    )
