"""Admission plugins that need nothing but their row, the order in which all run, and which of them a configuration asks for.

``apiserver/plugins.py`` has the rows of those that take more to make.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from steersman.apiserver.admission.alwaysadmit import AlwaysAdmit, AlwaysDeny
from steersman.apiserver.admission.alwayspullimages import AlwaysPullImages
from steersman.apiserver.admission.api import AdmissionPlugin
from steersman.apiserver.admission.certificateapproval import CertificateApproval
from steersman.apiserver.admission.certificatesigning import CertificateSigning
from steersman.apiserver.admission.certificatesubjectrestriction import CertificateSubjectRestriction
from steersman.apiserver.admission.clustertrustbundleattest import ClusterTrustBundleAttest
from steersman.apiserver.admission.denyserviceexternalips import DenyServiceExternalIPs
from steersman.apiserver.admission.eventratelimit import EventRateLimit, event_limits
from steersman.apiserver.admission.extendedresourcetoleration import ExtendedResourceToleration
from steersman.apiserver.admission.imagepolicywebhook import ImagePolicyWebhook, image_policy
from steersman.apiserver.admission.limitpodhardantiaffinitytopology import LimitPodHardAntiAffinityTopology
from steersman.apiserver.admission.namespaceautoprovision import NamespaceAutoProvision, NamespaceExists
from steersman.apiserver.admission.nodedeclaredfeatures import NodeDeclaredFeatureValidator
from steersman.apiserver.admission.ownerreferencespermissionenforcement import OwnerReferencesPermissionEnforcement
from steersman.apiserver.admission.persistentvolumeclaimresize import PersistentVolumeClaimResize
from steersman.apiserver.admission.podnodeselector import PodNodeSelector, node_selectors
from steersman.apiserver.admission.podsecurity.configuration import configuration_of
from steersman.apiserver.admission.podsecurity.plugin import PodSecurity
from steersman.apiserver.admission.podtolerationrestriction import PodTolerationRestriction, cluster_tolerations
from steersman.apiserver.admission.podtopologylabels import PodTopologyLabels
from steersman.apiserver.admission.resourcequota import ResourceQuota, limited_resources

if TYPE_CHECKING:
    from steersman.apiserver.config import APIServerConfig
    from steersman.apiserver.plugins import Surroundings

Factory = Callable[["Surroundings"], AdmissionPlugin]
Rows = Mapping[str, tuple[Factory, bool]]
"""Name -> (how it is made, whether it is on unless switched off)."""

ORDER = (
    "AlwaysAdmit",
    "NamespaceAutoProvision",
    "NamespaceLifecycle",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "AlwaysPullImages",
    "ImagePolicyWebhook",
    "PodSecurity",
    "PodNodeSelector",
    "Priority",
    "DefaultTolerationSeconds",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PodGroupProtection",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DenyServiceExternalIPs",
    "PodTopologyLabels",
    "PodGroupWorkloadExists",
    "NodeDeclaredFeatureValidator",
    "JobValidation",
    "PodResizeValidator",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
    "AlwaysDeny",
)
"""Upstream's: what changes objects comes before webhooks, quota is charged for what everybody else lets through."""

INERT = frozenset({"JobValidation", "PodGroupProtection", "PodGroupWorkloadExists"})
"""On by default and without effect: they guard APIs of feature gates that are off (GenericWorkload, WorkloadWithJob)."""


def _pod_security(of: Surroundings) -> AdmissionPlugin:
    configuration = configuration_of(of.config.admission_configuration.get(PodSecurity.NAME) or None)
    return PodSecurity(of.reader, clock=of.clock, registry=of.registry, configuration=configuration)


def _resource_quota(of: Surroundings) -> AdmissionPlugin:
    limited = limited_resources(of.config.admission_configuration.get(ResourceQuota.NAME) or None)
    return ResourceQuota(of.reader, of.client, clock=of.clock, limited=limited)


def _pod_node_selector(of: Surroundings) -> AdmissionPlugin:
    selectors = node_selectors(of.config.admission_configuration.get(PodNodeSelector.NAME) or None)
    return PodNodeSelector(of.reader, selectors)


def _pod_toleration_restriction(of: Surroundings) -> AdmissionPlugin:
    cluster = cluster_tolerations(of.config.admission_configuration.get(PodTolerationRestriction.NAME) or None)
    return PodTolerationRestriction(of.reader, cluster)


def _event_rate_limit(of: Surroundings) -> AdmissionPlugin:
    limits = event_limits(of.config.admission_configuration.get(EventRateLimit.NAME) or None)
    return EventRateLimit(limits, clock=of.clock)


