"""Files of one volume that lie in each other's way: accepted, and which of them is there nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.meta.quoting import quoted


class _File(Struct, frozen=True):
    path: str
    source: str = ""

    def __str__(self) -> str:
        return f"{quoted(self.path)} ({self.source})" if self.source else quoted(self.path)


def volume_path_warnings(volumes: Iterable[Mapping[str, Any]]) -> list[str]:
    found = []
    for volume in volumes:
        name = quoted(volume.get("name") or "")
        for kind, told, named_by in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ):
            source = volume.get(kind)
            if source is not None and source.get("items"):
                title = f"{told} {quoted(source.get(named_by) or '')}" if named_by else told
                overlaps = _overlaps(_files(source["items"]))
                found += [f"volume {name} ({title}): overlapping paths: {text}" for text in overlaps]
        projected = volume.get("projected")
        if projected is not None:
            found += _projected_warnings(projected.get("sources") or (), name)
    return found


def _projected_warnings(sources: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    found: list[str] = []
    files: list[_File] = []
    for source in sources:
        if not any(part is not None for part in source.values()):
            found.append(f"volume {name} (Projected) has no sources provided")
            continue
        overlaps = _overlaps(_projected_files(source), files)
        found += [f"volume {name} (Projected): overlapping paths: {text}" for text in overlaps]
    return found


def _projected_files(source: Mapping[str, Any]) -> list[_File]:
    for kind, told in (("configMap", "ConfigMap"), ("secret", "Secret")):
        part = source.get(kind) or {}
        if part.get("items"):
            return _files(part["items"], f"{told} {quoted(part.get('name') or '')}")
    if (source.get("downwardAPI") or {}).get("items"):
        return _files(source["downwardAPI"]["items"], "DownwardAPI")
    if source.get("serviceAccountToken") is not None:
        return [_File(source["serviceAccountToken"].get("path") or "", "ServiceAccountToken")]
    bundle = source.get("clusterTrustBundle")
    if bundle is not None:
        named = bundle.get("name") if bundle.get("name") is not None else bundle.get("signerName") or ""
        return [_File(bundle.get("path") or "", f"ClusterTrustBundle {quoted(named)}")]
    certificate = source.get("podCertificate") or {}
    parts = (
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    )
    return [_File(certificate[field], told) for field, told in parts if certificate.get(field)]


def _files(items: Iterable[Mapping[str, Any]], source: str = "") -> list[_File]:
    return [_File(item.get("path") or "", source) for item in items]


def _overlaps(files: Iterable[_File], others: list[_File] | None = None) -> list[str]:
    """``others``: those before, to which these are added."""
    seen = [] if others is None else others
    found = []
    for sent in files:
        file = _File(sent.path.rstrip("/"), sent.source)
        if file.path:
            at = f"{file.path}/"
            found += [
                f"{file} with {other}"
                for other in seen
                if other.path and (f"{other.path}/".startswith(at) or at.startswith(f"{other.path}/"))
            ]
        seen.append(file)
    return found
