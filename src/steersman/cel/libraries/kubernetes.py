"""What kube-apiserver v1.36 offers to expressions everywhere."""

from __future__ import annotations

from steersman.cel.declarations import Library
from steersman.cel.libraries import (
    aggregates,
    authorizer,
    comprehensions,
    formats,
    lists,
    net,
    optionals,
    quantities,
    regex,
    semver,
    sets,
    strings,
    urls,
)

REGISTRY: tuple[Library, ...] = (
    urls.LIBRARY,
    regex.LIBRARY,
    aggregates.LIBRARY,
    authorizer.LIBRARY,
    optionals.LIBRARY,
    quantities.LIBRARY,
    strings.LIBRARY,
    sets.LIBRARY,
    net.LIBRARY,
    formats.LIBRARY,
    comprehensions.LIBRARY,
    semver.LIBRARY,
    lists.LIBRARY,
)
