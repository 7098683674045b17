"""PodNodeSelector: the pods of a namespace run on the nodes that its annotation selects, within what the configuration allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader, ValidatingPlugin
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.errors import Unwrapped
from steersman.meta import objects
from steersman.meta.errors import Forbidden, NotFound, invalid
from steersman.meta.names import label_key_errors, label_value_errors
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES, PODS

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
_SECTION = "podNodeSelectorPluginConfig"
_CLUSTER = "clusterDefaultNodeSelector"


class NodeSelectors(Struct, frozen=True, kw_only=True):
    """Selectors as they are written, ``a=b,c=d``."""

    default: str = ""
    """Of namespaces without the annotation."""
    allowed: Mapping[str, str] = field(default_factory=dict)
    """Namespace -> all that its pods may select; a namespace that is missing may select anything."""


def node_selectors(configuration: Mapping[str, Any] | None) -> NodeSelectors:
    """Raises ``AdmissionConfigurationError``."""
    if configuration is None:
        return NodeSelectors()
    unknown = configuration.keys() - {_SECTION}
    if unknown:
        raise AdmissionConfigurationError(f"PodNodeSelector: unknown fields {', '.join(sorted(unknown))}")
    section = configuration.get(_SECTION) or {}
    if not isinstance(section, dict) or not all(isinstance(text, str) for text in section.values()):
        raise AdmissionConfigurationError(f"PodNodeSelector: {_SECTION} is not a map of strings")
    allowed = dict(section)
    return NodeSelectors(default=allowed.pop(_CLUSTER, ""), allowed=allowed)


class PodNodeSelector:
    NAME = "PodNodeSelector"
    OPERATIONS = ("CREATE",)

    def __init__(self, reader: Reader, selectors: NodeSelectors | None = None) -> None:
        self._reader = reader
        self._selectors = selectors or NodeSelectors()

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if pod is None or not _concerns(request):
            return None
        of_namespace, given = self._checked(request, pod)
        if all(given.get(key) == value for key, value in of_namespace.items()):
            return None
        return {**pod, "spec": {**(pod.get("spec") or {}), "nodeSelector": {**of_namespace, **given}}}

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is not None and _concerns(request):
            self._checked(request, request.obj)

    def _checked(self, request: AdmissionRequest, pod: Object) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What the namespace and what the pod selects. Raises ``APIError`` where they do not go together."""
        of_namespace = self._of_namespace(request.namespace)
        given: Mapping[str, str] = (pod.get("spec") or {}).get("nodeSelector") or {}
        if any(given.get(key, value) != value for key, value in of_namespace.items()):
            why = "pod node label selector conflicts with its namespace node label selector"
            raise Forbidden.of(PODS, objects.name(pod), why)
        allowed = _parsed(self._selectors.allowed.get(request.namespace, ""))
        if allowed and not {**of_namespace, **given}.items() <= allowed.items():
            why = "pod node label selector labels conflict with its namespace whitelist"
            raise Forbidden.of(PODS, objects.name(pod), why)
        return of_namespace, given

    def _of_namespace(self, name: str) -> dict[str, str]:
        namespace = self._reader.get(NAMESPACES, "", name)
        if namespace is None:
            raise NotFound.of(NAMESPACES, name)
        return _parsed(objects.annotations(namespace).get(ANNOTATION, self._selectors.default))


def _concerns(request: AdmissionRequest) -> bool:
    return request.kind.resource == PODS and not request.subresource


def _parsed(text: str) -> dict[str, str]:
    """``a=b,c=d`` as labels. Raises ``APIError``."""
    if not text:
        return {}
    found = {}
    for entry in text.split(","):
        parts = entry.split("=")
        if len(parts) != 2:
            raise Unwrapped(f"invalid selector: [{' '.join(parts)}]")
        key, value = (part.strip() for part in parts)
        for path, part, errors in (
            ("<nil>", key, label_key_errors(key)),
            (f"[{key}]", value, label_value_errors(value)),
        ):
            if errors:
                raise Unwrapped(str(invalid(path, part, "; ".join(errors))))
        found[key] = value
    return found


def _conforms(reader: Reader) -> tuple[MutatingPlugin, ValidatingPlugin]:
    return PodNodeSelector(reader), PodNodeSelector(reader)
