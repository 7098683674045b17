"""``/statusz`` and ``/flagz``: what this server is and what it was told, for people, and for programs that name a version.

Source: KEP-4827 and KEP-4828; features ComponentStatusz and ComponentFlagz, which are on by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.negotiation import JSON, YAML, Representation, clauses
from steersman.apiserver.router import PathHandler
from steersman.apiserver.version import version_info
from steersman.meta.errors import NotAcceptable
from steersman.meta.objects import Object
from steersman.meta.times import format_time
from steersman.meta.wire import Response

_COMPONENT = "apiserver"
_GROUP = "config.k8s.io"
_VERSIONS = ("v1beta1", "v1alpha1")
_DEPRECATED = "v1alpha1"
_TEXT = ("text/plain", "text/*", "*/*")
_HEADER = """
{component} {page}
Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.
"""
_DEBUGGING = ("/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version")


class _Form(Struct, frozen=True, kw_only=True):
    """How a page is sent: as text, or as an object of one of its versions."""

    media_type: str = ""
    version: str = ""


class ZPages:
    """``flags``: the command line, by the flags' names."""

    def __init__(self, flags: Mapping[str, str], *, clock: Clock) -> None:
        self._flags = dict(sorted(flags.items()))
        self._clock = clock
        self._started_s = clock.now()

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {"/flagz": self.flagz, "/statusz": self.statusz}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {}

    async def flagz(self, call: Call) -> Response:
        form = _form(call, "Flagz")
        if form.version:
            return _object(call, form, "Flagz", {"flags": self._flags})
        lines = "".join(f"{name}: {value}\n" for name, value in self._flags.items())
        return respond.text(call, _HEADER.format(component=_COMPONENT, page="flagz") + lines)

    async def statusz(self, call: Call) -> Response:
        form = _form(call, "Statusz")
        up_s = int(self._clock.now() - self._started_s)
        info = version_info()
        version = f"{info['major']}.{info['minor']}"
        if form.version:
            status: Object = {
                "startTime": format_time(self._started_s),
                "uptimeSeconds": up_s,
                "goVersion": info["goVersion"],
                "binaryVersion": version,
                "emulationVersion": f"{info['emulationMajor']}.{info['emulationMinor']}",
                "paths": list(_DEBUGGING),
            }
            return _object(call, form, "Statusz", status)
        lines = {
            "Started": _unix_date(self._started_s),
            "Up": f"{up_s // 3600} hr {up_s % 3600 // 60:02d} min {up_s % 60:02d} sec",
            "Go version": info["goVersion"],
            "Binary version": version,
            "Emulation version": version,
            "Paths": " ".join(_DEBUGGING),
        }
        told = "".join(f"{name}: {value}\n" for name, value in lines.items())
        return respond.text(call, f"{_HEADER.format(component=_COMPONENT, page='statusz')}\n{told}")


def _form(call: Call, kind: str) -> _Form:
    """What the client accepts. Objects have to be asked for with their version. Raises ``NotAcceptable``."""
    for clause in clauses(call.header("accept").strip() or "*/*"):
        wanted = clause.parameter("as")
        if clause.media_type in _TEXT and not wanted:
            return _Form(media_type="text/plain")
        version = clause.parameter("v")
        is_known = wanted == kind and clause.parameter("g") == _GROUP and version in _VERSIONS
        if is_known and clause.media_type in (JSON, YAML, "application/*", "*/*"):
            return _Form(media_type=YAML if clause.media_type == YAML else JSON, version=version)
    raise NotAcceptable(f"only the following media types are accepted: {JSON}, {YAML}, text/plain")


def _object(call: Call, form: _Form, kind: str, content: Object) -> Response:
    if form.version == _DEPRECATED:
        call.warn(f"This version of the {kind.lower()} endpoint is deprecated. Please use a newer version.")
    obj = {"kind": kind, "apiVersion": f"{_GROUP}/{form.version}", "metadata": {"name": _COMPONENT}, **content}
    return respond.value(call, obj, form=Representation(form.media_type, pretty=respond.is_pretty(call)))


def _unix_date(seconds: float) -> str:
    """As Go's ``time.UnixDate``."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%a %b} {moment.day:2d} {moment:%H:%M:%S} UTC {moment:%Y}"
