"""Which images that are already on the node a pod may only have after showing credentials for them.

Source: "Ensure image pull credential verification" and ``imagePullCredentialsVerificationPolicy`` in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from steersman.kubelet.image_names import without_tag

POLICIES: Final = ("NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify")

MustVerify = Callable[[str, bool], bool]
"""Of an image as a pod names it, and whether this kubelet pulled it."""


def verification_policy(name: str, allowlist: Iterable[str] = ()) -> MustVerify:
    """Raises ``ValueError`` for an unknown policy or a pattern that cannot be used."""
    match name:
        case "NeverVerify":
            return lambda image, pulled: False
        case "NeverVerifyPreloadedImages":
            return lambda image, pulled: pulled
        case "NeverVerifyAllowlistedImages":
            exact, prefixes = _patterns(allowlist)
            return lambda image, pulled: not _is_listed(image, exact, prefixes)
        case "AlwaysVerify":
            return lambda image, pulled: True
    raise ValueError(f"unknown image pull credential verification policy: {name}")


def check_pattern(pattern: str) -> None:
    """Of ``preloadedImagesVerificationAllowlist``: an image without tag, or ``registry/path/*``. Raises ``ValueError``."""
    if pattern != pattern.strip():
        raise ValueError(f"leading/trailing spaces are not allowed: {pattern}")
    is_wildcard = pattern.endswith("/*")
    rest = pattern[:-1] if is_wildcard else pattern
    if not rest:
        raise ValueError(f"the supplied pattern is too short: {pattern}")
    if "*" in rest:
        raise ValueError(f"not a valid wildcard pattern, only patterns ending with '/*' are allowed: {pattern}")
    if is_wildcard:
        if len(rest) == 1:
            raise ValueError("at least registry hostname is required")
        return
    try:
        bare = without_tag(rest)
    except ValueError as error:
        raise ValueError(f"failed to parse as an image name: {error}") from error
    if bare != rest:
        raise ValueError(f"neither tag nor digest is accepted in an image reference: {pattern}")


def _patterns(allowlist: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    patterns = tuple(allowlist)
    for pattern in patterns:
        check_pattern(pattern)
    exact = frozenset(pattern for pattern in patterns if not pattern.endswith("/*"))
    return exact, tuple(pattern[:-1] for pattern in patterns if pattern.endswith("/*"))


def _is_listed(image: str, exact: frozenset[str], prefixes: tuple[str, ...]) -> bool:
    try:
        bare = without_tag(image)
    except ValueError:
        bare = image
    return bare in exact or bare.startswith(prefixes)
