"""``steersman controller-manager``: kube-controller-manager's flags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steersman.cli.program import Environment, Serving, leader_identity, run_component

if TYPE_CHECKING:
    from steersman.client.api import Client
    from steersman.controllers.component import ControllerManager
    from steersman.controllers.config import ControllerManagerConfig, KeyPair

DEFAULT_PORT = 10257

DURATIONS = {
    "cluster-signing-duration": ("8760h0m0s", "cluster_signing_duration_s", "The longest life of a certificate that is signed."),
    "node-monitor-period": ("5s", "node_monitor_period_s", "Accepted for compatibility: nodes are judged the moment that their time is up."),
    "node-monitor-grace-period": ("50s", "node_monitor_grace_period_s", "A node that is silent for so long is unreachable."),
    "node-startup-grace-period": ("1m0s", "node_startup_grace_period_s", "The same for a node that has never reported."),
    "resource-quota-sync-period": ("5m0s", "resource_quota_sync_period_s", "How often usage is counted anew."),
    "pvclaimbinder-sync-period": ("15s", "pv_claim_binder_sync_period_s", "How often volumes and claims that are not settled are looked at again."),
    "legacy-service-account-token-clean-up-period": ("8760h0m0s", "legacy_service_account_token_clean_up_period_s", "How long an auto-generated token may be unused before it is made invalid, and invalid before it is deleted."),
    "endpoint-updates-batch-period": ("0s", "endpoint_updates_batch_period_s", "Gather changes of pods for so long before writing Endpoints."),
    "endpointslice-updates-batch-period": ("0s", "endpointslice_updates_batch_period_s", "The same for EndpointSlices."),
    "horizontal-pod-autoscaler-sync-period": ("15s", "hpa_sync_period_s", "How often each autoscaler is evaluated."),
    "horizontal-pod-autoscaler-downscale-stabilization": ("5m0s", "hpa_downscale_stabilization_s", "The highest recommendation of this time counts when scaling down."),
    "horizontal-pod-autoscaler-cpu-initialization-period": ("5m0s", "hpa_cpu_initialization_period_s", "CPU samples of younger pods may be left out."),
    "horizontal-pod-autoscaler-initial-readiness-delay": ("30s", "hpa_initial_readiness_delay_s", "Readiness changes of younger pods count as the first start."),
}  # fmt: skip
NUMBERS = {
    "node-cidr-mask-size-ipv4": (24, "node_cidr_mask_size_ipv4", "Size of a node's IPv4 block."),
    "node-cidr-mask-size-ipv6": (64, "node_cidr_mask_size_ipv6", "Size of a node's IPv6 block."),
    "large-cluster-size-threshold": (50, "large_cluster_size_threshold", "Up to this many nodes an unhealthy zone evicts nothing."),
    "terminated-pod-gc-threshold": (12500, "terminated_pod_gc_threshold", "How many finished pods may stay; 0: all."),
    "max-endpoints-per-slice": (100, "max_endpoints_per_slice", "The most endpoints in one EndpointSlice."),
    "mirroring-max-endpoints-per-subset": (1000, "mirroring_max_endpoints_per_subset", "The most endpoints mirrored from one subset."),
    "concurrent-deployment-syncs": (5, "concurrent_deployment_syncs", "Deployments reconciled at once."),
    "concurrent-replicaset-syncs": (5, "concurrent_replicaset_syncs", "ReplicaSets reconciled at once."),
    "concurrent_rc_syncs": (5, "concurrent_rc_syncs", "ReplicationControllers reconciled at once."),
    "concurrent-statefulset-syncs": (5, "concurrent_statefulset_syncs", "StatefulSets reconciled at once."),
    "concurrent-daemonset-syncs": (2, "concurrent_daemonset_syncs", "DaemonSets reconciled at once."),
    "concurrent-job-syncs": (5, "concurrent_job_syncs", "Jobs reconciled at once."),
    "concurrent-cron-job-syncs": (5, "concurrent_cron_job_syncs", "CronJobs reconciled at once."),
    "concurrent-endpoint-syncs": (5, "concurrent_endpoint_syncs", "Services whose Endpoints are reconciled at once."),
    "concurrent-service-endpoint-syncs": (5, "concurrent_service_endpoint_syncs", "Services whose EndpointSlices are reconciled at once."),
    "mirroring-concurrent-service-endpoint-syncs": (5, "mirroring_concurrent_service_endpoint_syncs", "Endpoints mirrored at once."),
    "concurrent-namespace-syncs": (10, "concurrent_namespace_syncs", "Namespaces deleted at once."),
    "concurrent-resource-quota-syncs": (5, "concurrent_resource_quota_syncs", "Quotas reconciled at once."),
    "concurrent-serviceaccount-token-syncs": (5, "concurrent_serviceaccount_token_syncs", "Token secrets reconciled at once."),
    "concurrent-ephemeralvolume-syncs": (5, "concurrent_ephemeralvolume_syncs", "Pods whose ephemeral volumes are reconciled at once."),
    "concurrent-resourceclaim-syncs": (50, "concurrent_resourceclaim_syncs", "ResourceClaims reconciled at once."),
    "concurrent-device-taint-eviction-syncs": (8, "concurrent_device_taint_eviction_syncs", "Pods evicted from tainted devices at once."),
    "pv-recycler-minimum-timeout-hostpath": (60, "pv_recycler_minimum_timeout_hostpath", "Seconds that emptying a hostPath volume may take at least."),
    "pv-recycler-timeout-increment-hostpath": (30, "pv_recycler_timeout_increment_hostpath", "Seconds for each gibibyte of it."),
    "pv-recycler-minimum-timeout-nfs": (300, "pv_recycler_minimum_timeout_nfs", "Seconds that emptying an NFS volume may take at least."),
    "pv-recycler-increment-timeout-nfs": (30, "pv_recycler_increment_timeout_nfs", "Seconds for each gibibyte of it."),
    "concurrent-gc-syncs": (20, "concurrent_gc_syncs", "Garbage collector workers."),
    "concurrent-ttl-after-finished-syncs": (5, "concurrent_ttl_after_finished_syncs", "Finished Jobs reconciled at once."),
    "concurrent-validating-admission-policy-status-syncs": (
        5,
        "concurrent_validating_admission_policy_status_syncs",
        "ValidatingAdmissionPolicies type-checked at once.",
    ),
    "concurrent-horizontal-pod-autoscaler-syncs": (5, "concurrent_horizontal_pod_autoscaler_syncs", "Autoscalers evaluated at once."),
}  # fmt: skip
FRACTIONS = {
    "node-eviction-rate": (0.1, "node_eviction_rate", "Nodes a second whose pods are evicted in a healthy zone."),
    "secondary-node-eviction-rate": (0.01, "secondary_node_eviction_rate", "The same in an unhealthy zone of a large cluster."),
    "unhealthy-zone-threshold": (0.55, "unhealthy_zone_threshold", "The share of nodes not ready (at least 3) that makes a zone unhealthy."),
    "horizontal-pod-autoscaler-tolerance": (0.1, "hpa_tolerance", "Ratios this near to 1 change nothing."),
}  # fmt: skip
SWITCHES = {
    "enable-dynamic-provisioning": (True, "enable_dynamic_provisioning", "Have volumes made for claims whose class names a provisioner."),
    "enable-hostpath-provisioner": (False, "enable_hostpath_provisioner", "Make hostPath volumes on this machine, for development on one node."),
    "disable-force-detach-on-timeout": (False, "disable_force_detach_on_timeout", "Volumes of nodes that are not ready stay attached until the node is marked out-of-service."),
}  # fmt: skip
SIGNERS = {
    "kubelet-serving": "kubernetes.io/kubelet-serving",
    "kubelet-client": "kubernetes.io/kube-apiserver-client-kubelet",
    "kube-apiserver-client": "kubernetes.io/kube-apiserver-client",
    "legacy-unknown": "kubernetes.io/legacy-unknown",
}


class GoDuration(click.ParamType[float]):
    """``5m0s`` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from steersman.meta.durations import parse_duration

        try:
            return parse_duration(str(value)) if isinstance(value, str) else float(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _tabled(command: Callable[..., None]) -> Callable[..., None]:
    """The flags of the tables above, each named as it is upstream, each stored under its field of the configuration."""
    tables: list[tuple[dict[str, Any], Any]] = [(DURATIONS, GoDuration()), (NUMBERS, int), (FRACTIONS, float)]
    for table, kind in tables:
        for name, (default, field, text) in reversed(table.items()):
            command = click.option(f"--{name}", field, type=kind, default=default, show_default=True, help=text)(
                command
            )
    for name, (default, field, text) in reversed(SWITCHES.items()):
        command = click.option(
            f"--{name}", field, type=bool, is_flag=False, flag_value=True, default=default, show_default=True, help=text
        )(command)
    for signer in reversed(SIGNERS):
        for part in ("key", "cert"):
            command = click.option(
                f"--cluster-signing-{signer}-{part}-file", default="", help=f"CA {part} for {SIGNERS[signer]} only."
            )(command)
    return command


@click.command("controller-manager", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kubeconfig", default="", help="How to reach the API server; without it, the cluster this runs in.")
@click.option("--master", default="", help="Address of the API server; overrides the kubeconfig's.")
@click.option(
    "--controllers",
    default="*",
    show_default=True,
    help="Comma-separated: '*' all that are on by default, 'a' also a, '-a' not a.",
)
@click.option(
    "--use-service-account-credentials",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=False,
    help="Each controller as its own service account.",
)
@click.option(
    "--leader-elect",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=True,
    show_default=True,
    help="Work only while holding the Lease.",
)
@click.option(
    "--leader-elect-lease-duration",
    type=GoDuration(),
    default="15s",
    show_default=True,
    help="How long others wait for a silent leader.",
)
@click.option(
    "--leader-elect-renew-deadline",
    type=GoDuration(),
    default="10s",
    show_default=True,
    help="How long a leader tries to renew.",
)
@click.option(
    "--leader-elect-retry-period", type=GoDuration(), default="2s", show_default=True, help="Time between tries."
)
@click.option("--leader-elect-resource-lock", type=click.Choice(["leases"]), default="leases", help="Only 'leases'.")
@click.option(
    "--leader-elect-resource-name", default="kube-controller-manager", show_default=True, help="Name of the Lease."
)
@click.option(
    "--leader-elect-resource-namespace", default="kube-system", show_default=True, help="Namespace of the Lease."
)
@click.option("--root-ca-file", default="", help="CA bundle for pods: kube-root-ca.crt and token secrets.")
@click.option("--service-account-private-key-file", default="", help="Key that signs the tokens of token secrets.")
@click.option("--cluster-signing-cert-file", default="", help="CA certificate that signs CSRs.")
@click.option("--cluster-signing-key-file", default="", help="Its private key.")
@click.option(
    "--cluster-name",
    default="kubernetes",
    show_default=True,
    help="Name of the cluster; only cloud providers use it, and none is built in.",
)
@click.option(
    "--allocate-node-cidrs",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=False,
    help="Give each node a block of --cluster-cidr.",
)
@click.option("--cluster-cidr", default="", help="Pod addresses of the cluster, comma-separated for dual stack.")
@click.option("--service-cluster-ip-range", default="", help="Service addresses, never given to nodes.")
@click.option(
    "--node-cidr-mask-size", type=int, default=0, help="Size of a node's block in a cluster of one IP family."
)
@click.option(
    "--enable-garbage-collector",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=True,
    show_default=True,
    help="Run the garbage collector.",
)
@_tabled
@click.option("--bind-address", default="0.0.0.0", show_default=True, help="Where health and metrics are served.")
@click.option(
    "--secure-port",
    type=int,
    default=None,
    help=f"Port of health and metrics; 0: nowhere. [default: {DEFAULT_PORT} with a certificate, else 0]",
)
@click.option("--tls-cert-file", default="", help="Certificate for --secure-port.")
@click.option("--tls-private-key-file", default="", help="Its private key.")
@click.option("--v", "verbosity", type=int, default=0, help="Log level.")  # fmt: skip
def command(
    *,
    kubeconfig: str,
    master: str,
    use_service_account_credentials: bool,
    bind_address: str,
    secure_port: int | None,
    tls_cert_file: str,
    tls_private_key_file: str,
    verbosity: int,
    **flags: Any,
) -> None:
    """Run the controllers."""
    if bool(tls_cert_file) != bool(tls_private_key_file):
        raise click.UsageError("--tls-cert-file and --tls-private-key-file belong together")
    config = read_flags(**flags)

    async def build(environment: Environment) -> ControllerManager:
        from steersman.controllers.component import ControllerManager, UnknownController

        client = environment.client(kubeconfig, user_agent="kube-controller-manager", master=master)
        client_of = None
        if use_service_account_credentials:
            client_of = service_account_clients(environment, client, kubeconfig, master)
        try:
            return ControllerManager(
                client=client,
                clock=environment.clock,
                config=config,
                rng=environment.rng,
                registry=environment.registry,
                client_of=client_of,
            )
        except UnknownController as error:
            raise click.UsageError(f"--controllers: {error}") from error

    port = secure_port if secure_port is not None else (DEFAULT_PORT if tls_cert_file else 0)
    serving = Serving(
        bind_address=bind_address, port=port, tls_cert_file=tls_cert_file, tls_private_key_file=tls_private_key_file
    )
    run_component("controller-manager", build, serving=serving, verbosity=verbosity)


def service_account_clients(
    environment: Environment, root: Client, kubeconfig: str, master: str
) -> Callable[[str], Client]:
    """Clients by the name of a service account in kube-system, over one connection pool without credentials."""
    import os

    from msgspec.structs import replace

    from steersman.client import kubeconfig as kubeconfigs
    from steersman.client.api import Client
    from steersman.client.http import HTTPTransport
    from steersman.controllers.identity import ServiceAccountTransport

    config = kubeconfigs.load(kubeconfig) if kubeconfig else kubeconfigs.in_cluster(os.environ)
    anonymous = replace(
        config,
        server=master.rstrip("/") or config.server,
        client_certificate_pem=b"",
        client_key_pem=b"",
        token="",
        token_file="",
        impersonate="",
        impersonate_groups=(),
    )
    transport = HTTPTransport(anonymous, clock=environment.clock)
    return lambda account: Client(ServiceAccountTransport(root, transport, account, clock=environment.clock))


def read_flags(
    *,
    controllers: str,
    leader_elect: bool,
    leader_elect_lease_duration: float,
    leader_elect_renew_deadline: float,
    leader_elect_retry_period: float,
    leader_elect_resource_lock: str,
    leader_elect_resource_name: str,
    leader_elect_resource_namespace: str,
    root_ca_file: str,
    service_account_private_key_file: str,
    cluster_signing_cert_file: str,
    cluster_signing_key_file: str,
    cluster_cidr: str,
    service_cluster_ip_range: str,
    node_cidr_mask_size: int,
    **fields: Any,
) -> ControllerManagerConfig:
    """The component's configuration. Raises ``click.UsageError``."""
    from steersman.client.leaderelection import LeaderElectionConfig
    from steersman.controllers.config import ControllerManagerConfig
    from steersman.controllers.hostfolders import HostFolders

    signers = {
        name: pair
        for signer, name in SIGNERS.items()
        if (pair := _key_pair(f"cluster-signing-{signer}", *_taken(fields, signer))) is not None
    }
    cidrs = [cidr for cidr in cluster_cidr.split(",") if cidr]
    if node_cidr_mask_size:
        if len(cidrs) > 1:
            raise click.UsageError("--node-cidr-mask-size: use -ipv4 and -ipv6 in a dual-stack cluster")
        family = "ipv6" if cidrs and ":" in cidrs[0] else "ipv4"
        fields[f"node_cidr_mask_size_{family}"] = node_cidr_mask_size
    try:
        election = None
        if leader_elect:
            election = LeaderElectionConfig(
                name=leader_elect_resource_name,
                namespace=leader_elect_resource_namespace,
                identity=leader_identity(),
                component="kube-controller-manager",
                lease_duration_s=leader_elect_lease_duration,
                renew_deadline_s=leader_elect_renew_deadline,
                retry_period_s=leader_elect_retry_period,
            )
        return ControllerManagerConfig(
            controllers=tuple(name.strip() for name in controllers.split(",") if name.strip()),
            leader_election=election,
            root_ca_pem=_read("root-ca-file", root_ca_file),
            service_account_key_pem=_read("service-account-private-key-file", service_account_private_key_file),
            cluster_signing=_key_pair("cluster-signing", cluster_signing_cert_file, cluster_signing_key_file),
            signers=signers,
            host_paths=HostFolders(),
            cluster_cidrs=tuple(cidrs),
            service_cidrs=tuple(cidr for cidr in service_cluster_ip_range.split(",") if cidr),
            **fields,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _taken(fields: dict[str, Any], signer: str) -> tuple[str, str]:
    prefix = f"cluster_signing_{signer.replace('-', '_')}"
    return fields.pop(f"{prefix}_cert_file"), fields.pop(f"{prefix}_key_file")


def _key_pair(name: str, certificate: str, key: str) -> KeyPair | None:
    from steersman.controllers.config import KeyPair

    if bool(certificate) != bool(key):
        raise click.UsageError(f"--{name}-cert-file and --{name}-key-file belong together")
    if not certificate:
        return None
    return KeyPair(certificate_pem=_read(f"{name}-cert-file", certificate), key_pem=_read(f"{name}-key-file", key))


def _read(flag: str, path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.UsageError(f"--{flag}: {path}: {error.strerror}") from error
