"""Which plugins an API server has: authenticators, authorizers, admission, answers to reviews; chosen by configuration.

To add an admission plugin: write its file in ``admission/`` and add its row, here or in ``admission/catalogue.py``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionPlugin, Reader
from steersman.apiserver.admission.catalogue import ROWS, Rows, UnknownPlugin, chosen, ordered
from steersman.apiserver.admission.configuration import kubeconfig_of
from steersman.apiserver.admission.defaultingressclass import DefaultIngressClass
from steersman.apiserver.admission.defaultstorageclass import DefaultStorageClass
from steersman.apiserver.admission.defaulttolerationseconds import DefaultTolerationSeconds
from steersman.apiserver.admission.limitranger import LimitRanger
from steersman.apiserver.admission.metrics import AdmissionMetrics
from steersman.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from steersman.apiserver.admission.noderestriction import NodeRestriction
from steersman.apiserver.admission.podresize import PodResize
from steersman.apiserver.admission.policies.active import ActivePolicies
from steersman.apiserver.admission.policies.kinds import PolicyKinds
from steersman.apiserver.admission.policies.metrics import PolicyMetrics
from steersman.apiserver.admission.policies.mutating import MutatingAdmissionPolicy
from steersman.apiserver.admission.policies.mutations import MutatingPolicy
from steersman.apiserver.admission.policies.validating import ValidatingAdmissionPolicy
from steersman.apiserver.admission.policies.verdicts import ValidatingPolicy
from steersman.apiserver.admission.priority import Priority
from steersman.apiserver.admission.rbacescalation import RBACEscalation
from steersman.apiserver.admission.resourceclaimaccess import ResourceClaimAccess
from steersman.apiserver.admission.runtimeclass import RuntimeClass
from steersman.apiserver.admission.serviceaccount import ServiceAccount
from steersman.apiserver.admission.storageobjectinuseprotection import StorageObjectInUseProtection
from steersman.apiserver.admission.taintnodesbycondition import TaintNodesByCondition
from steersman.apiserver.admission.webhooks.calling import Caller
from steersman.apiserver.admission.webhooks.hooks import Hooks, WebhookKind
from steersman.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from steersman.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from steersman.apiserver.authn.api import Authenticator
from steersman.apiserver.authn.bearertokens import BearerTokenAuthenticator
from steersman.apiserver.authn.bootstraptokens import BootstrapTokens
from steersman.apiserver.authn.legacytokens import LastUsedLabels
from steersman.apiserver.authn.serviceaccount import ServiceAccountAuthenticator
from steersman.apiserver.authz.alwaysallow import AlwaysAllowAuthorizer
from steersman.apiserver.authz.alwaysdeny import AlwaysDenyAuthorizer
from steersman.apiserver.authz.api import Authorizer
from steersman.apiserver.authz.masters import SystemMastersAuthorizer
from steersman.apiserver.authz.metrics import DecisionMetrics
from steersman.apiserver.authz.node import NodeAuthorizer
from steersman.apiserver.authz.rbac import RBACAuthorizer
from steersman.apiserver.authz.union import UnionAuthorizer
from steersman.apiserver.call import Call
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.reviews import reviewing, token_requesting
from steersman.apiserver.flowcontrol.api import FlowController
from steersman.apiserver.metrics.credentials import CredentialMetrics
from steersman.apiserver.reviews.access import review_access, review_own_access, review_own_rules
from steersman.apiserver.reviews.identity import TokenReviewer, review_self, review_token
from steersman.apiserver.reviews.token_request import TokenRequests
from steersman.apiserver.webhooks.client import WebhookClient
from steersman.apiserver.webhooks.credentials import Credentials
from steersman.client.api import Client
from steersman.meta.errors import ServiceUnavailable
from steersman.meta.objects import Object
from steersman.meta.resources import (
    MUTATINGADMISSIONPOLICIES,
    MUTATINGADMISSIONPOLICYBINDINGS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)


class Plugins(Struct, frozen=True, kw_only=True):
    """What is plugged into a server."""

    authenticators: Sequence[Authenticator] = ()
    authorizer: Authorizer
    admission: Sequence[AdmissionPlugin] = ()
    verbs: Mapping[tuple[str, str, str], Endpoint] = field(default_factory=dict)
    """(group, plural, verb) -> endpoint of kinds that are not stored, e.g. reviews."""
    subresources: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = field(default_factory=dict)
    flow_controller: FlowController | None = None


class Surroundings(Struct, frozen=True, kw_only=True):
    """What plugins are made from."""

    config: APIServerConfig
    reader: Reader
    clock: Clock
    rng: random.Random
    versions: PolicyKinds
    webhooks: WebhookClient
    admission_metrics: AdmissionMetrics
    registry: CollectorRegistry
    """For the metrics of plugins."""
    credential_metrics: CredentialMetrics
    decisions: DecisionMetrics
    policy_metrics: PolicyMetrics
    client: Client
    """Acts as the server itself; for use once it is started."""
    authorizer: Authorizer = field(default_factory=AlwaysDenyAuthorizer)
    """The server's own, once ``assemble`` has made it: admission comes after."""


