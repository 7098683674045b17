"""What a node's services have logged, by ``/logs/?query=``: from a journal that the test plays, and from files."""

from __future__ import annotations

from pathlib import Path

import pytest
from multidict import MultiDict

from steersman.kubelet.server.node_log_query import Malformed, QueryError, Refused, journal_words, parse_query
from tests.kubelet.server.conftest import Running
from tests.kubelet.server.test_routes import get, serving

JOURNAL = """#!/bin/sh
[ "$1" = --field ] && { echo kubelet.service; echo my-app.service; exit 0; }
echo "$@"
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    (folder / "deep").mkdir(parents=True)
    (folder / "plain.log").write_text("from plain.log\n")
    (folder / "deep" / "deep.log").write_text("from deep/deep.log\n")
    (tmp_path / "secret").write_text("secret")
    (folder / "way-out.log").symlink_to(tmp_path / "secret")
    program = tmp_path / "journalctl"
    program.write_text(JOURNAL)
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("query=kubelet", 200, "--utc --no-pager --unit=kubelet --output=short-precise\n"),
        ("query=kubelet&query=my-app&boot=0", 200,
         "--utc --no-pager --unit=kubelet --unit=my-app --boot 0 --output=short-precise\n"),
        ("query=kubelet&tailLines=3&pattern=pod.*", 200,
         "--utc --no-pager --pager-end --lines=3 --unit=kubelet --grep=pod.* --case-sensitive=false --output=short-precise\n"),
        ("unit=kubelet&sinceTime=2026-01-02T03:04:05Z&output=cat", 200,
         "--utc --no-pager --since=2026-1-2 3:4:5 --unit=kubelet --output=cat\n"),
        ("query=plain", 200, "from plain.log\n"),
        ("query=deep", 200, "from deep/deep.log\n"),
        ("query=/plain.log", 200, "from plain.log\n"),
        ("query=deep%2Fdeep.log", 200, "from deep/deep.log\n"),
        ("query=none", 200, "\nlog not found for none\n"),
        ("query=way-out", 200, "\nlog not found for way-out\n"),
        ("query=plain&boot=0", 200,
         "\noptions present and query resolved to log files for [plain]\ntry without specifying options\n"),
        ("query", 400, 'unit: Invalid value: [""]: unit cannot be empty\n'),
        ("query=kubelet&boot=x", 400, 'boot: Invalid value: "x": strconv.Atoi: parsing "x": invalid syntax\n'),
        ("query=a%3Bb", 406, 'query: Invalid value: "a;b": input contains unsupported characters\n'),
        ("query=kubelet&boot=1", 406, "boot: Invalid value: 1: must be less than 1\n"),
        ("query=/../secret", 406,
         'query: Invalid value: ["/../secret"]: /../secret: path escapes from parent\n'),
    ],
)  # fmt: skip
async def test_queries(running: Running, tmp_path: Path, logs: Path, query: str, status: int, text: str) -> None:
    program = str(tmp_path / "journalctl")
    async with serving(running, logs, journalctl=program) as url:
        assert await get(running, f"{url}/logs/?{query}") == (status, text)


async def test_files_are_shown_as_ever_and_queries_ignored_where_they_are_off(running: Running, logs: Path) -> None:
    async with serving(running, logs, journalctl="journalctl") as url:
        assert await get(running, f"{url}/logs/plain.log") == (200, "from plain.log\n")
        assert '<a href="deep/">' in (await get(running, f"{url}/logs/"))[1]
    async with serving(running, logs) as url:
        status, text = await get(running, f"{url}/logs/?query=plain")
        assert status == 200 and '<a href="deep/">' in text


async def test_a_node_without_a_journal_says_so(running: Running, logs: Path) -> None:
    async with serving(running, logs, journalctl="/nonexistent/journalctl") as url:
        assert await get(running, f"{url}/logs/journal") == (200, "\nerror: journal output not available\n")
        assert await get(running, f"{url}/logs/?query=plain") == (200, "from plain.log\n")


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        ([("query", "a")] * 5, Refused, "query: Too many: 5: must have at most 4 items"),
        ([("query", "a" * 257)], Refused, f'query: Invalid value: "{"a" * 257}": length must be less than 256'),
        ([("query", "a"), ("query", "/b")], Refused,
         'query: Invalid value: "[/b], [a]": cannot specify a file and service'),
        ([("query", "a"), ("sinceTime", "yesterday")], Malformed,
         'sinceTime: Invalid value: "yesterday": invalid time format'),
        ([("query", "a"), ("sinceTime", "2026-01-02T00:00:00Z"), ("untilTime", "2026-01-01T00:00:00Z")], Refused,
         'untilTime: Invalid value: "2026-1-1 0:0:0": must be after `sinceTime`'),
        ([("query", "a"), ("since", "soon")], Refused,
         'since: Invalid value: "soon": date must be a relative time of the form'
         " '(+|-)[0-9]+(s|m|h|d)' or a date in 'YYYY-MM-DD HH:MM:SS' form"),
        ([("query", "a"), ("tailLines", "100001")], Refused,
         "tailLines: Invalid value: 100001: must be between 0 and 100000, inclusive"),
        ([("query", "a"), ("grep", "x"), ("case-sensitive", "maybe")], Malformed,
         'case-sensitive: Invalid value: "maybe": strconv.ParseBool: parsing "maybe": invalid syntax'),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, query: list[tuple[str, str]], kind: type[QueryError], message: str) -> None:
    with pytest.raises(kind) as caught:
        parse_query(MultiDict(query)).check(tmp_path)
    assert str(caught.value) == message


def test_relative_dates_are_the_journals_own() -> None:
    query = parse_query(MultiDict([("unit", "a"), ("since", "-1h"), ("until", "2026-01-02 03:04:05")]))
    assert journal_words(query.filters, query.services)[2:4] == ["--since=-1h", "--until=2026-01-02 03:04:05"]
