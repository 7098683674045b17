"""``steersman apiserver``: kube-apiserver's flags."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steersman.cli.audit_flags import audit_flags, duration, read_audit_flags
from steersman.cli.program import STOP_GRACE_S, Environment, run_component

if TYPE_CHECKING:
    from steersman.aio.clock import Clock
    from steersman.apiserver.authn.api import User
    from steersman.apiserver.component import APIServer
    from steersman.apiserver.config import APIServerConfig, RequestHeaders
    from steersman.store.api import Store

DEFAULT_PORT = 6443
SHUTDOWN_LINGER_S = 0.5
"""Long enough for a client that has connected to say what it wants."""
_ETCD_FILES = {"ca_file": "etcd_cafile", "cert_file": "etcd_certfile", "key_file": "etcd_keyfile"}
_MODES = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC")


def _admission(path: str) -> Mapping[str, Mapping[str, Any]]:
    from steersman.apiserver.admission.configuration import AdmissionConfigurationError, load

    try:
        return load(path) if path else {}
    except AdmissionConfigurationError as error:
        raise click.UsageError(f"--admission-control-config-file: {error}") from error


def _list(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


@click.command("apiserver", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--store", default="", help="Embedded store: sqlite:PATH or memory. Instead of --etcd-servers.")
@click.option("--etcd-servers", default="", help="URLs of an etcd cluster, separated by commas.")
@click.option("--etcd-cafile", default="", help="Authority of etcd's certificates.")
@click.option("--etcd-certfile", default="", help="Client certificate for etcd.")
@click.option("--etcd-keyfile", default="", help="Its private key.")
@click.option("--bind-address", default="0.0.0.0", show_default=True, help="Address to serve on.")
@click.option("--secure-port", type=int, default=DEFAULT_PORT, show_default=True, help="Port to serve HTTPS on.")
@click.option("--advertise-address", default="", help="Address under which the cluster reaches this server.")
@click.option("--tls-cert-file", required=True, help="Server certificate, with intermediate ones.")
@click.option("--tls-private-key-file", required=True, help="Its private key.")
@click.option("--client-ca-file", default="", help="Authority of client certificates.")
@click.option("--token-auth-file", default="", help="Tokens of users: lines of token, name, uid, groups.")
@click.option("--enable-bootstrap-token-auth", type=bool, default=False, show_default=True,
              help="Let nodes make themselves known by the bootstrap tokens in kube-system.")  # fmt: skip
@click.option("--service-cluster-ip-range", default="10.96.0.0/16", show_default=True,
              help="Addresses of Services: one CIDR, or two of different families.")  # fmt: skip
@click.option(
    "--service-node-port-range", default="30000-32767", show_default=True, help="Ports for NodePort Services."
)
@click.option(
    "--authorization-mode", default="AlwaysAllow", show_default=True, help=f"Of {', '.join(_MODES)}, in order."
)
@click.option(
    "--anonymous-auth", type=bool, default=True, show_default=True, help="Let requests without credentials in."
)
@click.option("--allow-privileged", type=bool, default=False, show_default=True, help="Allow privileged containers.")
@click.option("--enable-admission-plugins", default="", help="Plugins beyond those that are on by default.")
@click.option("--disable-admission-plugins", default="", help="Plugins to switch off.")
@click.option("--admission-control-config-file", default="", help="Configuration of admission plugins.")
@click.option("--default-not-ready-toleration-seconds", type=int, default=300, show_default=True,
              help="How long pods stay on a node that is not ready.")  # fmt: skip
@click.option("--default-unreachable-toleration-seconds", type=int, default=300, show_default=True,
              help="How long pods stay on a node that is unreachable.")  # fmt: skip
@click.option("--service-account-issuer", default="https://kubernetes.default.svc.cluster.local", show_default=True,
              help="Issuer of service account tokens.")  # fmt: skip
@click.option("--service-account-key-file", multiple=True, help="Key that verifies service account tokens.")
@click.option("--service-account-signing-key-file", default="", help="Key that signs service account tokens.")
@click.option("--api-audiences", default="", help="Audiences of tokens for this API. [default: the issuer]")
@click.option("--kubelet-client-certificate", default="", help="Client certificate for kubelets.")
@click.option("--kubelet-client-key", default="", help="Its private key.")
@click.option("--kubelet-certificate-authority", default="", help="Authority of kubelets' certificates.")
@click.option("--kubelet-preferred-address-types",
              default="Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP", show_default=True,
              help="Which of a node's addresses to use.")  # fmt: skip
@click.option("--requestheader-client-ca-file", default="", help="Authority of front proxies' certificates.")
@click.option("--requestheader-allowed-names", default="", help="Common names of front proxies; empty: any.")
@click.option("--requestheader-username-headers", default="X-Remote-User", show_default=True,
              help="Headers with the user's name.")  # fmt: skip
@click.option("--requestheader-uid-headers", default="X-Remote-Uid", show_default=True,
              help="Headers with the user's uid.")  # fmt: skip
@click.option("--requestheader-group-headers", default="X-Remote-Group", show_default=True,
              help="Headers with the user's groups.")  # fmt: skip
@click.option("--requestheader-extra-headers-prefix", default="X-Remote-Extra-", show_default=True,
              help="Prefixes of headers with more about the user.")  # fmt: skip
@click.option("--proxy-client-cert-file", default="", help="Certificate by which aggregated API servers know this one.")
@click.option("--proxy-client-key-file", default="", help="Its private key.")
@click.option("--enable-aggregator-routing", type=bool, default=True, show_default=True,
              help="Reach aggregated API servers at their endpoints rather than their cluster IP.")  # fmt: skip
@click.option("--aggregator-reject-forwarding-redirect", type=bool, default=True, show_default=True,
              help="Let aggregated API servers redirect no client.")  # fmt: skip
@click.option("--request-timeout", default="1m0s", show_default=True, help="Longest duration of an ordinary request.")
@click.option("--min-request-timeout", type=int, default=1800, show_default=True, help="Shortest of a watch, seconds.")
@click.option("--max-requests-inflight", type=int, default=400, show_default=True, help="Reads in work at once.")
@click.option("--max-mutating-requests-inflight", type=int, default=200, show_default=True,
              help="Writes in work at once.")  # fmt: skip
@click.option("--enable-priority-and-fairness", type=bool, default=True, show_default=True,
              help="Share the sum of the two limits by priority and fairness.")  # fmt: skip
@click.option(
    "--shutdown-delay-duration", default="0s", show_default=True, help="How long /readyz fails before the end."
)
@audit_flags
@click.option("--v", "verbosity", type=int, default=0, help="Log level.")
def command(*, verbosity: int, **flags: Any) -> None:
    """Serve the Kubernetes API."""
    config = read_flags(flags)
    make_store = store_of(flags)

    async def build(environment: Environment) -> APIServer:
        from steersman.apiserver.admission.catalogue import UnknownPlugin
        from steersman.apiserver.admission.configuration import AdmissionConfigurationError
        from steersman.apiserver.component import APIServer
        from steersman.client.kubeconfig import KubeConfigError

        try:
            return APIServer(
                store=make_store(environment.clock),
                clock=environment.clock,
                config=config,
                rng=environment.rng,
                registry=environment.registry,
            )
        except (AdmissionConfigurationError, KubeConfigError, UnknownPlugin) as error:
            raise click.UsageError(str(error)) from error

    run_component("apiserver", build, verbosity=verbosity, stop_grace_s=STOP_GRACE_S + config.shutdown_delay_s)


def store_of(flags: dict[str, Any]) -> Callable[[Clock], Store]:
    """What makes the store that the flags ask for. Raises ``click.UsageError``."""
    store, servers = flags["store"], flags["etcd_servers"]
    if bool(store) == bool(servers):
        raise click.UsageError("one of --store and --etcd-servers is required")
    if bool(flags["etcd_certfile"]) != bool(flags["etcd_keyfile"]):
        raise click.UsageError("--etcd-certfile and --etcd-keyfile belong together")
    kind, _, path = store.partition(":")
    if store and not (store == "memory" or (kind == "sqlite" and path)):
        raise click.UsageError(f"--store: {store!r} is neither memory nor sqlite:PATH")

    def make(clock: Clock) -> Store:
        if kind == "memory":
            from steersman.store.drivers.memory import MemoryStore

            return MemoryStore(clock)
        if kind == "sqlite":
            from steersman.store.drivers.sqlite import SQLiteStore

            return SQLiteStore(path, clock)
        from steersman.store.drivers.etcd import EtcdStore
        from steersman.store.drivers.etcd_connection import EtcdConfig

        files = {name: Path(flags[flag]) if flags[flag] else None for name, flag in _ETCD_FILES.items()}
        try:
            return EtcdStore(EtcdConfig(endpoints=_list(servers), **files))
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    return make


def read_flags(flags: dict[str, Any]) -> APIServerConfig:
    """The server's configuration. Raises ``click.UsageError``."""
    from steersman.apiserver.config import APIServerConfig, KubeletAccess, Listener, ServiceNetwork

    modes = _list(flags["authorization_mode"])
    for mode in modes:
        if mode not in _MODES:
            raise click.UsageError(f"--authorization-mode: {mode!r} is not supported; known are {', '.join(_MODES)}")
    for first, second in (("kubelet_client_certificate", "kubelet_client_key"), ("proxy_client_cert_file", "proxy_client_key_file")):  # fmt: skip
        if bool(flags[first]) != bool(flags[second]):
            raise click.UsageError(f"--{first.replace('_', '-')} and --{second.replace('_', '-')} belong together")
    return APIServerConfig(
        flags={name.replace("_", "-"): _shown(value) for name, value in flags.items()},
        advertise_address=flags["advertise_address"] or _own_address(flags["bind_address"]),
        secure_port=flags["secure_port"],
        listener=Listener(
            bind_address=flags["bind_address"],
            port=flags["secure_port"],
            certificate_file=flags["tls_cert_file"],
            key_file=flags["tls_private_key_file"],
        ),
        services=ServiceNetwork(
            cidrs=_cidrs(flags["service_cluster_ip_range"]), node_ports=_ports(flags["service_node_port_range"])
        ),
        kubelets=KubeletAccess(
            client_certificate_file=flags["kubelet_client_certificate"],
            client_key_file=flags["kubelet_client_key"],
            certificate_authority_file=flags["kubelet_certificate_authority"],
            preferred_address_types=_list(flags["kubelet_preferred_address_types"]),
        ),
        anonymous_auth=flags["anonymous_auth"],
        allow_privileged=flags["allow_privileged"],
        enabled_admission_plugins=_list(flags["enable_admission_plugins"]),
        disabled_admission_plugins=_list(flags["disable_admission_plugins"]),
        admission_configuration=_admission(flags["admission_control_config_file"]),
        default_not_ready_toleration_s=flags["default_not_ready_toleration_seconds"],
        default_unreachable_toleration_s=flags["default_unreachable_toleration_seconds"],
        authorization_modes=modes,
        request_timeout_s=duration(flags, "request_timeout"),
        min_request_timeout_s=flags["min_request_timeout"],
        max_requests_inflight=flags["max_requests_inflight"],
        max_mutating_requests_inflight=flags["max_mutating_requests_inflight"],
        enable_priority_and_fairness=flags["enable_priority_and_fairness"],
        service_account_issuer=flags["service_account_issuer"],
        api_audiences=_list(flags["api_audiences"]),
        service_account_keys=[_read(path, "service-account-key-file") for path in flags["service_account_key_file"]],
        service_account_signing_key=_file(flags, "service_account_signing_key_file"),
        client_ca=_file(flags, "client_ca_file"),
        static_tokens=_static_tokens(flags["token_auth_file"]),
        enable_bootstrap_tokens=flags["enable_bootstrap_token_auth"],
        request_header=_request_headers(flags),
        request_header_client_ca=_file(flags, "requestheader_client_ca_file"),
        front_proxy_certificate_file=flags["proxy_client_cert_file"],
        front_proxy_key_file=flags["proxy_client_key_file"],
        aggregator_routing=flags["enable_aggregator_routing"],
        reject_forwarding_redirects=flags["aggregator_reject_forwarding_redirect"],
        audit=read_audit_flags(flags),
        shutdown_delay_s=duration(flags, "shutdown_delay_duration"),
        shutdown_linger_s=SHUTDOWN_LINGER_S,
    )


