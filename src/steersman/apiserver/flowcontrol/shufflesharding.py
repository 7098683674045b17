"""Shuffle sharding: each flow is dealt a few of a level's queues, so that a heavy flow can fill only its own hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def flow_hash(flow_schema: str, distinguisher: str) -> int:
    """64 bits that stand for a flow, the same in every server."""
    digest = hashlib.sha256(flow_schema.encode() + b"\0" + distinguisher.encode()).digest()
    return int.from_bytes(digest[:8], "little")


def deal(hash_value: int, deck_size: int, hand_size: int) -> Sequence[int]:
    """``hand_size`` distinct cards of ``range(deck_size)``, every hand equally likely over the hash values."""
    remainders: list[int] = []
    for dealt in range(hand_size):
        hash_value, remainder = divmod(hash_value, deck_size - dealt)
        remainders.append(remainder)
    hand: list[int] = []
    for position, card in enumerate(remainders):
        for earlier in reversed(remainders[:position]):
            if card >= earlier:
                card += 1
        hand.append(card)
    return tuple(hand)
