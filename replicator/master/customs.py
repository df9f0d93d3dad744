"""What a master does for those who know Bucardo: titles, pid files, the stop file, the host check.

All of it only in an install that has Bucardo's habits. The files lie in `piddir`; who reads them is not our business.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from replicator import bucardo_titles
from replicator.errors import ConfigError
from replicator.habits import Habits, suits_host
from replicator.logs import log


class Customs:
    """The files of one master. Belongs to its main thread."""

    def __init__(self, habits: Habits) -> None:
        self._habits = habits
        self._written: dict[Path, int] = {}

    def check_host(self) -> None:
        """Raise ConfigError on a host that is not ours."""
        if not suits_host(self._habits, socket.gethostname()):
            pattern = self._habits["host_safety_check"]
            raise ConfigError(
                f"this host is {socket.gethostname()}, and host_safety_check says {pattern!r}.",
                hint="Start the daemon on its own host, or change the setting.",
            )

    def begin(self) -> None:
        """A start is a start: the stop file goes, the pid file comes."""
        if not self._habits:
            return
        self._habits.file("stopfile").unlink(missing_ok=True)
        self._write({self._habits.master_pid: os.getpid()})

    def follow(self, habits: Habits) -> None:
        """Settings have changed."""
        self._habits = habits

    def title(self, own: str, names: Iterable[str]) -> str:
        """The master's title; `own` is the one of an install without habits."""
        return bucardo_titles.master(list(names)) if self._habits else own

    def called_off(self) -> bool:
        """Whether the stop file is there."""
        return bool(self._habits) and self._habits.file("stopfile").exists()

    def tend(self, controllers: Mapping[str, int], targets: Mapping[str, tuple[str, ...]]) -> None:
        """Have a pid file for each controller that runs and each target that it serves, and no others."""
        if self._habits:
            wanted = dict(self._wanted(controllers, targets))
            self._remove([path for path in self._written if path not in wanted])
            self._write({path: pid for path, pid in wanted.items() if self._written.get(path) != pid})

    def _wanted(
        self, controllers: Mapping[str, int], targets: Mapping[str, tuple[str, ...]]
    ) -> Iterator[tuple[Path, int]]:
        yield self._habits.master_pid, os.getpid()
        for sync, pid in controllers.items():
            yield self._habits.controller_pid(sync), pid
            for target in targets.get(sync, ()):
                yield self._habits.kid_pid(sync, target), pid

    def end(self) -> None:
        """Remove the files."""
        self._remove(list(self._written))

    def _write(self, pids: Mapping[Path, int]) -> None:
        for path, pid in pids.items():
            self._written[path] = pid
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{pid}\n")
            except OSError as error:
                log.warning("%s was not written: %s", path, error.strerror)

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            del self._written[path]
            with contextlib.suppress(OSError):
                path.unlink()