def _request_headers(flags: Mapping[str, Any]) -> RequestHeaders:
    """What a front proxy says of users. Raises ``click.UsageError``."""
    from steersman.apiserver.config import RequestHeaders

    headers = RequestHeaders(
        allowed_names=_list(flags["requestheader_allowed_names"]),
        username_headers=_list(flags["requestheader_username_headers"]),
        uid_headers=_list(flags["requestheader_uid_headers"]),
        group_headers=_list(flags["requestheader_group_headers"]),
        extra_headers_prefixes=_list(flags["requestheader_extra_headers_prefix"]),
    )
    if headers.uid_headers and "x-remote-uid" not in {name.lower() for name in headers.uid_headers}:
        raise click.UsageError(
            "--requestheader-uid-headers without the standard X-Remote-Uid: aggregation would not work"
        )
    return headers


def _static_tokens(path: str) -> Mapping[str, User]:
    if not path:
        return {}
    from steersman.apiserver.authn.statictokens import parse_tokens

    try:
        return parse_tokens(_read(path, "token-auth-file").decode(), path)
    except ValueError as error:
        raise click.UsageError(f"--token-auth-file: {error}") from error


def _file(flags: Mapping[str, Any], name: str) -> bytes:
    """What is in the file that the flag names."""
    return _read(flags[name], name.replace("_", "-"))


