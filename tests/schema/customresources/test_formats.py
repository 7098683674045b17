"""Which strings each format accepts."""

from __future__ import annotations

import pytest

from steersman.schema.customresources.formats import FORMATS, normalized


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("bsonobjectid", ["507f1f77bcf86cd799439011"], ["507f1f77"]),
        ("byte", ["YWJj", "YWI="], ["", "a", "Y!=="]),
        ("cidr", ["10.0.0.0/8", "fd00::/64"], ["10.0.0.0", "10.0.0.0/33", "x/8"]),
        ("creditcard", ["4111 1111 1111 1111"], ["4111 1111 1111 1112", "1"]),
        ("date", ["2024-02-29"], ["2023-02-29", "2024-2-1", "20240201"]),
        (
            "date-time",
            ["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00"],
            ["2014-12-15", "2014-12-15T25:00:00Z"],
        ),
        ("duration", ["22ns", "1h30m", "3 weeks", "-1.5s", "0"], ["", "3", "x"]),
        ("email", ["a@example.com", "A <a@example.com>"], ["a", "@example.com"]),
        ("hexcolor", ["#fff", "A0B1C2"], ["#ff", "red"]),
        ("hostname", ["a.example.com", "localhost"], ["a_b", "-a", "a..b", "a" * 64]),
        ("ipv4", ["10.0.0.1", "010.0.0.1"], ["10.0.0", "::1", "256.0.0.1"]),
        ("ipv6", ["::1", "fd00::1"], ["10.0.0.1", "fe80::1%eth0"]),
        ("isbn", ["0321751043", "978-0321751041"], ["0321751044"]),
        ("isbn10", ["0321751043"], ["978-0321751041"]),
        ("isbn13", ["978-0321751041"], ["0321751043"]),
        ("k8s-short-name", ["a-b"], ["a.b", "A", "a" * 64]),
        ("k8s-long-name", ["a.b-c", "a" * 64], ["a..b", "A", "a" * 254]),
        ("mac", ["00:00:5e:00:53:01", "0000.5e00.5301"], ["00:00:5e", "00:00-5e:00:53:01"]),
        ("password", ["anything"], []),
        ("rgbcolor", ["rgb(1, 2, 255)"], ["rgb(1,2,256)"]),
        ("ssn", ["123-45-6789"], ["123-45-678"]),
        ("uri", ["https://example.com/a?b", "/a"], ["a", "", "http://a b"]),
        ("uuid", ["A987FBC9-4BED-3078-CF07-9141BA07C9F3"], ["A987FBC9"]),
        ("uuid3", ["A987FBC9-4BED-3078-CF07-9141BA07C9F3"], ["A987FBC9-4BED-4078-8F07-9141BA07C9F3"]),
        ("uuid4", ["A987FBC9-4BED-4078-8F07-9141BA07C9F3"], ["A987FBC9-4BED-3078-CF07-9141BA07C9F3"]),
        ("uuid5", ["987FBC97-4BED-5078-AF07-9141BA07C9F3"], ["987FBC97-4BED-4078-AF07-9141BA07C9F3"]),
    ],
)
def test_a_format_accepts_the_good_and_refuses_the_bad(name: str, good: list[str], bad: list[str]) -> None:
    check = FORMATS[normalized(name)]
    assert [text for text in good if not check(text)] == []
    assert [text for text in bad if check(text)] == []
