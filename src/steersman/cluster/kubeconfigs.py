"""Writing kubeconfigs: one per component, and the context that is merged into the user's own file."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import yaml

from steersman.cluster.pki import Pair

Document = dict[str, Any]


def document(*, server: str, authority: Path, identity: Pair, context: str, user: str) -> Document:
    """A kubeconfig of one context with its certificates inside, so that it works wherever it is copied."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": _data(authority)}}],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _data(identity.certificate),
                    "client-key-data": _data(identity.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        "current-context": context,
        "preferences": {},
    }


def write(path: Path, content: Document) -> None:
    """Replace ``path`` in one step, readable by its owner only; where it is a link, replace what it leads to."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.steersman-new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(render(content))
    fresh.replace(path)


def render(content: Document) -> str:
    return yaml.safe_dump(content, sort_keys=False)


def merge(path: Path, addition: Document) -> None:
    """Put the entries of ``addition`` into the kubeconfig at ``path`` and make its context the current one.

    Entries of other names stay as they are. Raises ``ValueError`` where the file is no kubeconfig; it is not touched then.
    """
    existing = _read(path)
    merged = {**addition, **existing}
    for section in ("clusters", "users", "contexts"):
        added = {entry["name"]: entry for entry in addition[section]}
        kept = [entry for entry in existing.get(section) or [] if entry.get("name") not in added]
        merged[section] = [*kept, *added.values()]
    merged["current-context"] = addition["current-context"]
    write(path, merged)


def remove(path: Path, addition: Document) -> None:
    """Take the entries of ``addition`` out of the kubeconfig at ``path`` again; nothing happens where it has none."""
    existing = _read(path)
    if not existing:
        return
    for section in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in addition[section]}
        existing[section] = [entry for entry in existing.get(section) or [] if entry.get("name") not in names]
    if existing.get("current-context") == addition["current-context"]:
        existing["current-context"] = ""
    write(path, existing)


def user_file(environment: dict[str, str]) -> Path:
    """The kubeconfig that kubectl would change: the first of ``KUBECONFIG``, else ``~/.kube/config``."""
    listed = [entry for entry in environment.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return Path(listed[0]) if listed else Path(environment.get("HOME", "/root")) / ".kube" / "config"


def _read(path: Path) -> Document:
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a kubeconfig")
    return content


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
