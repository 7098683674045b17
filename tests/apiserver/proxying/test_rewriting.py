"""Links in proxied answers."""

from __future__ import annotations

import pytest

from steersman.apiserver.proxying.rewriting import Rewriter

PREFIX = "/api/v1/namespaces/default/services/web/proxy"
REWRITER = Rewriter(host="10.0.0.5:8080", prefix=PREFIX)


@pytest.mark.parametrize(
    ("link", "rewritten"),
    [
        ("/page", f"{PREFIX}/page"),
        ("/dir/", f"{PREFIX}/dir/"),
        ("/page?a=b#c", f"{PREFIX}/page?a=b#c"),
        ("page", "page"),
        ("http://10.0.0.5:8080/page", f"{PREFIX}/page"),
        ("http://elsewhere.example/page", "http://elsewhere.example/page"),
        (f"{PREFIX}/page", f"{PREFIX}/page"),
        ("#top", "#top"),
    ],
)
def test_links_lead_through_the_proxy(link: str, rewritten: str) -> None:
    assert REWRITER.url(link) == rewritten


def test_pages_are_rewritten_where_links_are() -> None:
    page = b'<a class="x" href="/one">/one</a><img src=\'/two.png\' alt="/alt"><p title="/three">'
    assert (
        REWRITER.html(page)
        == (
            f'<a class="x" href="{PREFIX}/one">/one</a><img src=\'{PREFIX}/two.png\' alt="/alt"><p title="/three">'
        ).encode()
    )