def _caller(of: Surroundings, kind: WebhookKind, plugin: str) -> Caller:
    file = kubeconfig_of(plugin, of.config.admission_configuration.get(plugin))
    credentials = Credentials.load(file, clock=of.clock) if file else None
    return Caller(kind, of.webhooks, clock=of.clock, rng=of.rng, metrics=of.admission_metrics, credentials=credentials)


def _mutating_webhooks(of: Surroundings) -> AdmissionPlugin:
    return MutatingAdmissionWebhook(
        Hooks(of.reader, of.versions, MUTATINGWEBHOOKCONFIGURATIONS),
        _caller(of, "admit", MutatingAdmissionWebhook.NAME),
        of.versions,
        of.authorizer,
        reader=of.reader,
        clock=of.clock,
    )


def _validating_webhooks(of: Surroundings) -> AdmissionPlugin:
    return ValidatingAdmissionWebhook(
        Hooks(of.reader, of.versions, VALIDATINGWEBHOOKCONFIGURATIONS),
        _caller(of, "validating", ValidatingAdmissionWebhook.NAME),
        of.versions,
        of.authorizer,
        reader=of.reader,
        clock=of.clock,
    )


def _default_toleration_seconds(of: Surroundings) -> AdmissionPlugin:
    return DefaultTolerationSeconds(
        not_ready_s=of.config.default_not_ready_toleration_s, unreachable_s=of.config.default_unreachable_toleration_s
    )


def _mutating_policies(of: Surroundings) -> AdmissionPlugin:
    return MutatingAdmissionPolicy(
        ActivePolicies(
            of.reader, of.versions, MUTATINGADMISSIONPOLICIES, MUTATINGADMISSIONPOLICYBINDINGS, MutatingPolicy
        ),
        of.versions,
        of.authorizer,
        reader=of.reader,
        clock=of.clock,
        metrics=of.policy_metrics,
        admission_metrics=of.admission_metrics,
    )


def _validating_policies(of: Surroundings) -> AdmissionPlugin:
    return ValidatingAdmissionPolicy(
        ActivePolicies(
            of.reader, of.versions, VALIDATINGADMISSIONPOLICIES, VALIDATINGADMISSIONPOLICYBINDINGS, ValidatingPolicy
        ),
        of.versions,
        of.authorizer,
        reader=of.reader,
        clock=of.clock,
        metrics=of.policy_metrics,
        admission_metrics=of.admission_metrics,
    )


