"""What is installed is what the checkout has: the templates travel with the code that renders them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]

RENDER = """
import sys
from pathlib import Path
import provision
from provision.inventory import load
from provision.templating import Templates
found = load(sys.argv[1], listens=lambda address: True)
print(Path(provision.__file__).parent)
print(Templates(found).render("pg_hba.conf.j2", found.hosts[0]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


def test_the_wheel_holds_every_template(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    templates = [path.relative_to(ROOT) for path in (ROOT / "templates").rglob("*.j2")]
    assert templates
    assert {f"provision/{template}" for template in templates} <= names
    assert "provision/py.typed" in names


def test_what_is_installed_renders(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(ROOT / "inventories" / "local.yml")],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "site" / "provision")
    assert "bucardo" in done.stdout
