"""Which hosts are not as declared since they were last worked on: what `--limit @failed` means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.apply.events import Outcome, PlaceEnded
from provision.errors import InputError
from provision.inventory import Inventory

NAME = "failed-hosts"
WORD = "@failed"


@dataclass(frozen=True)
class FailedHosts:
    """Kept in the state directory, a name a line."""

    inventory: Inventory

    @property
    def path(self) -> Path:
        """The file."""
        return self.inventory.state_dir / NAME

    def names(self) -> list[str]:
        """Those that the inventory still has."""
        try:
            kept = self.path.read_text().split()
        except FileNotFoundError:
            return []
        known = {host.name for host in self.inventory.hosts}
        return [name for name in kept if name in known]

    def remember(self, ended: Iterable[PlaceEnded]) -> None:
        """Take what came of a run: of hosts that it did not touch, the former word stands."""
        places = list(ended)
        wrong = {place.place for place in places if _wrong(place)}
        right = {place.place for place in places} - wrong
        before = set(self.names())
        found = [host.name for host in self.inventory.hosts if host.name in (before - right) | wrong]
        if found:
            self.path.write_text("".join(f"{name}\n" for name in found))
        else:
            self.path.unlink(missing_ok=True)

    def pattern(self, limit: str) -> str:
        """A pattern for `--limit` with @failed, and @FILE as Ansible has it, replaced by names. Raises InputError."""
        parts = [part.strip() for part in limit.split(",")]
        return ",".join(self._one(part) for part in parts)

    def _one(self, part: str) -> str:
        if not part.startswith("@"):
            return part
        names = self.names() if part == WORD else _lines(Path(part[1:]))
        if not names:
            what = "no host failed when it was last worked on" if part == WORD else f"{part[1:]} names no host"
            raise InputError(f"--limit {part}: {what}, so there is nothing to do")
        return ",".join(names)


def _wrong(place: PlaceEnded) -> bool:
    return bool(place.code) or any(result.outcome is Outcome.SKIPPED for result in place.results)


def _lines(path: Path) -> Sequence[str]:
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"--limit @{path}: {error.strerror}; expected {WORD}, or a file with a host a line") from error
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
