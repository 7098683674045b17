"""The webhooks of this cluster, compiled from their configurations and made anew only where one of those changes.

``Hooks.matching(request)`` is what each write asks. Which rules match depends on little (operation, resource, scope), so that is
remembered; selectors and match conditions are looked at each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct

from steersman.apiserver.admission.api import AdmissionRequest, Reader
from steersman.apiserver.admission.matchconditions import MatchConditions
from steersman.apiserver.admission.matching import Matcher, Target, Versions
from steersman.apiserver.webhooks.api import Endpoint, endpoint_of
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

_REMEMBERED = 4096
"""Kinds of requests whose rules are remembered; beyond that many all are looked at anew."""


class Hook:
    """One webhook of one configuration. Immutable; what is expensive is made when it is first used."""

    def __init__(self, configuration: Object, index: int, webhook: Mapping[str, Any]) -> None:
        self.configuration: str = configuration["metadata"]["name"]
        self.name: str = webhook["name"]
        same_name = sum(1 for other in configuration["webhooks"][:index] if other["name"] == self.name)
        self.uid = f"{self.configuration}/{self.name}/{same_name}"
        """What it is known as from one round to the next."""
        self.matcher = Matcher.of_webhook(webhook)
        self.ignores_failures = webhook.get("failurePolicy") == "Ignore"
        self.side_effects: str = webhook.get("sideEffects") or ""
        self.timeout_s: float | None = webhook.get("timeoutSeconds")
        self.review_versions: Sequence[str] = webhook.get("admissionReviewVersions") or ()
        self.is_reinvoked = webhook.get("reinvocationPolicy") == "IfNeeded"
        self.has_conditions = bool(webhook.get("matchConditions"))
        self._webhook = webhook

    @cached_property
    def conditions(self) -> MatchConditions:
        return MatchConditions.of(self._webhook.get("matchConditions") or ())

    @cached_property
    def endpoint(self) -> Endpoint:
        """Raises ``InvalidEndpoint`` (a ``ValueError``)."""
        return endpoint_of(self._webhook["clientConfig"])


class Candidate(Struct, frozen=True, kw_only=True):
    """A webhook whose rules match."""

    index: int
    """Its place among all webhooks of its kind, as audit annotations count them."""
    hook: Hook
    target: Target


_Shape = tuple[str, Resource, str, bool]


class Hooks:
    """All webhooks of one kind of configuration, in the order in which they are called: by configuration's name, then as
    they are listed."""

    def __init__(self, reader: Reader, versions: Versions, resource: Resource) -> None:
        self._reader = reader
        self._versions = versions
        self._resource = resource
        self._revision = -1
        self._by_name: Mapping[str, tuple[Object, tuple[Hook, ...]]] = {}
        self._hooks: tuple[Hook, ...] = ()
        self._found: dict[_Shape, tuple[Candidate, ...]] = {}
        self._generation = -1

    def matching(self, request: AdmissionRequest) -> Sequence[Candidate]:
        """The webhooks whose rules match, not yet whose selectors do."""
        revision = self._reader.revision(self._resource)
        if revision != self._revision:
            self._compile(revision)
        if not self._hooks:
            return ()
        if self._generation != self._versions.generation:
            self._generation = self._versions.generation
            self._found.clear()
        shape = (request.operation, request.kind.resource, request.subresource, bool(request.namespace))
        found = self._found.get(shape)
        if found is None:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            found = self._found[shape] = tuple(self._find(request))
        return found

    def _find(self, request: AdmissionRequest) -> Sequence[Candidate]:
        targets = (
            (index, hook, hook.matcher.target(request, self._versions)) for index, hook in enumerate(self._hooks)
        )
        return [
            Candidate(index=index, hook=hook, target=target) for index, hook, target in targets if target is not None
        ]

    def _compile(self, revision: int) -> None:
        """Configurations that have not changed keep their webhooks, with their compiled conditions."""
        before = self._by_name
        found: dict[str, tuple[Object, tuple[Hook, ...]]] = {}
        for configuration in sorted(self._reader.list(self._resource), key=lambda entry: entry["metadata"]["name"]):
            name = configuration["metadata"]["name"]
            known = before.get(name)
            if known is not None and known[0] is configuration:
                found[name] = known
                continue
            webhooks = configuration.get("webhooks") or ()
            hooks = tuple(Hook(configuration, index, webhook) for index, webhook in enumerate(webhooks))
            found[name] = (configuration, hooks)
        self._by_name = found
        self._hooks = tuple(hook for _, hooks in found.values() for hook in hooks)
        self._found.clear()
        self._revision = revision


WebhookKind = Literal["admit", "validating"]
"""Of a webhook, in the words of upstream's metrics."""
