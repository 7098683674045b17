"""Configuration of the controller manager; the defaults are upstream's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from steersman.client.leaderelection import LeaderElectionConfig
from steersman.controllers.volumeplugins import HostPaths, RecyclerTimeouts


class KeyPair(Struct, frozen=True, kw_only=True):
    """A certificate authority that signs: PEM of certificate and private key."""

    certificate_pem: bytes
    key_pem: bytes


class ControllerManagerConfig(Struct, frozen=True, kw_only=True):
    """What the controllers need to know. Times are seconds; empty PEMs leave out what needs them."""

    controllers: Sequence[str] = ("*",)
    """Names to run: ``*`` is all that are on by default, ``name`` one more, ``-name`` one less."""
    leader_election: LeaderElectionConfig | None = None
    root_ca_pem: bytes = b""
    service_account_key_pem: bytes = b""
    """Private key that signs the tokens of token secrets."""
    cluster_signing: KeyPair | None = None
    signers: Mapping[str, KeyPair] = field(default_factory=dict)
    """signerName -> its own CA; wins over ``cluster_signing``."""
    cluster_signing_duration_s: float = 365 * 24 * 3600.0
    cluster_name: str = "kubernetes"

    allocate_node_cidrs: bool = False
    cluster_cidrs: Sequence[str] = ()
    service_cidrs: Sequence[str] = ()
    node_cidr_mask_size_ipv4: int = 24
    node_cidr_mask_size_ipv6: int = 64

    node_monitor_period_s: float = 5.0
    node_monitor_grace_period_s: float = 50.0
    node_startup_grace_period_s: float = 60.0
    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    large_cluster_size_threshold: int = 50
    unhealthy_zone_threshold: float = 0.55

    pv_claim_binder_sync_period_s: float = 15.0
    """How often what keeps a claim from its volume is told again, and what failed with a volume is tried again."""
    enable_dynamic_provisioning: bool = True
    enable_hostpath_provisioner: bool = False
    host_paths: HostPaths | None = None
    """Folders of this machine behind hostPath volumes; None: there are none, as the nodes are simulated."""
    disable_force_detach_on_timeout: bool = False
    """Volumes of nodes that are not ready stay attached until the node is marked out-of-service."""
    pv_recycler_minimum_timeout_hostpath: int = 60
    pv_recycler_timeout_increment_hostpath: int = 30
    pv_recycler_minimum_timeout_nfs: int = 300
    pv_recycler_increment_timeout_nfs: int = 30
    """How long emptying a volume may take, in seconds: at least, and for each gibibyte."""

    legacy_service_account_token_clean_up_period_s: float = 365 * 24 * 3600.0
    """How long an auto-generated token may be unused before it is made invalid, and invalid before it is deleted."""
    terminated_pod_gc_threshold: int = 12_500
    namespace_deletion_delay_s: float = 5.0
    """How long after its deletion a namespace's content is deleted: until every API server refuses new content."""
    resource_quota_sync_period_s: float = 300.0
    max_endpoints_per_slice: int = 100
    mirroring_max_endpoints_per_subset: int = 1000
    endpoint_updates_batch_period_s: float = 0.0
    endpointslice_updates_batch_period_s: float = 0.0

    hpa_sync_period_s: float = 15.0
    hpa_downscale_stabilization_s: float = 300.0
    hpa_tolerance: float = 0.1
    hpa_cpu_initialization_period_s: float = 300.0
    hpa_initial_readiness_delay_s: float = 30.0

    enable_garbage_collector: bool = True
    concurrent_deployment_syncs: int = 5
    concurrent_replicaset_syncs: int = 5
    concurrent_rc_syncs: int = 5
    concurrent_statefulset_syncs: int = 5
    concurrent_daemonset_syncs: int = 2
    concurrent_job_syncs: int = 5
    concurrent_cron_job_syncs: int = 5
    concurrent_endpoint_syncs: int = 5
    concurrent_service_endpoint_syncs: int = 5
    mirroring_concurrent_service_endpoint_syncs: int = 5
    concurrent_namespace_syncs: int = 10
    concurrent_resourceclaim_syncs: int = 50
    concurrent_device_taint_eviction_syncs: int = 8
    concurrent_resource_quota_syncs: int = 5
    concurrent_serviceaccount_token_syncs: int = 5
    concurrent_ephemeralvolume_syncs: int = 5
    concurrent_gc_syncs: int = 20
    concurrent_ttl_after_finished_syncs: int = 5
    concurrent_horizontal_pod_autoscaler_syncs: int = 5
    concurrent_validating_admission_policy_status_syncs: int = 5

    def __post_init__(self) -> None:
        if self.allocate_node_cidrs and not self.cluster_cidrs:
            raise ValueError("allocate-node-cidrs needs cluster-cidr")

    @property
    def recycler_timeouts(self) -> RecyclerTimeouts:
        return RecyclerTimeouts(
            host_path_s=(self.pv_recycler_minimum_timeout_hostpath, self.pv_recycler_timeout_increment_hostpath),
            nfs_s=(self.pv_recycler_minimum_timeout_nfs, self.pv_recycler_increment_timeout_nfs),
        )
