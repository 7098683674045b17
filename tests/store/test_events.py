"""The window of events forgets the oldest and knows how far back it reaches."""

from __future__ import annotations

from steersman.store.events import EventWindow, ObjectEvent
from steersman.store.stored import DecodedWindow, Stored


def event(revision: int, key: str = "/registry/a", size: int = 1) -> ObjectEvent:
    stored = Stored(key=key, revision=revision, json=b"x" * size, window=DecodedWindow())
    return ObjectEvent(type="ADDED", stored=stored, previous=None, revision=revision)


def revisions(window: EventWindow, since: int, prefix: str = "") -> list[int] | None:
    events = window.since(since, prefix)
    return None if events is None else [event.revision for event in events]


def test_it_gives_what_comes_after_a_revision() -> None:
    window = EventWindow()
    window.reset(10)
    for revision in (11, 12, 15):
        window.append(event(revision, f"/registry/{revision % 2}"))
    assert revisions(window, 10) == [11, 12, 15]
    assert revisions(window, 12) == [15]
    assert revisions(window, 99) == []
    assert revisions(window, 10, "/registry/1") == [11, 15]
    assert revisions(window, 9) is None


def test_it_is_bounded_by_number() -> None:
    window = EventWindow(max_events=3)
    for revision in range(1, 5001):
        window.append(event(revision))
    assert len(window) == 3
    assert revisions(window, 4997) == [4998, 4999, 5000]
    assert revisions(window, 4996) is None


def test_it_is_bounded_by_bytes_but_keeps_the_latest() -> None:
    window = EventWindow(max_bytes=100)
    for revision in (1, 2, 3):
        window.append(event(revision, size=40))
    assert revisions(window, 1) == [2, 3]
    window.append(event(4, size=1000))
    assert revisions(window, 3) == [4]
