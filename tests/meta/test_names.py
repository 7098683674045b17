"""Names, addresses and domains: what is refused, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steersman.meta import addresses, domains, names

RULES: list[tuple[Callable[[str], list[str]], list[str], list[str]]] = [
    (names.label_errors, ["a", "a-b", "0", "a" * 63], ["", "A", "-a", "a-", "a.b", "a" * 64, "a\n"]),
    (names.subdomain_errors, ["a.b", "a-1.b"], ["", "a..b", ".a", "A.b", "a" * 254]),
    (names.dns_1035_label_errors, ["a1"], ["1a", "a_"]),
    (names.wildcard_subdomain_errors, ["*.a.b"], ["a.b", "*.", "*", "a.*.b"]),
    (names.path_segment_errors, ["a:b", "A b"], [".", "..", "a/b", "a%b"]),
    (names.label_key_errors, ["a", "A_b.c", "example.com/a"], ["", "/a", "a/", "a/b/c", "A.b/c d", "x" * 64]),
    (names.label_value_errors, ["", "a", "A_b.c-d"], ["-a", "a b", "x" * 64]),
    (names.config_key_errors, ["a.b", ".a", "A-_"], ["", "a/b", ".", "..", "..a", "x" * 254]),
    (names.port_name_errors, ["http", "a-1"], ["", "HTTP", "1", "a--b", "-a", "x" * 16]),
    (names.percent_errors, ["1%", "100%"], ["1", "%", "-1%", "1.5%"]),
    (names.environment_variable_errors, ["A", "a b", "1.2"], ["", "A=B", "ü"]),
    (
        addresses.ip_errors,
        ["1.2.3.4", "::1", "2001:DB8::1"],
        ["", "1.2.3", "1.2.3.04", "::ffff:1.2.3.4", "fe80::1%eth0"],
    ),
    (addresses.canonical_ip_errors, ["1.2.3.4", "2001:db8::1"], ["2001:DB8::1", "2001:db8:0::1"]),
    (addresses.cidr_errors, ["10.0.0.0/8", "2001:db8::/64"], ["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/08"]),
    (addresses.endpoint_ip_errors, ["10.0.0.1"], ["127.0.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "x"]),
]


@pytest.mark.parametrize(("rule", "right", "wrong"), RULES, ids=[rule[0].__name__ for rule in RULES])
def test_rules(rule: Callable[[str], list[str]], right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if rule(text)] == []
    assert [text for text in wrong if not rule(text)] == []


def test_families() -> None:
    texts = ("1.2.3.4", "10.0.0.0/8", "::1", "nothing")
    assert [addresses.ip_family(text) for text in texts] == ["IPv4", "IPv4", "IPv6", ""]


def test_parts_of_ranges() -> None:
    assert addresses.is_strict_subset("10.1.0.0/16", "10.0.0.0/8")
    assert not addresses.is_strict_subset("10.0.0.0/8", "10.0.0.0/8")
    assert not addresses.is_strict_subset("11.0.0.0/16", "10.0.0.0/8")
    assert not addresses.is_strict_subset("2001:db8::/64", "10.0.0.0/8")


DOMAINS = [
    (domains.domain_prefixed_path_errors, ["a.b/c", "a/b/c"], ["", "a", "a/", "/a", "A/b", "a/b c"]),
    (domains.qualified_name_errors, ["a.b.c"], ["", "a.b", "A.b.c"]),
    (domains.domain_name_errors, ["a.b", "a.b."], ["", "a", "A.b"]),
]


@pytest.mark.parametrize(("rule", "right", "wrong"), DOMAINS, ids=[rule[0].__name__ for rule in DOMAINS])
def test_domains(rule: Callable[[str, str], list[object]], right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if rule(text, "f")] == []
    assert [text for text in wrong if not rule(text, "f")] == []