ADMISSION: Rows = ordered(
    {
        NamespaceLifecycle.NAME: (lambda of: NamespaceLifecycle(of.reader), True),
        LimitRanger.NAME: (lambda of: LimitRanger(of.reader), True),
        ServiceAccount.NAME: (lambda of: ServiceAccount(of.reader, rng=of.rng), True),
        NodeRestriction.NAME: (lambda of: NodeRestriction(of.reader, of.authorizer), False),
        TaintNodesByCondition.NAME: (lambda of: TaintNodesByCondition(), True),
        Priority.NAME: (lambda of: Priority(of.reader), True),
        DefaultTolerationSeconds.NAME: (_default_toleration_seconds, True),
        DefaultStorageClass.NAME: (lambda of: DefaultStorageClass(of.reader), True),
        StorageObjectInUseProtection.NAME: (lambda of: StorageObjectInUseProtection(), True),
        RuntimeClass.NAME: (lambda of: RuntimeClass(of.reader), True),
        DefaultIngressClass.NAME: (lambda of: DefaultIngressClass(of.reader), True),
        PodResize.NAME: (lambda of: PodResize(of.reader), True),
        MutatingAdmissionPolicy.NAME: (_mutating_policies, True),
        MutatingAdmissionWebhook.NAME: (_mutating_webhooks, True),
        ValidatingAdmissionPolicy.NAME: (_validating_policies, True),
        ValidatingAdmissionWebhook.NAME: (_validating_webhooks, True),
        **ROWS,
    }
)


def admission(of: Surroundings) -> list[AdmissionPlugin]:
    """The plugins that the configuration leaves, in order. Raises ``ValueError`` where it makes no sense."""
    return [ADMISSION[name][0](of) for name in chosen(ADMISSION, of.config)]


def assemble(of: Surroundings) -> Plugins:
    """Everything that the configuration asks for. Raises ``ValueError`` for what it asks for in vain."""
    config = of.config
    rbac = RBACAuthorizer(of.reader) if "RBAC" in config.authorization_modes else None
    authorizers = [(of.decisions.of(mode), _authorizer(of, mode, rbac)) for mode in config.authorization_modes]
    authorizer = UnionAuthorizer(((None, SystemMastersAuthorizer()), *authorizers))
    tokens = _tokens(of)
    plugins = admission(replace(of, authorizer=authorizer))
    plugins.insert(0, ResourceClaimAccess(of.reader, authorizer))
    if rbac is not None:
        plugins.insert(0, RBACEscalation(of.reader, authorizer, rbac))
    return Plugins(
        authenticators=_authenticators(of, tokens),
        authorizer=authorizer,
        admission=plugins,
        verbs=_reviews(of, authorizer, rbac, tokens),
        subresources={("", "serviceaccounts", "token"): {"create": _token_endpoint(of)}},
    )


def _authorizer(of: Surroundings, mode: str, rbac: RBACAuthorizer | None) -> Authorizer:
    match mode:
        case "RBAC" if rbac is not None:
            return rbac
        case "Node":
            return NodeAuthorizer(of.reader)
        case "AlwaysAllow":
            return AlwaysAllowAuthorizer()
        case "AlwaysDeny":
            return AlwaysDenyAuthorizer()
        case _:
            raise UnknownPlugin(f'"{mode}" is not a supported authorization mode')


def _service_accounts(of: Surroundings) -> ServiceAccountAuthenticator | None:
    config = of.config
    pems = list(config.service_account_keys)
    if not pems and config.service_account_signing_key:
        pems = [config.service_account_signing_key]
    if not pems:
        return None
    from steersman.apiserver.authn.tokens import TokenVerifier, load_keys

    keys = [key for pem in pems for key in load_keys(pem)]
    audiences = config.api_audiences or (config.service_account_issuer,)
    verifier = TokenVerifier(issuers=(config.service_account_issuer,), keys=keys, audiences=audiences, clock=of.clock)
    uses = LastUsedLabels(of.client, clock=of.clock)
    return ServiceAccountAuthenticator(verifier, of.reader, clock=of.clock, uses=uses, metrics=of.credential_metrics)


class _TokenAuthenticator(Authenticator, TokenReviewer, Protocol):
    """Knows bearer tokens, of requests and of reviews."""


