"""Which images this kubelet pulled, with whose credentials, and which it was just pulling when it was last stopped.

Files below ``<root-dir>/image_manager``: ``ImagePulledRecord`` and ``ImagePullIntent`` of
``kubelet.config.k8s.io/v1beta1`` (v1alpha1 is read), so that upstream's kubelet and this one find each other's. What is
there is read once and kept in memory; every change goes to the files first.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct, field

from steersman.kubelet.registry_credentials.keyring import Source
from steersman.kubelet.state_files import replace_file
from steersman.meta import times

VERSION: Final = "kubelet.config.k8s.io/v1beta1"
READ_VERSIONS: Final = (VERSION, "kubelet.config.k8s.io/v1alpha1")
_PREFIX: Final = "sha256-"
log = logging.getLogger(__name__)


class Grants(Struct, frozen=True, kw_only=True):
    """Who has shown that they may have an image."""

    every_pod: bool = False
    """It was pulled with the node's credentials or with none."""
    secrets: Mapping[Source, str] = field(default_factory=dict)
    """With the hash of the login that each held."""
    accounts: frozenset[Source] = frozenset()

    def merged(self, more: Grants) -> Grants:
        if self.every_pod or more.every_pod:
            return Grants(every_pod=True)
        return Grants(secrets={**self.secrets, **more.secrets}, accounts=self.accounts | more.accounts)

    @property
    def is_empty(self) -> bool:
        return not (self.every_pod or self.secrets or self.accounts)


class PulledRecord(Struct, frozen=True, kw_only=True):
    """One image on the node that this kubelet pulled."""

    ref: str
    """The runtime's id of it."""
    updated_s: float
    grants: Mapping[str, Grants] = field(default_factory=dict)
    """By the image's name as pods write it, without tag and digest."""


class PullRecords(Protocol):
    """Kept over restarts. Methods that change something raise ``OSError``, and have changed nothing then."""

    def intents(self) -> Iterable[str]:
        """Images, as pods name them, whose pull was begun and not ended."""

    def add_intent(self, image: str) -> None: ...

    def remove_intent(self, image: str) -> None: ...

    def pulled(self) -> Iterable[PulledRecord]: ...

    def find(self, ref: str) -> PulledRecord | None: ...

    def unreadable(self, ref: str) -> bool:
        """There is a record of it, which nobody can read."""

    def write(self, record: PulledRecord) -> None: ...

    def remove(self, ref: str) -> None: ...


class FileRecords:
    """In files. Every call is short; those that write wait for the disk."""

    def __init__(self, root_dir: Path) -> None:
        """Reads what is there. Raises ``OSError`` where the folders cannot be made."""
        self._pulling = root_dir / "image_manager" / "pulling"
        self._pulled = root_dir / "image_manager" / "pulled"
        self._unreadable: set[str] = set()
        for folder in (self._pulling, self._pulled):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._intents = {str(document["image"]) for _, document in _read(self._pulling, "ImagePullIntent", set())}
        self._records: dict[str, PulledRecord] = {}
        for name, document in _read(self._pulled, "ImagePulledRecord", self._unreadable):
            try:
                record = _record(document)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.error("image pulled record %s cannot be read: %s", name, error)
                self._unreadable.add(name)
                continue
            if _name(record.ref) == name:
                self._records[record.ref] = record

    def intents(self) -> Iterable[str]:
        return tuple(self._intents)

    def add_intent(self, image: str) -> None:
        if image in self._intents:
            return
        document = {"kind": "ImagePullIntent", "apiVersion": VERSION, "image": image}
        replace_file(self._pulling / _name(image), msgspec.json.encode(document))
        self._intents.add(image)

    def remove_intent(self, image: str) -> None:
        (self._pulling / _name(image)).unlink(missing_ok=True)
        self._intents.discard(image)

    def pulled(self) -> Iterable[PulledRecord]:
        return tuple(self._records.values())

    def find(self, ref: str) -> PulledRecord | None:
        return self._records.get(ref)

    def unreadable(self, ref: str) -> bool:
        return _name(ref) in self._unreadable

    def write(self, record: PulledRecord) -> None:
        replace_file(self._pulled / _name(record.ref), msgspec.json.encode(_document(record)))
        self._unreadable.discard(_name(record.ref))
        self._records[record.ref] = record

    def remove(self, ref: str) -> None:
        (self._pulled / _name(ref)).unlink(missing_ok=True)
        self._unreadable.discard(_name(ref))
        self._records.pop(ref, None)


def _name(text: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(text.encode()).hexdigest()}"


def _read(folder: Path, kind: str, unreadable: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob(f"{_PREFIX}*")):
        if path.name.endswith(".tmp") or not path.is_file():
            continue
        try:
            document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            if document.get("kind") != kind or document.get("apiVersion") not in READ_VERSIONS:
                raise ValueError(f"it is no {kind}")
            if kind == "ImagePullIntent" and not isinstance(document.get("image"), str):
                raise ValueError("it names no image")
        except (OSError, ValueError) as error:
            log.error("%s cannot be read: %s", path, error)
            unreadable.add(path.name)
            continue
        yield path.name, document


def _record(document: Mapping[str, Any]) -> PulledRecord:
    return PulledRecord(
        ref=str(document["imageRef"]),
        updated_s=times.parse_time(document["lastUpdatedTime"]),
        grants={image: _grants(entry) for image, entry in (document.get("credentialMapping") or {}).items()},
    )


def _grants(entry: Mapping[str, Any]) -> Grants:
    def source(kind: Any, item: Mapping[str, str]) -> Source:
        return Source(kind=kind, uid=item["uid"], namespace=item["namespace"], name=item["name"])

    return Grants(
        every_pod=bool(entry.get("nodePodsAccessible")),
        secrets={
            source("Secret", item): item["credentialHash"] for item in entry.get("kubernetesSecrets") or ()
        },
        accounts=frozenset(source("ServiceAccount", item) for item in entry.get("kubernetesServiceAccounts") or ()),
    )  # fmt: skip


def _document(record: PulledRecord) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for image, grants in record.grants.items():
        entry: dict[str, Any] = {}
        if grants.secrets:
            entry["kubernetesSecrets"] = [
                {**_coordinates(source), "credentialHash": grants.secrets[source]}
                for source in _ordered(grants.secrets)
            ]
        if grants.accounts:
            entry["kubernetesServiceAccounts"] = [_coordinates(source) for source in _ordered(grants.accounts)]
        if grants.every_pod:
            entry["nodePodsAccessible"] = True
        mapping[image] = entry
    document = {
        "kind": "ImagePulledRecord", "apiVersion": VERSION,
        "lastUpdatedTime": times.format_time(record.updated_s), "imageRef": record.ref,
    }  # fmt: skip
    return {**document, "credentialMapping": mapping} if mapping else document


def _coordinates(source: Source) -> dict[str, str]:
    return {"uid": source.uid, "namespace": source.namespace, "name": source.name}


def _ordered(sources: Iterable[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: (source.namespace, source.name, source.uid))
