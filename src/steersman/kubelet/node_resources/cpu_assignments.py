"""Which CPUs are whose, kept in ``cpu_manager_state``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from steersman.kubelet.cpusets import CPUs, format_cpus, parse_cpus
from steersman.kubelet.node_resources.state_file import StateError, StateFile

FILE: Final = "cpu_manager_state"
POLICY: Final = "static"


class CPUAssignments:
    """Everything that is nobody's own is shared."""

    def __init__(self, root_dir: Path) -> None:
        self._file = StateFile(root_dir / FILE)
        self._own: dict[str, dict[str, CPUs]] = {}
        self.shared: CPUs = frozenset()

    def load(self, *, every: CPUs, reserved: CPUs, strict: bool) -> None:
        """``strict``: reserved CPUs are not shared either. Raises ``StateError`` where the file and the machine differ."""
        self._file.check_policy(POLICY, "CPU")
        document = self._file.load()
        if document is None or not (document.get("defaultCpuSet") or document.get("entries")):
            self.shared = every - reserved if strict else every
            self._save()
            return
        try:
            self.shared = parse_cpus(document["defaultCpuSet"])
            self._own = {
                uid: {name: parse_cpus(text) for name, text in containers.items()}
                for uid, containers in (document.get("entries") or {}).items()
            }
        except (KeyError, ValueError, AttributeError) as error:
            raise StateError(f"{self._file.path}: {error!r}") from error
        problem = self._problem(every, reserved, strict)
        if problem:
            raise StateError(f"invalid state, please drain node and remove policy state file: {problem}")

    def _problem(self, every: CPUs, reserved: CPUs, strict: bool) -> str:
        shared = format_cpus(self.shared)
        if not self.shared:
            return "default cpuset cannot be empty"
        if strict and reserved & self.shared:
            both = format_cpus(reserved & self.shared)
            return f'some of strictly reserved cpus: "{both}" are present in defaultCpuSet: "{shared}"'
        if not strict and not reserved <= self.shared:
            return f'not all reserved cpus: "{format_cpus(reserved)}" are present in defaultCpuSet: "{shared}"'
        known = self.shared | (reserved if strict else frozenset())
        for uid, name, cpus in self.all():
            if cpus & self.shared:
                return f'pod: {uid}, container: {name} cpuset: "{format_cpus(cpus)}" overlaps with default cpuset "{shared}"'
            known |= cpus
        if known != every:
            return (
                f'current set of available CPUs "{format_cpus(every)}" doesn\'t match with CPUs in state'
                f' "{format_cpus(known)}"'
            )
        return ""

    def all(self) -> Iterator[tuple[str, str, CPUs]]:
        for uid, containers in self._own.items():
            for name, cpus in containers.items():
                yield uid, name, cpus

    def of(self, uid: str, container: str) -> CPUs | None:
        """None where it has none of its own."""
        return self._own.get(uid, {}).get(container)

    def of_pod(self, uid: str) -> Mapping[str, CPUs]:
        return self._own.get(uid, {})

    @property
    def exclusive(self) -> CPUs:
        """Those of all containers."""
        found: CPUs = frozenset()
        for _, _, cpus in self.all():
            found |= cpus
        return found

    def give(self, uid: str, container: str, cpus: CPUs) -> None:
        """Raises ``OSError``."""
        self._own.setdefault(uid, {})[container] = cpus
        self.shared -= cpus
        self._save()

    def take_back(self, uid: str, container: str) -> None:
        """What its pod's other containers use as well stays theirs. Raises ``OSError``."""
        containers = self._own.get(uid, {})
        cpus = containers.pop(container, None)
        if cpus is None:
            return
        if not containers:
            self._own.pop(uid, None)
        for others in containers.values():
            cpus -= others
        self.shared |= cpus
        self._save()

    def _save(self) -> None:
        self._file.save(
            {
                "policyName": POLICY,
                "defaultCpuSet": format_cpus(self.shared),
                "entries": {
                    uid: {name: format_cpus(cpus) for name, cpus in containers.items()}
                    for uid, containers in self._own.items()
                },
            }
        )
