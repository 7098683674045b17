"""IP addresses and ranges as text: what is wrong with them in upstream's words, and which family they are of.

Since v1.36 upstream refuses leading zeros, IPv4-mapped IPv6 addresses and bits beyond a prefix.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_LEADING_ZERO = re.compile(r"(^|[./])0\d")


def _without_zeros(text: str) -> str:
    return _LEADING_ZERO.sub(lambda match: match[0], text) if ":" in text else re.sub(r"(^|[./])0+(?=\d)", r"\1", text)


@lru_cache(maxsize=16384)
def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(_without_zeros(text))
    except ValueError:
        return None


def ip_errors(text: str) -> list[str]:
    address = _parsed(text)
    if address is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    if ":" not in text and _LEADING_ZERO.search(text):
        return ["must not have leading 0s"]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return ["must not be an IPv4-mapped IPv6 address"]
    return []


def canonical_ip_errors(text: str) -> list[str]:
    """An address that must be written the one canonical way."""
    errors = ip_errors(text)
    if not errors and str(ipaddress.ip_address(text)) != text:
        errors.append(f'must be in canonical form ("{ipaddress.ip_address(text)}")')
    return errors


def cidr_errors(text: str) -> list[str]:
    address_text, slash, bits = text.partition("/")
    address = _parsed(address_text)
    try:
        if address is None or not slash or not (bits.isascii() and bits.isdigit()):
            raise ValueError
        network = ipaddress.ip_network(f"{address}/{int(bits)}", strict=False)
    except ValueError:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    if (":" not in text and _LEADING_ZERO.search(text)) or (len(bits) > 1 and bits[0] == "0"):
        return ["must not have leading 0s in IP or prefix length"]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return ["must not have an IPv4-mapped IPv6 address"]
    if network.network_address != address:
        return ["must not have bits set beyond the prefix length"]
    return []


def canonical_cidr_errors(text: str) -> list[str]:
    """A range that must be written the one canonical way."""
    errors = cidr_errors(text)
    if not errors and str(ipaddress.ip_network(text)) != text:
        errors.append(f'must be in canonical form ("{ipaddress.ip_network(text)}")')
    return errors


def ip_warnings(path: str, text: str) -> list[str]:
    """What is odd about an address that ``ip_errors`` accepts."""
    address = _parsed(text)
    if not isinstance(address, ipaddress.IPv6Address) or str(address) == text:
        return []
    return [f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")']


def cidr_warnings(path: str, text: str) -> list[str]:
    """What is odd about a range that ``cidr_errors`` accepts."""
    try:
        written = ipaddress.ip_interface(text)
    except ValueError:
        return []
    network = written.network
    if written.ip != network.network_address:
        single = f"{written.ip}/{written.max_prefixlen}"
        return [f'{path}: CIDR value "{text}" is ambiguous in this context (should be "{network}" or "{single}"?)']
    if network.version == 6 and str(network) != text:
        return [f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")']
    return []


def ip_family(text: str) -> str:
    """``IPv4`` or ``IPv6`` of an address or a range; empty for what is neither."""
    address = _parsed(text.partition("/")[0])
    return "" if address is None else f"IPv{address.version}"


def is_strict_subset(part: str, whole: str) -> bool:
    """Whether one valid range lies within another one and is smaller."""
    inner, outer = ipaddress.ip_network(part, strict=False), ipaddress.ip_network(whole, strict=False)
    if inner.version != outer.version or inner.prefixlen <= outer.prefixlen:
        return False
    return inner.network_address in outer


def endpoint_ip_errors(text: str) -> list[str]:
    """An address that traffic can be sent to: not unspecified, loopback or link-local."""
    return list(_endpoint_ip_errors(text))


@lru_cache(maxsize=16384)
def _endpoint_ip_errors(text: str) -> tuple[str, ...]:
    address = _parsed(text)
    if address is None:
        return ("must be a valid IP address",)
    errors = []
    if address.is_unspecified:
        errors.append(f"may not be unspecified ({text})")
    if address.is_loopback:
        errors.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        errors.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if any(address in network for network in _LINK_LOCAL_MULTICAST if network.version == address.version):
        errors.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(errors)


_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
