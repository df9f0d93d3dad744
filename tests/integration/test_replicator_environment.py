"""The replicator's programs put on a host from wheels, without an index, and replaced by others at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provision.change import Note
from provision.errors import HostFailed
from provision.facts import gather
from provision.resources import Environment, OnlyCurrent
from provision.resources.environment import PYTHON
from provision.tasks.fabric import settle
from provision.transport import Local
from provision.wheelhouse import Bundle, Target
from tests.fixtures.binaries import cache_folder

IMPORT_ALL = """
import importlib, pkgutil, replicator
for module in pkgutil.walk_packages(replicator.__path__, "replicator."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import psycopg
print(psycopg.pq.__impl__)
try:
    import provision
except ImportError:
    print("alone")
"""


@pytest.fixture(scope="module")
def target() -> Target:
    """This machine's Python, found as a host's is."""
    found = gather(Local(), [PYTHON])[PYTHON]
    assert found is not None, "there is no Python here that will do"
    return found


@pytest.fixture(scope="module")
def wheels(target: Target) -> Iterator[Path]:
    """Where the wheels are, made by an earlier run or now."""
    folder = cache_folder() / "wheelhouse"
    try:
        Bundle(target, folder).archive(print)
    except HostFailed as error:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    yield folder


@dataclass
class Renamed:
    """The same wheels as another state."""

    bundle: Bundle
    digest: str = "another"
    index: str = ""

    def archive(self, note: Note) -> bytes:
        return self.bundle.archive(note)


def test_programs_are_installed_without_an_index_replaced_and_tidied(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    folder = tmp_path / "opt"
    environment = Environment(folder=str(folder), program="replicator", source=lambda found: Bundle(found, wheels))
    settle([environment, OnlyCurrent(str(folder))], Local())
    first = folder / (folder / "current").readlink()
    assert _run(first / "bin" / "replicator", "--version").startswith("replicator ")
    assert _run(first / "bin" / "python", "-c", IMPORT_ALL).split() == ["binary", "alone"]
    assert {path.name for path in folder.iterdir()} == {"current", first.name}
    assert not (first / "wheels").exists()

    other = replace(environment, source=lambda found: Renamed(Bundle(found, wheels)))
    settle([other], Local())
    assert (folder / "current").readlink() == Path("another")
    assert first.exists(), "what runs may still need it"
    settle([other, OnlyCurrent(str(folder))], Local())
    assert {path.name for path in folder.iterdir()} == {"current", "another"}
    assert _run(folder / "current" / "bin" / "replicator", "--version").startswith("replicator ")


def test_what_does_not_run_does_not_take_its_place(tmp_path: Path) -> None:
    @dataclass
    class Broken:
        digest: str = "broken"
        index: str = ""

        def archive(self, note: Note) -> bytes:
            return b"no tar"

    environment = Environment(folder=str(tmp_path / "opt"), program="replicator", source=lambda _: Broken())
    with pytest.raises(HostFailed, match=r"install replicator for Python 3\.\d+"):
        settle([environment], Local())
    assert not (tmp_path / "opt" / "current").exists()


def test_wheels_that_cannot_be_had_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(HostFailed, match=r"there are no wheels for Python 3\.12 \(x86_64\): .*install_from"):
        Bundle(Target("/usr/bin/python3", (3, 12), "x86_64", 34), tmp_path).archive(lambda _: None)
    assert not list(tmp_path.glob("*.tar"))


def _run(*command: object) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
