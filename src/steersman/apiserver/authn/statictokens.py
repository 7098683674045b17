"""Tokens of a file (``--token-auth-file``): each is its bearer's for as long as the server runs.

Source: "Static token file" in the Kubernetes documentation on authentication.
"""

from __future__ import annotations

import csv
import io
import logging

from steersman.apiserver.authn.api import AUTHENTICATED_GROUP, User

_COLUMNS = 3
log = logging.getLogger(__name__)


def parse_tokens(text: str, path: str) -> dict[str, User]:
    """Token -> user of the file's lines: token, user name, uid and, where a fourth one is there, groups in quotes.

    Raises ``ValueError``. ``path``: for its message.
    """
    found: dict[str, User] = {}
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"token file '{path}': {error}") from error
    for number, row in enumerate(rows, 1):
        if len(row) < _COLUMNS:
            raise ValueError(
                f"token file '{path}' must have at least 3 columns (token, user name, user uid), found {len(row)}"
            )
        token, name, uid, *more = row
        if not token:
            log.warning("empty token has been found in token file '%s', record number '%d'", path, number)
            continue
        if token in found:
            log.warning("duplicate token has been found in token file '%s', record number '%d'", path, number)
        groups = [group for group in (more[0].split(",") if more else ()) if group]
        if AUTHENTICATED_GROUP not in groups:
            groups.append(AUTHENTICATED_GROUP)
        found[token] = User(name=name, uid=uid, groups=tuple(groups))
    return found
