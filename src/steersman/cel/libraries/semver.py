"""Semantic versions: ``semver("1.2.3").isLessThan(semver("2.0.0"))``. https://semver.org"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import ClassVar

from steersman.cel import types
from steersman.cel.costs import traversal
from steersman.cel.declarations import Library, function, member, overload
from steersman.cel.errors import EvaluationError
from steersman.cel.types import BOOL, INT, STRING, Type

SEMVER_TYPE = types.object_of("kubernetes.Semver")
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"(\d+)\.(\d+)\.(\d+)(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Semver:
    """Build metadata takes no part in comparisons."""

    cel_type: ClassVar[Type] = SEMVER_TYPE

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: str = ""

    def _key(self) -> tuple[object, ...]:
        identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (self.major, self.minor, self.patch, not self.prerelease, identifiers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key() == other._key()

    def __lt__(self, other: Semver) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def parse_semver(text: str, normalize: bool = False) -> Semver:
    """``normalize`` drops a leading v and zeros and completes ``1.2``. Raises ``EvaluationError``."""
    if not text:
        raise EvaluationError("Version string empty")
    match = _VERSION.fullmatch(_normalized(text) if normalize else text)
    if match is None:
        raise EvaluationError(_reason(text))
    numbers, prerelease = match.groups()[:3], tuple((match[4] or "").split(".")) if match[4] else ()
    for number, name in zip(numbers, ("Major", "Minor", "Patch"), strict=True):
        if len(number) > 1 and number[0] == "0":
            raise EvaluationError(f'{name} number must not contain leading zeroes "{number}"')
    for part in prerelease:
        if part.isdigit() and len(part) > 1 and part[0] == "0":
            raise EvaluationError(f'Numeric PreRelease version must not contain leading zeroes "{part}"')
    major, minor, patch = map(int, numbers)
    return Semver(major, minor, patch, prerelease, match[5] or "")


def _reason(text: str) -> str:
    parts = text.split(".", 2)
    if len(parts) != 3:
        return "No Major.Minor.Patch elements found"
    for part, name in zip(parts[:2], ("major", "minor"), strict=True):
        if not (part.isascii() and part.isdigit()):
            return f'Invalid character(s) found in {name} number "{part}"'
    patch = re.split(r"[-+]", parts[2], maxsplit=1)[0]
    if not (patch.isascii() and patch.isdigit()):
        return f'Invalid character(s) found in patch number "{patch}"'
    return f'Invalid character(s) found in prerelease "{parts[2][len(patch) + 1 :]}"'


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for at, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[at] = stripped if stripped[:1].isdigit() else f"0{stripped}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise EvaluationError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse_semver(text, normalize)
    except EvaluationError:
        return False
    return True


def _compare(left: Semver, right: Semver) -> int:
    return (left > right) - (left < right)


LIBRARY = Library(
    name="kubernetes.Semver",
    functions=(
        function(
            "semver",
            overload("string_to_semver", STRING, to=SEMVER_TYPE, do=parse_semver, cost=traversal()),
            overload("string_bool_to_semver", STRING, BOOL, to=SEMVER_TYPE, do=parse_semver, cost=traversal()),
        ),
        function(
            "isSemver",
            overload("is_semver_string", STRING, to=BOOL, do=_is_semver, cost=traversal()),
            overload("is_semver_string_bool", STRING, BOOL, to=BOOL, do=_is_semver, cost=traversal()),
        ),
        function(
            "isGreaterThan",
            member("semver_is_greater_than", SEMVER_TYPE, SEMVER_TYPE, to=BOOL, do=lambda left, right: left > right),
        ),
        function(
            "isLessThan",
            member("semver_is_less_than", SEMVER_TYPE, SEMVER_TYPE, to=BOOL, do=lambda left, right: left < right),
        ),
        function("compareTo", member("semver_compare_to", SEMVER_TYPE, SEMVER_TYPE, to=INT, do=_compare)),
        function("major", member("semver_major", SEMVER_TYPE, to=INT, do=lambda version: version.major)),
        function("minor", member("semver_minor", SEMVER_TYPE, to=INT, do=lambda version: version.minor)),
        function("patch", member("semver_patch", SEMVER_TYPE, to=INT, do=lambda version: version.patch)),
    ),
    types=(SEMVER_TYPE,),
)