def _image_policy_webhook(of: Surroundings) -> AdmissionPlugin:
    policy = image_policy(of.config.admission_configuration.get(ImagePolicyWebhook.NAME) or None)
    return ImagePolicyWebhook(policy, of.webhooks, clock=of.clock, rng=of.rng)


CONFIGURABLE = frozenset(
    {
        "EventRateLimit",
        "ImagePolicyWebhook",
        "MutatingAdmissionWebhook",
        "PodNodeSelector",
        "PodSecurity",
        "PodTolerationRestriction",
        "ResourceQuota",
        "ValidatingAdmissionWebhook",
    }
)
"""Those that ``--admission-control-config-file`` may speak of."""

ROWS: Rows = {
    AlwaysAdmit.NAME: (lambda of: AlwaysAdmit(), False),
    AlwaysDeny.NAME: (lambda of: AlwaysDeny(), False),
    AlwaysPullImages.NAME: (lambda of: AlwaysPullImages(), False),
    CertificateApproval.NAME: (lambda of: CertificateApproval(of.authorizer), True),
    CertificateSigning.NAME: (lambda of: CertificateSigning(of.authorizer), True),
    CertificateSubjectRestriction.NAME: (lambda of: CertificateSubjectRestriction(), True),
    ClusterTrustBundleAttest.NAME: (lambda of: ClusterTrustBundleAttest(of.authorizer), True),
    DenyServiceExternalIPs.NAME: (lambda of: DenyServiceExternalIPs(), False),
    EventRateLimit.NAME: (_event_rate_limit, False),
    ExtendedResourceToleration.NAME: (lambda of: ExtendedResourceToleration(), False),
    ImagePolicyWebhook.NAME: (_image_policy_webhook, False),
    LimitPodHardAntiAffinityTopology.NAME: (lambda of: LimitPodHardAntiAffinityTopology(), False),
    NamespaceAutoProvision.NAME: (lambda of: NamespaceAutoProvision(of.reader, of.client), False),
    NamespaceExists.NAME: (lambda of: NamespaceExists(of.reader), False),
    NodeDeclaredFeatureValidator.NAME: (lambda of: NodeDeclaredFeatureValidator(of.reader), True),
    OwnerReferencesPermissionEnforcement.NAME: (
        lambda of: OwnerReferencesPermissionEnforcement(of.authorizer, of.versions),
        False,
    ),
    PersistentVolumeClaimResize.NAME: (lambda of: PersistentVolumeClaimResize(of.reader), True),
    PodNodeSelector.NAME: (_pod_node_selector, False),
    PodSecurity.NAME: (_pod_security, True),
    PodTolerationRestriction.NAME: (_pod_toleration_restriction, False),
    PodTopologyLabels.NAME: (lambda of: PodTopologyLabels(of.reader), True),
    ResourceQuota.NAME: (_resource_quota, True),
}


class UnknownPlugin(ValueError):
    """A name in the configuration that no plugin has, or that it says two things about."""


def ordered(rows: Rows) -> Rows:
    """The rows as ``ORDER`` has them. Raises ``ValueError`` for one that it does not have."""
    unordered = rows.keys() - set(ORDER)
    if unordered:
        raise ValueError(f"no place in the order for {', '.join(sorted(unordered))}")
    return {name: rows[name] for name in ORDER if name in rows}


def chosen(rows: Rows, config: APIServerConfig) -> Collection[str]:
    """What ``--enable-admission-plugins`` and ``--disable-admission-plugins`` leave, in order. Raises ``UnknownPlugin``."""
    enabled, disabled = set(config.enabled_admission_plugins), set(config.disabled_admission_plugins)
    known = rows.keys() | INERT
    for flag, names in (("enable", enabled), ("disable", disabled)):
        if names - known:
            listed, all_known = ", ".join(sorted(names - known)), ", ".join(sorted(known))
            raise UnknownPlugin(f"{flag}-admission-plugins: {listed} unknown; known are {all_known}")
    if enabled & disabled:
        raise UnknownPlugin(
            f"{', '.join(sorted(enabled & disabled))} in both enable-admission-plugins and disable-admission-plugins"
        )
    configured = {name for name, configuration in config.admission_configuration.items() if configuration}
    if configured - CONFIGURABLE:
        listed = ", ".join(sorted(configured - CONFIGURABLE))
        raise UnknownPlugin(f"admission configuration of {listed}, which take none or are unknown")
    return [name for name, (_, is_default) in rows.items() if name not in disabled and (is_default or name in enabled)]
