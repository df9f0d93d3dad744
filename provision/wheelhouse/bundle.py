"""The wheels for one host's Python as one archive, kept by its digest."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from provision.change import Note
from provision.errors import HostFailed
from provision.wheelhouse.needs import DIRECT, INSTALLER, pins
from provision.wheelhouse.own import own_wheel
from provision.wheelhouse.target import Target

FETCH_SECONDS = 900
KEPT = 3
"""How many bundles stay: hosts of different releases take different ones."""


@dataclass(frozen=True)
class Bundle:
    """Wheels for a target. folder: where bundles are kept. index: where the host is to fetch all but our own wheel and
    the installer from; empty: it fetches nothing."""

    target: Target
    folder: Path
    index: str = ""

    @property
    def digest(self) -> str:
        """Stands for the code, the versions and the Python that they are for."""
        parts = [_own()[1], *(f"{name}=={version}".encode() for name, version in _pins().items())]
        parts += [" ".join(self.target.tags).encode(), self.index.encode()]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return self.folder / f"{self.digest}.tar"

    def archive(self, note: Note) -> bytes:
        """The archive, made if it is not there. Raises HostFailed when a wheel cannot be had."""
        if not self.file.is_file():
            self._make(note)
        return self.file.read_bytes()

    def _make(self, note: Note) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            wheels = Path(folder)
            name, data = _own()
            (wheels / name).write_bytes(data)
            (wheels / "requirements.txt").write_text(f"./{name}\n")
            (wheels / "constraints.txt").write_text("".join(f"{key}=={value}\n" for key, value in _pins().items()))
            note(f"fetching wheels for {self.target.name}")
            self._fetch(wheels, [INSTALLER] if self.index else [INSTALLER, *DIRECT])
            beside = self.file.with_suffix(".new")
            beside.write_bytes(_packed(wheels))
            beside.rename(self.file)
        self._forget_old()

    def _fetch(self, wheels: Path, names: list[str]) -> None:
        if importlib.util.find_spec("pip") is None:
            raise HostFailed(
                f"the Python environment of this program ({sys.prefix}) has no pip, which fetches wheels for hosts.",
                hint=f"Run `{sys.executable} -m ensurepip`.",
            )
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--only-binary=:all:", "--dest", str(wheels), "--constraint", str(wheels / "constraints.txt")]
        command += [*self.target.tags, *names]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise HostFailed(f"the package index gave no wheels within {FETCH_SECONDS} s.", hint=HINT) from error
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or [done.stderr.strip()]
            reason = said[-1].removeprefix("ERROR: ").rstrip(".")
            raise HostFailed(f"there are no wheels for {self.target.name}: {reason}.", hint=HINT)

    def _forget_old(self) -> None:
        kept = sorted(self.folder.glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[KEPT:]:
            path.unlink(missing_ok=True)


HINT = (
    "See whether this machine reaches the index that its pip is set to, or let hosts fetch from one:"
    " replication.install_from."
)


@cache
def _pins() -> dict[str, str]:
    return pins()


@cache
def _own() -> tuple[str, bytes]:
    return own_wheel(DIRECT)


def _packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name, filter=_anonymous)
    return buffer.getvalue()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o644
    return entry
