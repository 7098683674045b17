"""Tokens of a file make users; what is no token of the file may be another authenticator's, and is nobody's otherwise."""

from __future__ import annotations

import random

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.api import User
from steersman.apiserver.authn.bearertokens import BearerTokenAuthenticator
from steersman.apiserver.authn.statictokens import parse_tokens
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.reviews.identity import review_token
from steersman.meta.wire import Request
from steersman.store.drivers.memory import MemoryStore

FILE = """t-jane,jane,uid-1,"devs,qa"
t-joe,joe,uid-2
,nobody,uid-3
t-joe,joseph,uid-4,
"""
JANE = User(name="jane", uid="uid-1", groups=("devs", "qa", "system:authenticated"))


def test_lines_are_tokens_users_and_groups(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_tokens(FILE, "f") == {
        "t-jane": JANE,
        "t-joe": User(name="joseph", uid="uid-4", groups=("system:authenticated",)),
    }
    assert "empty token has been found in token file 'f', record number '3'" in caplog.text
    assert "duplicate token has been found in token file 'f', record number '4'" in caplog.text


@pytest.mark.parametrize(("text", "why"), [("a,b", "at least 3 columns .* found 2"), ('a,"b,c', "token file 'f'")])
def test_malformed_files_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_tokens(text, "f")


@pytest.mark.parametrize(
    ("token", "audiences", "answered"),
    [("t-jane", (), ("a", "b")), ("t-jane", ("b", "c"), ("b",)), ("t-jane", ("c",), None), ("other", (), None)],
)
async def test_a_review_says_for_which_audiences_a_token_is_good(
    token: str, audiences: tuple[str, ...], answered: tuple[str, ...] | None
) -> None:
    authenticator = BearerTokenAuthenticator({"t-jane": JANE}.get, audiences=("a", "b"))
    review = {"spec": {"token": token, "audiences": list(audiences)}}
    status = (await review_token(review, authenticator))["status"]
    assert status.get("audiences") == (None if answered is None else list(answered))
    assert status.get("authenticated", False) is (answered is not None)
    assert status["user"].get("username") == (None if answered is None else "jane")


@pytest.mark.parametrize(("credentials", "code"), [("Bearer t-jane", 201), ("Bearer wrong", 401)])
async def test_a_server_knows_its_bearers(credentials: str, code: int) -> None:
    clock = FakeClock()
    config = APIServerConfig(static_tokens=parse_tokens(FILE, "f"), anonymous_auth=True)
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    headers = {"authorization": credentials, "content-type": "application/json"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await server.handle(Request(method="POST", path=path, headers=headers, body=b"{}"))
    assert answer.status == code
    assert (b'"username":"jane"' in answer.body) is (code == 201)
    await server.close()
