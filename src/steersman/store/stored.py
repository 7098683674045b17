"""One version of one object: its JSON bytes always, its decoded form while that is worth the memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from steersman.meta.objects import Object, labels
from steersman.store.encoding import at_revision, decode, foreign_with_revision, with_revision

DECODED_OBJECTS = 4096
"""How many decoded objects a window keeps. A decoded pod takes 9 KB, its JSON 3.7 KB; decoding takes 12 µs."""


FORM_BYTES = 64 << 20
"""How much of other encodings (protobuf) a window keeps: some 20,000 pods. Encoding one takes 50 to 100 µs, and every informer
that begins asks for all of them; a server that nobody asks for protobuf keeps none."""


class DecodedWindow:
    """The objects that were decoded last, and those encoded in another form. What falls out is made again when it is
    asked for."""

    def __init__(self, limit: int = DECODED_OBJECTS) -> None:
        self._limit = limit
        self._recent: deque[Stored] = deque()

        self._in_form: deque[Stored] = deque()
        self._in_form_bytes = 0

    def keep_form(self, stored: Stored, form: bytes) -> None:
        """Keep another encoding of an object; the oldest go when they are too many bytes together."""
        stored._form = form
        self._in_form.append(stored)
        self._in_form_bytes += len(form)
        while self._in_form_bytes > FORM_BYTES and len(self._in_form) > 1:
            oldest = self._in_form.popleft()
            self._in_form_bytes -= len(oldest._form)
            oldest._form = b""

    def add(self, stored: Stored) -> None:
        self._recent.append(stored)
        if len(self._recent) > self._limit:
            self._recent.popleft()._obj = None


class _LabelledMetadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _LabelledMetadata | None = None


_labels_decoder = msgspec.json.Decoder(_Labelled)


class Stored:
    """An object as committed at ``revision``. Immutable; shared by everyone who reads it."""

    __slots__ = ("_form", "_labels", "_obj", "_window", "json", "key", "revision")

    key: str
    revision: int
    """That of its last change, which is its metadata.resourceVersion."""
    json: bytes
    """With metadata.resourceVersion: what a GET sends."""

    def __init__(
        self, *, key: str, revision: int, json: bytes, window: DecodedWindow, obj: Object | None = None
    ) -> None:
        self.key = key
        self.revision = revision
        self.json = json
        self._window = window
        self._obj = obj
        self._form = b""
        self._labels: Mapping[str, str] | None = None
        if obj is not None:
            window.add(self)

    @classmethod
    def written(cls, *, key: str, revision: int, value: bytes, obj: Object, window: DecodedWindow) -> Stored:
        """What this process has just written: ``value`` is ``encode(obj)``."""
        json = with_revision(value, revision)
        return cls(key=key, revision=revision, json=json, window=window, obj=at_revision(obj, revision))

    @classmethod
    def read(cls, *, key: str, revision: int, value: bytes, window: DecodedWindow) -> Stored:
        """What the Store has. Raises ``UndecodableValue``."""
        return cls(key=key, revision=revision, json=foreign_with_revision(value, revision), window=window)

    def deleted(self, revision: int) -> Stored:
        """This object with the revision of its deletion, as watchers and the deleter see it."""
        obj = None if self._obj is None else at_revision(self._obj, revision)
        json = with_revision(self.json, revision)
        return Stored(key=self.key, revision=revision, json=json, window=self._window, obj=obj)

    @property
    def obj(self) -> Object:
        """The decoded object. Shared: never change it."""
        obj = self._obj
        if obj is None:
            obj = self._obj = decode(self.json)
            self._window.add(self)
        return obj

    @property
    def at_hand(self) -> Object | None:
        """The decoded object where there is one; None: its reader has to decode it. Shared: never change it."""
        return self._obj

    def decoded(self) -> Object:
        """The decoded object for one that reads it and forgets it: it is not kept, and keeps no other one from being kept."""
        obj = self._obj
        return decode(self.json) if obj is None else obj

    def in_form(self, encode: Callable[[Stored], bytes]) -> bytes:
        """The object in the one other form that clients ask for besides JSON, kept while there is room.

        Every caller for this object gives an ``encode`` that gives the same bytes.
        """
        form = self._form
        if not form:
            form = encode(self)
            self._window.keep_form(self, form)
        return form

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels, without decoding the rest (2 µs, then free)."""
        found = self._labels
        if found is None:
            if self._obj is not None:
                found = labels(self._obj)
            else:
                metadata = _labels_decoder.decode(self.json).metadata
                found = (metadata and metadata.labels) or {}
            self._labels = found
        return found

    def __repr__(self) -> str:
        return f"Stored({self.key!r} at {self.revision})"
