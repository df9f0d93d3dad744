"""What commands do not load: each library that is loaded for nothing is time that every start of a command takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import importlib, sys
program, *lines = sys.argv[1:]
for line in lines:
    assert importlib.import_module(program).main(line.split()) == 0, line
print("loaded:", *sys.modules)
"""

INVENTORY = """\
all:
  vars: {connection: local, state_dir: state, postgresql: {source: embedded}}
  hosts: {a: }
"""


@pytest.mark.parametrize(
    ("program", "lines", "unwanted"),
    [
        ("replicator.cli", ["--help", "start --help", "kick --help"], {"psycopg", "rich", "asyncio", "logging"}),
        ("replicator.cli", ["status --help", "verify --help", "add-node --help", "list --help"], {"rich", "smtplib"}),
        ("provision.cli", ["--help"], {"psycopg", "pydantic", "jinja2", "rich"}),
        ("provision.cli", ["plan hosts.yml"], {"paramiko", "fabric", "cryptography", "rich"}),
    ],
)
def test_a_command_loads_no_library_that_it_has_no_use_for(
    program: str, lines: list[str], unwanted: set[str], tmp_path: Path
) -> None:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    done = subprocess.run(
        [sys.executable, "-c", RUN, program, *lines], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert f"{program}" in loaded
    assert not loaded & unwanted
