"""``GET /logs/?query=…`` (KEP-2258): what the node's services have logged, from the journal or from files in /var/log.

A service whose unit the journal knows is asked of ``journalctl``; any other is looked for in files of its name. Names and
dates are checked before they become arguments of a program that runs as root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from multidict import MultiMapping

from steersman.meta.quoting import quoted
from steersman.meta.times import parse_time

MAX_SERVICES: Final = 4
MAX_SERVICE_LENGTH: Final = 256
MAX_TAIL_LINES: Final = 100_000
LIMIT_S: Final = 30.0
"""For all that one request asks."""
PIECE_BYTES: Final = 64 * 1024
FORMATS: Final = ("short-precise", "json", "short", "short-unix", "short-iso", "short-iso-precise", "cat")
_UNSAFE: Final = re.compile(r"[^a-zA-Z\-_.:0-9@]")
_RELATIVE: Final = re.compile(r"[+-]?[0-9]+[smhd]")
_BOOLEANS: Final = {**dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
                    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False)}  # fmt: skip


class QueryError(Exception):
    """What is wrong with a query, all of it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


class Malformed(QueryError):
    """It cannot be read."""


class Refused(QueryError):
    """It can be read and is not to be carried out."""


class Filters(Struct, frozen=True, kw_only=True):
    """Which lines of the journal are wanted; files have no such."""

    since_s: float | None = None
    until_s: float | None = None
    tail_lines: int | None = None
    boot: int | None = None
    pattern: str = ""
    case_sensitive: bool = False
    since: str = ""
    until: str = ""
    format: str = ""


class NodeLogQuery(Struct, frozen=True, kw_only=True):
    services: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    filters: Filters = Filters()

    def check(self, root: Path) -> None:
        """``root`` holds the files. Raises ``Refused``."""
        found = [*_service_problems(self.services), *self._file_problems(root), *_filter_problems(self.filters)]
        if found:
            raise Refused(found)

    def _file_problems(self, root: Path) -> list[str]:
        if not self.files:
            return []
        if self.services:
            both = f"[{' '.join(self.files)}], [{' '.join(self.services)}]"
            return [_invalid("query", both, "cannot specify a file and service")]
        if len(self.files) > 1:
            return [_invalid("query", self.files, "cannot specify more than one file")]
        if self.filters != Filters():
            return [_invalid("query", self.files, "cannot specify file with options")]
        try:
            inside(root, self.files[0])
        except OSError as error:
            return [_invalid("query", self.files, f"{self.files[0]}: {error.strerror or error}")]
        return []


def parse_query(query: MultiMapping[str]) -> NodeLogQuery:
    """Raises ``Malformed``. Without ``query`` and ``unit`` there are neither services nor files."""
    problems: list[str] = []
    asked = query.getall("query", [])
    files = tuple(text for text in asked if "/" in text or "\\" in text)
    units = [*(text for text in asked if text not in files), *query.getall("unit", [])]
    services = tuple(text for text in units if text.strip())
    if ("query" in query or "unit" in query) and not files and not services:
        problems.append(_invalid("unit", asked, "unit cannot be empty"))
    pattern = query.get("pattern") or query.get("grep") or ""
    filters = Filters(
        since_s=_moment(query, "sinceTime", problems),
        until_s=_moment(query, "untilTime", problems),
        boot=_number("boot", query.get("boot"), problems),
        tail_lines=_number("tailLines", query.get("tailLines") or query.get("tail"), problems),
        pattern=pattern,
        case_sensitive=bool(pattern) and _flag(query, "case-sensitive", problems),
        since=query.get("since", ""),
        until=query.get("until", ""),
        format=query.get("output", ""),
    )
    if problems:
        raise Malformed(problems)
    return NodeLogQuery(services=services, files=files, filters=filters)


def _moment(query: MultiMapping[str], name: str, problems: list[str]) -> float | None:
    text = query.get(name)
    try:
        return parse_time(text) if text else None
    except ValueError:
        problems.append(_invalid(name, text, "invalid time format"))
        return None


def _number(name: str, text: str | None, problems: list[str]) -> int | None:
    if not text:
        return None
    if re.fullmatch(r"[+-]?[0-9]+", text) is None:
        problems.append(_invalid(name, text, f"strconv.Atoi: parsing {quoted(text)}: invalid syntax"))
        return None
    return int(text)


