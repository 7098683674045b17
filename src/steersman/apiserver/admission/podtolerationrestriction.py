"""PodTolerationRestriction: the pods of a namespace get its default tolerations and may have none beyond its whitelist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader, ValidatingPlugin
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.errors import Unwrapped
from steersman.meta import objects, tolerations
from steersman.meta.errors import FieldError, NotFound
from steersman.meta.objects import Object
from steersman.meta.podresources import is_best_effort
from steersman.meta.resources import NAMESPACES, PODS
from steersman.schema.groups.core.podspec.placement import check_tolerations

DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
WHITELIST = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_API_VERSION = "podtolerationrestriction.admission.k8s.io/v1alpha1"
_MEMORY_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
_decoder = msgspec.json.Decoder(list[dict[str, Any]] | None)


class ClusterTolerations(Struct, frozen=True, kw_only=True):
    """Of namespaces that say nothing."""

    default: Sequence[Object] = field(default_factory=tuple)
    whitelist: Sequence[Object] = field(default_factory=tuple)


def cluster_tolerations(configuration: Mapping[str, Any] | None) -> ClusterTolerations:
    """Raises ``AdmissionConfigurationError``."""
    if configuration is None:
        return ClusterTolerations()
    if configuration.get("apiVersion") != _API_VERSION or configuration.get("kind") != "Configuration":
        raise AdmissionConfigurationError(
            f"PodTolerationRestriction: {configuration.get('kind')!r} of {configuration.get('apiVersion')!r} is not a "
            "Configuration"
        )
    unknown = configuration.keys() - {"apiVersion", "kind", "default", "whitelist"}
    if unknown:
        raise AdmissionConfigurationError(f"PodTolerationRestriction: unknown fields {', '.join(sorted(unknown))}")
    errors: list[FieldError] = []
    lists = {}
    for name in ("default", "whitelist"):
        lists[name] = configuration.get(name) or ()
        check_tolerations(errors, lists[name], f"podtolerationrestriction.{name}")
    if errors:
        raise AdmissionConfigurationError(f"PodTolerationRestriction: invalid config: {', '.join(map(str, errors))}")
    return ClusterTolerations(**lists)


class PodTolerationRestriction:
    NAME = "PodTolerationRestriction"
    OPERATIONS = ("CREATE", "UPDATE")

    def __init__(self, reader: Reader, cluster: ClusterTolerations | None = None) -> None:
        self._reader = reader
        self._cluster = cluster or ClusterTolerations()

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if pod is None or not _concerns(request):
            return None
        added = list(self._defaults(request.namespace)) if request.operation == "CREATE" else []
        if not is_best_effort(pod):
            added.append(_MEMORY_PRESSURE)
        spec = pod.get("spec") or {}
        given = spec.get("tolerations") or []
        merged = tolerations.merged(given, added) if added else given
        self._check(request.namespace, merged)
        return None if merged == given else {**pod, "spec": {**spec, "tolerations": merged}}

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is not None and _concerns(request):
            self._check(request.namespace, (request.obj.get("spec") or {}).get("tolerations") or ())

    def _defaults(self, namespace: str) -> Sequence[Object]:
        said = self._said(namespace, DEFAULTS)
        return self._cluster.default if said is None else said

    def _check(self, namespace: str, given: Sequence[Object]) -> None:
        if not given:
            return
        whitelist, scope = self._said(namespace, WHITELIST), "namespace"
        if whitelist is None:
            whitelist, scope = self._cluster.whitelist, "cluster"
        if not tolerations.are_within(given, whitelist):
            raise Unwrapped(
                f"pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
            )

    def _said(self, name: str, annotation: str) -> Sequence[Object] | None:
        """The tolerations in an annotation of a namespace; None without it."""
        namespace = self._reader.get(NAMESPACES, "", name)
        if namespace is None:
            raise NotFound.of(NAMESPACES, name)
        text = objects.annotations(namespace).get(annotation)
        if not text:
            return text if text is None else ()
        try:
            return _decoder.decode(text) or ()
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Unwrapped(f"{annotation} of namespace {name}: {error}") from error


def _concerns(request: AdmissionRequest) -> bool:
    return request.kind.resource == PODS and not request.subresource


def _conforms(reader: Reader) -> tuple[MutatingPlugin, ValidatingPlugin]:
    return PodTolerationRestriction(reader), PodTolerationRestriction(reader)
