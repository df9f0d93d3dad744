"""The replicator's unit file as systemd reads it."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from provision.inventory import load
from provision.tasks import Site
from provision.tasks.service import ACCOUNT, CONFIG, HISTORY_DAYS, PROGRAM, PURGE, PURGE_FILES, UNIT

LAB = Path(__file__).parents[2] / "inventories" / "lab.yml"


@pytest.fixture
def unit() -> str:
    """The unit file of a host."""
    site = Site.of(load(LAB))
    names = {"account": ACCOUNT, "program": PROGRAM, "config": CONFIG, "after": "postgresql-16.service"}
    return site.templates.render("pgherd-replicator.service.j2", site.inventory.hosts[0], **names)


def test_it_has_three_sections_of_settings(unit: str) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=")
    parser.read_string(unit)
    assert parser.sections() == ["Unit", "Service", "Install"]
    assert parser["Unit"]["After"] == "network-online.target postgresql-16.service"


def test_systemd_finds_no_fault_in_it(unit: str, tmp_path: Path) -> None:
    """Where there is a systemd to ask; hosts have one in any case, and a deploy fails where theirs finds a fault."""
    if program := shutil.which("systemd-analyze"):
        path = tmp_path / f"{UNIT}.service"
        here = unit.replace(PROGRAM, shutil.which("true") or "").replace(f"={ACCOUNT}\n", "=root\n")
        path.write_text(here)
        done = subprocess.run([program, "verify", path], capture_output=True, text=True, check=False)
        ours = [line for line in done.stderr.splitlines() if UNIT in line]
        assert not ours
        path.write_text(here.replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"))
        done = subprocess.run([program, "verify", path], capture_output=True, text=True, check=False)
        assert "NoNewPrivilege" in done.stderr, "a misspelt setting would have been found"


def test_systemd_finds_no_fault_in_the_timer(tmp_path: Path) -> None:
    site = Site.of(load(LAB))
    names = {"account": ACCOUNT, "program": PROGRAM, "config": CONFIG, "after": "", "days": HISTORY_DAYS}
    for path in map(Path, PURGE_FILES):
        text = site.templates.render(f"{path.name}.j2", site.inventory.hosts[0], **names)
        here = text.replace(PROGRAM, shutil.which("true") or "").replace(f"={ACCOUNT}\n", "=root\n")
        (tmp_path / path.name).write_text(here)
    assert f"purge --history {HISTORY_DAYS}" in (tmp_path / f"{PURGE}.service").read_text()
    if program := shutil.which("systemd-analyze"):
        verify = [program, "verify", tmp_path / f"{PURGE}.timer", tmp_path / f"{PURGE}.service"]
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        assert not [line for line in done.stderr.splitlines() if PURGE in line]