def _flag(query: MultiMapping[str], name: str, problems: list[str]) -> bool:
    text = query.get(name) or "false"
    if text not in _BOOLEANS:
        problems.append(_invalid(name, text, f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax"))
    return _BOOLEANS.get(text, False)


def _service_problems(services: Sequence[str]) -> list[str]:
    found = []
    for name in services:
        if len(name) > MAX_SERVICE_LENGTH:
            found.append(_invalid("query", name, f"length must be less than {MAX_SERVICE_LENGTH}"))
        elif _UNSAFE.search(name):
            found.append(_invalid("query", name, "input contains unsupported characters"))
    if len(services) > MAX_SERVICES:
        found.append(f"query: Too many: {len(services)}: must have at most {MAX_SERVICES} items")
    return found


def _filter_problems(filters: Filters) -> list[str]:
    found = []
    if filters.since_s is not None and filters.until_s is not None and filters.since_s > filters.until_s:
        found.append(_invalid("untilTime", _go_date(filters.until_s), "must be after `sinceTime`"))
    if filters.boot is not None and filters.boot > 0:
        found.append(_invalid("boot", filters.boot, "must be less than 1"))
    if filters.tail_lines is not None and not 0 <= filters.tail_lines <= MAX_TAIL_LINES:
        found.append(_invalid("tailLines", filters.tail_lines, f"must be between 0 and {MAX_TAIL_LINES}, inclusive"))
    try:
        re.compile(filters.pattern)
    except re.error as error:
        found.append(_invalid("pattern", filters.pattern, f"error parsing regexp: {error}"))
    for name, moment in (("sinceTime", filters.since_s), ("untilTime", filters.until_s)):
        if moment is not None and (filters.since or filters.until):
            found.append(f"{name}: Forbidden: `since or until` and `{name}` cannot be specified")
    for name, text in (("since", filters.since), ("until", filters.until)):
        if text and not _is_date(text):
            wanted = "date must be a relative time of the form '(+|-)[0-9]+(s|m|h|d)' or a date in 'YYYY-MM-DD HH:MM:SS' form"
            found.append(_invalid(name, text, wanted))
    if filters.format and filters.format not in FORMATS:
        choices = ", ".join(quoted(name) for name in ("", *FORMATS))
        found.append(f"output: Unsupported value: {quoted(filters.format)}: supported values: {choices}")
    return found


def _is_date(text: str) -> bool:
    if _RELATIVE.fullmatch(text):
        return True
    try:
        datetime.strptime(f"{text} +0000", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return False
    return True


def _go_date(moment_s: float) -> str:
    moment = datetime.fromtimestamp(moment_s, UTC)
    day, time = (moment.year, moment.month, moment.day), (moment.hour, moment.minute, moment.second)
    return f"{'-'.join(map(str, day))} {':'.join(map(str, time))}"


def _invalid(field: str, value: Any, why: str) -> str:
    return f"{field}: Invalid value: {msgspec.json.encode(value).decode()}: {why}"


def journal_words(filters: Filters, services: Sequence[str]) -> list[str]:
    """journalctl's arguments."""
    words = ["--utc", "--no-pager"]
    for name, text, moment in (("since", filters.since, filters.since_s), ("until", filters.until, filters.until_s)):
        if text or moment is not None:
            words.append(f"--{name}={text or _go_date(moment or 0.0)}")
    if filters.tail_lines is not None:
        words += ["--pager-end", f"--lines={filters.tail_lines}"]
    words += [f"--unit={service}" for service in services]
    if filters.pattern:
        words += [f"--grep={filters.pattern}", f"--case-sensitive={str(filters.case_sensitive).lower()}"]
    if filters.boot is not None:
        words += ["--boot", str(filters.boot)]
    return [*words, f"--output={filters.format or 'short-precise'}"]


async def answers(query: NodeLogQuery, root: Path, *, journalctl: str) -> AsyncGenerator[bytes, None]:
    """What there is, in pieces; what goes wrong on the way is told among them. Ends after ``LIMIT_S``."""
    try:
        async with asyncio.timeout(LIMIT_S):
            known = await _units(journalctl) if query.services else ""
            in_files = [name for name in query.services if f"{name}.service" not in known]
            if in_files and query.filters != Filters():
                names = " ".join(in_files)
                yield f"\noptions present and query resolved to log files for [{names}]\ntry without specifying options\n".encode()
                return
            for name in in_files:
                async for piece in _from_files(root, name):
                    yield piece
            if not in_files:
                words = journal_words(query.filters, query.services)
                async with contextlib.aclosing(_output(journalctl, *words)) as pieces:
                    async for piece in pieces:
                        yield piece
    except TimeoutError:
        yield b"\ncontext error: context deadline exceeded\n"
    except OSError:
        yield b"\nerror: journal output not available\n"


async def _units(journalctl: str) -> str:
    """Those that the journal has something of; none where there is no journal."""
    found = b""
    try:
        async with contextlib.aclosing(_output(journalctl, "--field", "_SYSTEMD_UNIT")) as pieces:
            async for piece in pieces:
                found += piece
    except OSError:
        return ""
    return found.decode(errors="replace")


async def _output(program: str, *words: str) -> AsyncGenerator[bytes, None]:
    """What it writes to either output. Raises ``OSError`` where it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        program, *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while piece := await process.stdout.read(PIECE_BYTES):
            yield piece
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def _from_files(root: Path, service: str) -> AsyncGenerator[bytes, None]:
    """The first of the files that a service may log to."""
    for name in (service, f"{service}.log", f"{service}/{service}.log"):
        try:
            path = await asyncio.to_thread(inside, root, name)
            if path.is_dir():
                continue
            with path.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                    yield piece
            return
        except FileNotFoundError:
            continue
        except OSError as error:
            yield f"\nerror getting log for {service}: {error}\n".encode()
            return
    yield f"\nlog not found for {service}\n".encode()


def inside(root: Path, wanted: str) -> Path:
    """Where ``wanted`` is, which must not be outside of ``root``. Raises ``OSError``."""
    root = root.resolve()
    path = (root / wanted.replace("\\", "/").strip("/")).resolve(strict=True)
    if path != root and root not in path.parents:
        raise FileNotFoundError(2, "path escapes from parent", wanted)
    return path
