"""Kubernetes' IP addresses and CIDR ranges."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from msgspec import Struct

from steersman.cel import types
from steersman.cel.costs import ONE, TRAVERSAL, Estimate, Operands, Range, Rule, scale, traversal
from steersman.cel.declarations import Function, Library, function, member, overload
from steersman.cel.errors import EvaluationError
from steersman.cel.types import BOOL, INT, STRING, Type
from steersman.cel.values import Value, size_of

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IP_TYPE = types.opaque("net.IP")
CIDR_TYPE = types.opaque("net.CIDR")
_ADDRESS_BYTES = Range(4, 16)


class IP(Struct, frozen=True):
    cel_type: ClassVar[Type] = IP_TYPE

    address: _Address


class CIDR(Struct, frozen=True):
    """A range with the address that it was written with."""

    cel_type: ClassVar[Type] = CIDR_TYPE

    address: _Address
    bits: int

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network((self.address, self.bits), strict=False)


def parse_ip(text: str) -> IP:
    """Raises ``EvaluationError`` with upstream's words, Go's reason included where it is one of the common ones."""
    try:
        if "%" in text and ":" in text:
            ipaddress.IPv6Address(text.partition("%")[0])
            raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
        address = ipaddress.ip_address(text)
    except ValueError:
        reason = f'ParseAddr("{text}"): {_reason(text)}'
        raise EvaluationError(f'IP Address "{text}" parse error during conversion from string: {reason}') from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return IP(address)


def _reason(text: str) -> str:
    if ":" not in text and "." not in text:
        return "unable to parse IP"
    if ":" in text:
        return (
            "each group must have 4 or fewer hex digits"
            if any(len(g) > 4 for g in text.split(":"))
            else "unable to parse IP"
        )
    parts = text.split(".")
    for part in parts:
        if not (part.isascii() and part.isdigit()):
            return "unexpected character" if part else "IPv4 field must have at least one digit"
        if len(part) > 1 and part[0] == "0":
            return "IPv4 field has octet with leading zero"
        if int(part) > 255:
            return "IPv4 field has value >255"
    return "IPv4 address too short" if len(parts) < 4 else "IPv4 address too long"


def parse_cidr(text: str) -> CIDR:
    try:
        base, slash, bits = text.rpartition("/")
        if not slash:
            raise ValueError(f"netip.ParsePrefix(\"{text}\"): no '/'")
        if "%" in base:
            raise ValueError(f'netip.ParsePrefix("{text}"): IPv6 zones cannot be present in a prefix')
        try:
            address = ipaddress.ip_address(base)
        except ValueError:
            raise ValueError(f'netip.ParsePrefix("{text}"): ParseAddr("{base}"): {_reason(base)}') from None
        if not (bits.isascii() and bits.isdigit()) or (len(bits) > 1 and bits[0] == "0"):
            raise ValueError(f'netip.ParsePrefix("{text}"): bad bits after slash: "{bits}"')
        if int(bits) > address.max_prefixlen:
            raise ValueError(f'netip.ParsePrefix("{text}"): prefix length out of range')
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            raise EvaluationError(
                f'network address parse error during conversion from string: IPv4-mapped IPv6 address "{text}" is not allowed'
            )
    except ValueError as error:
        prefix = "network address parse error during conversion from string: "
        raise EvaluationError(f"{prefix}{prefix}{error}") from error
    return CIDR(address, int(bits))


def _is_ip(text: str) -> bool:
    try:
        parse_ip(text)
    except EvaluationError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        parse_cidr(text)
    except EvaluationError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(parse_ip(text).address) == text


def _contains_ip(cidr: CIDR, ip: IP) -> bool:
    return ip.address.version == cidr.address.version and ip.address in cidr.network


def _contains_cidr(cidr: CIDR, other: CIDR) -> bool:
    if other.address.version != cidr.address.version or cidr.bits > other.bits:
        return False
    return cidr.network.overlaps(other.network)


def _masked(cidr: CIDR) -> CIDR:
    return CIDR(cidr.network.network_address, cidr.bits)


def _is_link_local_multicast(ip: IP) -> bool:
    if isinstance(ip.address, ipaddress.IPv4Address):
        return ip.address in ipaddress.IPv4Network("224.0.0.0/24")
    return ip.address.packed[0] == 0xFF and ip.address.packed[1] & 0x0F == 0x02


def _is_global_unicast(ip: IP) -> bool:
    """As Go has it: private addresses are global, the broadcast address is not."""
    address = ip.address
    return not (
        address == ipaddress.IPv4Address("255.255.255.255")
        or address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
    )


def _comparison(*, ranges: bool, text: bool) -> Rule:
    """Comparing the bytes of two addresses; ``ranges``: and masking one; ``text``: and parsing the other."""

    def actual(operands: Sequence[Value], _: Value) -> int:
        size = size_of(operands[0])
        cost = scale(size + size, TRAVERSAL)
        if ranges:
            cost += scale(size, TRAVERSAL) + 1
        return cost + (scale(size_of(operands[1]), TRAVERSAL) if text else 0)

    def estimate(operands: Operands) -> Estimate:
        cost = (_ADDRESS_BYTES + _ADDRESS_BYTES).scaled(TRAVERSAL)
        if ranges:
            cost = cost + _ADDRESS_BYTES.scaled(TRAVERSAL) + ONE
        return Estimate(cost + operands.size(1).scaled(TRAVERSAL) if text else cost)

    return Rule(actual, estimate)


def _predicate(name: str, id: str, attribute: str) -> Function:
    return function(name, member(id, IP_TYPE, to=BOOL, do=lambda ip: getattr(ip.address, attribute)))


LIBRARY = Library(
    name="kubernetes.net",
    functions=(
        function(
            "ip",
            overload("string_to_ip", STRING, to=IP_TYPE, do=parse_ip, cost=traversal()),
            member("cidr_ip", CIDR_TYPE, to=IP_TYPE, do=lambda cidr: IP(cidr.address)),
        ),
        function("isIP", overload("is_ip", STRING, to=BOOL, do=_is_ip, cost=traversal())),
        function(
            "ip.isCanonical",
            overload("ip_is_canonical", STRING, to=BOOL, do=_is_canonical, cost=traversal(factor=2 * TRAVERSAL)),
        ),
        function("family", member("ip_family", IP_TYPE, to=INT, do=lambda ip: ip.address.version)),
        _predicate("isUnspecified", "ip_is_unspecified", "is_unspecified"),
        _predicate("isLoopback", "ip_is_loopback", "is_loopback"),
        _predicate("isLinkLocalUnicast", "ip_is_link_local_unicast", "is_link_local"),
        function(
            "isLinkLocalMulticast",
            member("ip_is_link_local_multicast", IP_TYPE, to=BOOL, do=_is_link_local_multicast),
        ),
        function("isGlobalUnicast", member("ip_is_global_unicast", IP_TYPE, to=BOOL, do=_is_global_unicast)),
        function("cidr", overload("string_to_cidr", STRING, to=CIDR_TYPE, do=parse_cidr, cost=traversal())),
        function("isCIDR", overload("is_cidr", STRING, to=BOOL, do=_is_cidr, cost=traversal())),
        function(
            "containsIP",
            member(
                "cidr_contains_ip_string",
                CIDR_TYPE,
                STRING,
                to=BOOL,
                do=lambda cidr, text: _contains_ip(cidr, parse_ip(text)),
                cost=_comparison(ranges=False, text=True),
            ),
            member(
                "cidr_contains_ip_ip",
                CIDR_TYPE,
                IP_TYPE,
                to=BOOL,
                do=_contains_ip,
                cost=_comparison(ranges=False, text=False),
            ),
        ),
        function(
            "containsCIDR",
            member(
                "cidr_contains_cidr_string",
                CIDR_TYPE,
                STRING,
                to=BOOL,
                do=lambda cidr, text: _contains_cidr(cidr, parse_cidr(text)),
                cost=_comparison(ranges=True, text=True),
            ),
            member(
                "cidr_contains_cidr",
                CIDR_TYPE,
                CIDR_TYPE,
                to=BOOL,
                do=_contains_cidr,
                cost=_comparison(ranges=True, text=False),
            ),
        ),
        function("prefixLength", member("cidr_prefix_length", CIDR_TYPE, to=INT, do=lambda cidr: cidr.bits)),
        function("masked", member("cidr_masked", CIDR_TYPE, to=CIDR_TYPE, do=_masked)),
        function(
            "string",
            overload("ip_to_string", IP_TYPE, to=STRING, do=lambda ip: str(ip.address)),
            overload("cidr_to_string", CIDR_TYPE, to=STRING, do=lambda cidr: f"{cidr.address}/{cidr.bits}"),
        ),
    ),
    types=(IP_TYPE, CIDR_TYPE),
)
