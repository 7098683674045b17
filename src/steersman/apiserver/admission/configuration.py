"""The file of ``--admission-control-config-file``: the configuration of admission plugins, by their names.

Source: ``AdmissionConfiguration`` of apiserver.config.k8s.io/v1 in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

GROUP = "apiserver.config.k8s.io"
_API_VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1alpha1")
_FIELDS = frozenset({"apiVersion", "kind", "plugins"})
_PLUGIN_FIELDS = frozenset({"name", "path", "configuration"})
_LEGACY = {"imagePolicy": "ImagePolicyWebhook", "podNodeSelectorPluginConfig": "PodNodeSelector"}
"""Plugins whose configuration may be the whole file, by its first field."""
_WEBHOOK_API_VERSIONS = (*_API_VERSIONS, "apiserver.config.k8s.io/v1beta1")
_WEBHOOK_FIELDS = frozenset({"apiVersion", "kind", "kubeConfigFile"})


class AdmissionConfigurationError(ValueError):
    """The file cannot be used; the message says why."""


def load(path: str) -> Mapping[str, Mapping[str, Any]]:
    """The configurations in the file; where it names other files, what those contain.

    Raises ``AdmissionConfigurationError``.
    """
    file = Path(path)
    document = _document(file)
    if not {"apiVersion", "kind"} & document.keys() and document.keys() & _LEGACY.keys():
        return {plugin: {name: document[name]} for name, plugin in _LEGACY.items() if name in document}
    _check_fields(document, _FIELDS, file)
    if document.get("apiVersion") not in _API_VERSIONS or document.get("kind") != "AdmissionConfiguration":
        raise AdmissionConfigurationError(f"{file} is no AdmissionConfiguration of {_API_VERSIONS[0]}")
    found: dict[str, Mapping[str, Any]] = {}
    for plugin in document.get("plugins") or ():
        _check_fields(plugin, _PLUGIN_FIELDS, file)
        name = plugin.get("name") or ""
        if not name or name in found:
            raise AdmissionConfigurationError(f"{file}: plugin {name!r} has no name, or one that is there already")
        own = plugin.get("configuration")
        found[name] = own if own is not None else _document(file.parent / plugin["path"]) if plugin.get("path") else {}
    return found


def kubeconfig_of(plugin: str, configuration: Mapping[str, Any] | None) -> str:
    """``kubeConfigFile`` of a WebhookAdmissionConfiguration; empty where there is none.

    Raises ``AdmissionConfigurationError``.
    """
    if not configuration:
        return ""
    kinds = ("WebhookAdmissionConfiguration", "WebhookAdmission")
    if configuration.get("apiVersion") not in _WEBHOOK_API_VERSIONS or configuration.get("kind") not in kinds:
        raise AdmissionConfigurationError(f"the configuration of {plugin} is no WebhookAdmissionConfiguration")
    unknown = sorted(set(configuration) - _WEBHOOK_FIELDS)
    if unknown:
        raise AdmissionConfigurationError(f"the configuration of {plugin} has fields that are not supported: {unknown}")
    return str(configuration.get("kubeConfigFile") or "")


def _document(file: Path) -> Mapping[str, Any]:
    import yaml

    try:
        document = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise AdmissionConfigurationError(
            f'unable to read admission control configuration from "{file}" [{error.strerror}]'
        ) from error
    except yaml.YAMLError as error:
        raise AdmissionConfigurationError(f"{file} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise AdmissionConfigurationError(f"{file} is not an object")
    return document


def _check_fields(document: Mapping[str, Any], known: frozenset[str], file: Path) -> None:
    unknown = sorted(set(document) - known)
    if unknown:
        raise AdmissionConfigurationError(f"{file} has unknown fields: {', '.join(unknown)}")