def _tokens(of: Surroundings) -> list[_TokenAuthenticator]:
    """What knows bearer tokens, in the order in which it is asked."""
    config = of.config
    audiences = config.api_audiences or (config.service_account_issuer,)
    found: list[_TokenAuthenticator] = []
    if config.static_tokens:
        found.append(BearerTokenAuthenticator(config.static_tokens.get, audiences=audiences))
    accounts = _service_accounts(of)
    if accounts is not None:
        found.append(accounts)
    if config.enable_bootstrap_tokens:
        tokens = BootstrapTokens(of.reader, clock=of.clock)
        found.append(BearerTokenAuthenticator(tokens.bearer, audiences=audiences))
    return found


def _authenticators(of: Surroundings, tokens: Sequence[Authenticator]) -> list[Authenticator]:
    config = of.config
    found: list[Authenticator] = []
    if config.request_header_client_ca:
        from steersman.apiserver.authn.requestheader import RequestHeaderAuthenticator, RequestHeaderConfig
        from steersman.apiserver.authn.x509 import load_authorities

        headers = config.request_header
        found.append(
            RequestHeaderAuthenticator(
                RequestHeaderConfig(
                    authorities=load_authorities(config.request_header_client_ca),
                    allowed_names=headers.allowed_names,
                    username_headers=headers.username_headers,
                    uid_headers=headers.uid_headers,
                    group_headers=headers.group_headers,
                    extra_prefixes=headers.extra_headers_prefixes,
                )
            )
        )
    if config.client_ca:
        from steersman.apiserver.authn.x509 import X509Authenticator, load_authorities

        authorities = load_authorities(config.client_ca)
        found.append(X509Authenticator(authorities, clock=of.clock, metrics=of.credential_metrics))
    return [*found, *tokens]


def _reviews(
    of: Surroundings,
    authorizer: Authorizer,
    rbac: RBACAuthorizer | None,
    tokens: Sequence[TokenReviewer],
) -> Mapping[tuple[str, str, str], Endpoint]:
    async def access(review: Object, call: Call) -> Object:
        return await review_access(review, authorizer, namespace=call.info.namespace)

    async def own_access(review: Object, call: Call) -> Object:
        return await review_own_access(review, call.user, authorizer)

    async def own_rules(review: Object, call: Call) -> Object:
        return review_own_rules(review, call.user, rbac)

    async def token(review: Object, call: Call) -> Object:
        if not tokens:
            raise ServiceUnavailable("no key is configured that verifies tokens")
        return await review_token(review, *tokens)

    async def self_(review: Object, call: Call) -> Object:
        return review_self(review, call.user, now_s=of.clock.now())

    authentication, authorization = "authentication.k8s.io", "authorization.k8s.io"
    return {
        (authentication, "tokenreviews", "create"): reviewing(token),
        (authentication, "selfsubjectreviews", "create"): reviewing(self_),
        (authorization, "subjectaccessreviews", "create"): reviewing(access),
        (authorization, "localsubjectaccessreviews", "create"): reviewing(access),
        (authorization, "selfsubjectaccessreviews", "create"): reviewing(own_access),
        (authorization, "selfsubjectrulesreviews", "create"): reviewing(own_rules),
    }


def _token_endpoint(of: Surroundings) -> Endpoint:
    config = of.config
    requests: TokenRequests | None = None
    if config.service_account_signing_key:
        from steersman.apiserver.authn.tokens import TokenIssuer

        issuer = TokenIssuer(
            issuer=config.service_account_issuer,
            private_key_pem=config.service_account_signing_key,
            clock=of.clock,
            rng=of.rng,
        )
        audiences = config.api_audiences or (config.service_account_issuer,)
        requests = TokenRequests(issuer, of.reader, audiences=audiences)

    async def answer(request: Object, call: Call) -> Object:
        if requests is None:
            raise ServiceUnavailable("no key is configured that signs tokens")
        return requests.answer(request, namespace=call.info.namespace, name=call.info.name, now_s=of.clock.now())

    return token_requesting(answer)