def _read(path: str, flag: str) -> bytes:
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise click.UsageError(f"--{flag}: {error}") from error


def _cidrs(text: str) -> tuple[str, ...]:
    cidrs = _list(text)
    try:
        versions = [ipaddress.ip_network(cidr).version for cidr in cidrs]
    except ValueError as error:
        raise click.UsageError(f"--service-cluster-ip-range: {error}") from error
    if len(cidrs) not in (1, 2) or len(set(versions)) != len(versions):
        raise click.UsageError("--service-cluster-ip-range: one CIDR, or two of different families")
    return cidrs


def _ports(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)-(\d+)", text)
    if found is None or not 0 < int(found[1]) <= int(found[2]) <= 65535:
        raise click.UsageError(f"--service-node-port-range: {text!r} is not a range such as 30000-32767")
    return int(found[1]), int(found[2])


def _shown(value: Any) -> str:
    """A flag's value as Go prints it."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _own_address(bind_address: str) -> str:
    """The address that others reach this machine under: the one that was bound, or, where that is none for others, that of
    the default route; the one that was bound again where there is no such route."""
    import socket
    from ipaddress import ip_address

    try:
        bound = ip_address(bind_address or "0.0.0.0")
    except ValueError:
        return bind_address
    if not (bound.is_unspecified or bound.is_loopback):
        return bind_address

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return bind_address if bound.is_loopback else "127.0.0.1"
        return str(probe.getsockname()[0])
