"""Whether a pod may have an image that is on the node, by what is known of who pulled it.

Without this, whoever lands on a node could run a private image that another tenant pulled there (KEP-2535). A pod may
when the policy asks nothing of it, when the image was pulled for everybody, or when the pod shows a secret or a
service account that the image was pulled with; else it must pull again, and prove itself to the registry.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Literal

from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.kubelet.image_names import without_tag
from steersman.kubelet.registry_credentials.keyring import Credential
from steersman.kubelet.registry_credentials.pull_records import Grants, PulledRecord, PullRecords
from steersman.kubelet.registry_credentials.verification import MustVerify
from steersman.kubelet.runtimes.images import Image

WRITES_WHILE_MATCHING: Final = 100
"""With this many secrets on record no more are added just because they hold a known login: namespaces come and go."""
Result = Literal["credentialPolicyAllowed", "credentialRecordFound", "mustAuthenticate", "error"]
log = logging.getLogger(__name__)

CredentialsOf = Callable[[], Awaitable[Sequence[Credential]]]
"""The pod's; asked for only where they decide."""


class PulledImages:
    """Pulls are announced, concluded and looked up here. One for a kubelet."""

    def __init__(
        self,
        records: PullRecords,
        must_verify: MustVerify,
        *,
        clock: Clock,
        checked: Callable[[Result], None] = lambda result: None,
    ) -> None:
        """``checked`` counts the answers of ``must_pull``."""
        self._records = records
        self._must_verify = must_verify
        self._clock = clock
        self._checked = checked
        self._running: Counter[str] = Counter()
        self._writing = asyncio.Lock()

    async def adopt(self, images: Iterable[Image]) -> None:
        """After a start: what the last kubelet was pulling and the runtime now has was pulled, nobody knows how."""
        intents = set(self._records.intents())
        for image in images if intents else ():
            for name in intents.intersection((*image.repo_tags, *image.repo_digests)):
                try:
                    await self._grant(name, image.id, None)
                    await self._change(self._records.remove_intent, name)
                except OSError as error:
                    log.error("cannot record the pull of %s: %s", name, error)

    async def begin(self, image: str) -> None:
        """A pull of ``image``, as the pod names it, is about to begin. Raises ``OSError``: then it must not."""
        async with self._writing:
            await asyncio.to_thread(self._records.add_intent, image)
            self._running[image] += 1

    async def end(self, image: str, ref: str | None, credential: Credential | None = None) -> None:
        """It has ended: ``ref`` is the runtime's id of the image, None where there is none; ``credential`` is what it
        was pulled with. A pull that cannot be written down keeps its intent, so that the image counts as pulled."""
        try:
            if ref is not None:
                await self._grant(image, ref, _grants_of(credential))
        except OSError as error:
            log.error("cannot record the pull of %s: %s", image, error)
            return
        async with self._writing:
            self._running[image] -= 1
            if self._running[image] > 0:
                return
            del self._running[image]
            try:
                await asyncio.to_thread(self._records.remove_intent, image)
            except OSError as error:
                log.error("cannot remove the intent to pull %s: %s", image, error)

    async def must_pull(self, image: str, ref: str, credentials: CredentialsOf) -> bool:
        """Whether a pod that names ``image`` has yet to prove that it may have what is on the node as ``ref``. Raises
        what ``credentials`` raises."""
        result: Result = "error"
        try:
            result = await self._decide(image, ref, credentials)
        finally:
            self._checked(result)
        return result in ("mustAuthenticate", "error")

    async def prune(self, refs: Iterable[str], began_s: float) -> None:
        """Forget the images that are not among ``refs``, but not those pulled since ``began_s``."""
        kept = set(refs)
        for record in self._records.pulled():
            if record.ref not in kept and record.updated_s < began_s:
                try:
                    await self._change(self._records.remove, record.ref)
                except OSError as error:
                    log.error("cannot remove the record of image %s: %s", record.ref, error)

    async def _decide(self, image: str, ref: str, credentials: CredentialsOf) -> Result:
        if self._records.unreadable(ref):
            return "error"
        record = self._records.find(ref)
        pulled = record is not None or self._running[image] > 0 or image in self._records.intents()
        if not self._must_verify(image, pulled):
            return "credentialPolicyAllowed"
        try:
            grants = record.grants.get(without_tag(image)) if record is not None else None
        except ValueError:
            return "error"
        if grants is None or grants.is_empty:
            return "mustAuthenticate"
        if grants.every_pod:
            return "credentialRecordFound"
        shown = await credentials()
        for credential in shown:
            if await self._secret_matches(image, ref, grants, credential):
                return "credentialRecordFound"
        account = next((one.source for one in shown if one.source and one.source.kind == "ServiceAccount"), None)
        return "credentialRecordFound" if account in grants.accounts else "mustAuthenticate"

    async def _secret_matches(self, image: str, ref: str, grants: Grants, credential: Credential) -> bool:
        """The same login in any secret will do, and so will the same secret with another login: it was rotated."""
        source = credential.source
        if source is None or source.kind != "Secret":
            return False
        known, is_known_login = grants.secrets.get(source), credential.hash in grants.secrets.values()
        if known is None and not is_known_login:
            return False
        may_write = len(grants.secrets) < WRITES_WHILE_MATCHING
        if known != credential.hash and may_write:
            try:
                await self._grant(image, ref, Grants(secrets={source: credential.hash}))
            except OSError as error:
                log.error("cannot record the credentials of %s: %s", image, error)
        return is_known_login or may_write

    async def _grant(self, image: str, ref: str, grants: Grants | None) -> None:
        """Add to the image's record, and make it where there is none. Raises ``OSError``."""
        name = without_tag(image)
        async with self._writing:
            record = self._records.find(ref) or PulledRecord(ref=ref, updated_s=0.0)
            before = record.grants.get(name)
            after = before.merged(grants) if before is not None and grants is not None else grants or before
            if after == before and record.updated_s:
                return
            granted = record.grants if after is None else {**record.grants, name: after}
            fresh = replace(record, updated_s=self._clock.now(), grants=granted)
            await asyncio.to_thread(self._records.write, fresh)

    async def _change(self, change: Callable[[str], None], key: str) -> None:
        async with self._writing:
            await asyncio.to_thread(change, key)


def _grants_of(credential: Credential | None) -> Grants:
    if credential is None or credential.source is None:
        return Grants(every_pod=True)
    if credential.source.kind == "Secret":
        return Grants(secrets={credential.source: credential.hash})
    return Grants(accounts=frozenset({credential.source}))
