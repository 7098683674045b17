"""Amounts by resource name (``cpu: 500m``): in containers, quotas, limit ranges, nodes and volumes."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from steersman.meta.objects import Object
from steersman.meta.quantities import canonical, format_binary, format_decimal, parse_quantity

HUGEPAGES = "hugepages-"


@lru_cache(maxsize=8192)
def canonical_amount(text: str) -> str:
    """In canonical form and no finer than a thousandth; what is no quantity stays for validation to refuse."""
    try:
        value = parse_quantity(text)
    except ValueError:
        return text
    if (value * 1000).denominator != 1:
        milli = -(-(value * 1000).numerator // (value * 1000).denominator)
        return canonical(f"{milli}m")
    return canonical(text)


def default_amounts(amounts: Object) -> None:
    """Writes every amount as upstream writes it."""
    for name, amount in amounts.items():
        amounts[name] = canonical_amount(amount if isinstance(amount, str) else str(amount))


def default_requirements(requirements: Object) -> None:
    """``limits`` and ``requests`` of a container, a pod or a claim."""
    for part in ("limits", "requests"):
        amounts = requirements.get(part)
        if amounts:
            default_amounts(amounts)


def default_requests_from_limits(requirements: Object) -> None:
    """What is limited and not requested is requested as limited."""
    limits = requirements.get("limits")
    if limits:
        requirements["requests"] = {**limits, **(requirements.get("requests") or {})}


def is_pod_level(name: str) -> bool:
    """Resources that a pod may ask for as a whole (KEP-2837)."""
    return name in ("cpu", "memory") or name.startswith(HUGEPAGES)


def format_amount(name: str, amount: Fraction) -> str:
    """As upstream writes sums: bytes with binary suffixes where they come out even, the rest with decimal ones."""
    if amount.denominator == 1 and (name in ("memory", "ephemeral-storage", "storage") or name.startswith(HUGEPAGES)):
        return format_binary(int(amount))
    return format_decimal(amount)
