"""Puts together what a node's images take: credentials, plugins, records of pulls, limits."""

from __future__ import annotations

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet.configuration import ConfigurationError, KubeletConfig
from steersman.kubelet.image_puller import PullLimits
from steersman.kubelet.images import ImageManager, ImageObserver
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.object_source import ObjectSource
from steersman.kubelet.platform import Platform
from steersman.kubelet.registry_credentials.lookup import RegistryCredentials
from steersman.kubelet.registry_credentials.provider import Providers, exec_providers
from steersman.kubelet.registry_credentials.provider_config import load_providers
from steersman.kubelet.registry_credentials.pull_records import FileRecords
from steersman.kubelet.registry_credentials.pulled_images import PulledImages
from steersman.kubelet.registry_credentials.verification import verification_policy
from steersman.kubelet.runtimes.api import Runtime
from steersman.kubelet.service_account_tokens import ServiceAccountTokens


class ImageAccess(Struct, frozen=True, kw_only=True):
    manager: ImageManager
    pulled: PulledImages | None
    """None where nobody asks who pulled an image."""


def image_access(
    config: KubeletConfig,
    platform: Platform,
    runtime: Runtime,
    *,
    source: ObjectSource,
    tokens: ServiceAccountTokens | None,
    clock: Clock,
    metrics: KubeletMetrics,
    observe: ImageObserver,
) -> ImageAccess:
    """Raises ``ConfigurationError``."""
    providers = _providers(config, platform, source, tokens, clock, metrics)
    pulled = _pulled(config, platform, clock, metrics)
    limits = PullLimits(
        parallel=config.max_parallel_image_pulls, qps=config.registry_pull_qps, burst=config.registry_burst
    )
    manager = ImageManager(
        runtime,
        clock=clock,
        limits=limits,
        credentials=RegistryCredentials(platform.node_credentials, providers),
        pulled=pulled,
        observe=observe,
    )
    return ImageAccess(manager=manager, pulled=pulled)


def _providers(
    config: KubeletConfig,
    platform: Platform,
    source: ObjectSource,
    tokens: ServiceAccountTokens | None,
    clock: Clock,
    metrics: KubeletMetrics,
) -> Providers:
    path, programs = config.image_credential_provider_config, config.image_credential_provider_bin_dir
    if path is None and programs is None:
        return Providers()
    if programs is None:
        raise ConfigurationError("--image-credential-provider-config needs --image-credential-provider-bin-dir")
    if path is None:
        raise ConfigurationError("--image-credential-provider-bin-dir needs --image-credential-provider-config")
    loaded = load_providers(path)
    metrics.credential_config.labels(loaded.hash).set(1)
    return exec_providers(
        loaded,
        programs,
        environ=platform.environ,
        source=source,
        tokens=tokens,
        clock=clock,
        observe=metrics.observe_credential_plugin,
    )


def _pulled(config: KubeletConfig, platform: Platform, clock: Clock, metrics: KubeletMetrics) -> PulledImages | None:
    if platform.paths is None or not config.image_verification:
        return None
    try:
        must_verify = verification_policy(config.image_verification, config.image_verification_allowlist)
        records = FileRecords(config.root_dir)
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"imagePullCredentialsVerificationPolicy: {error}") from error
    metrics.pull_intents.set_function(lambda: len(tuple(records.intents())))
    metrics.pulled_records.set_function(lambda: len(tuple(records.pulled())))
    return PulledImages(
        records, must_verify, clock=clock, checked=lambda result: metrics.image_checks.labels(result).inc()
    )
