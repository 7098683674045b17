"""``/version``."""

from __future__ import annotations

import platform
from importlib import metadata

from prometheus_client import CollectorRegistry, Gauge

from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.negotiation import JSON, Representation
from steersman.meta.objects import Object
from steersman.meta.wire import Response

GIT_VERSION = "v1.36.0"
"""The version of Kubernetes that is served."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def version_info() -> Object:
    machine = platform.machine()
    return {
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": f"steersman-{_own_version()}",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{_MACHINES.get(machine, machine)}",
    }


def _own_version() -> str:
    """Where the tree is not installed, as in the virtual machine of the tests, there is none."""
    try:
        return metadata.version("steersman")
    except metadata.PackageNotFoundError:
        return "source"


def build_info(registry: CollectorRegistry) -> None:
    """The metric by which monitoring tells versions apart."""
    labels = {
        "build_date": "buildDate", "compiler": "compiler", "git_commit": "gitCommit", "git_tree_state": "gitTreeState",
        "git_version": "gitVersion", "go_version": "goVersion", "major": "major", "minor": "minor", "platform": "platform",
    }  # fmt: skip
    gauge = Gauge(
        "kubernetes_build_info",
        "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, "
        "Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
        list(labels),
        registry=registry,
    )
    info = version_info()
    gauge.labels(**{label: info[field] for label, field in labels.items()}).set(1)


async def serve_version(call: Call) -> Response:
    return respond.value(call, version_info(), form=Representation(JSON, pretty=True))
