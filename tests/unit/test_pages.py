"""The pages tell the truth: the reference says what the commands say, what others show exists, links lead on."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import provision.cli
import replicator.cli
from replicator.bucardo import VERBS, grammar

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
APPS = {"provision": provision.cli.app, "replicator": replicator.cli.app}
COMMAND = re.compile(r"(?:\.venv/bin/)?(?:provision|replicator) [a-z]")


def test_the_reference_is_what_the_commands_say() -> None:
    for place, text in runpy.run_path(str(ROOT / "docs/reference/generate.py"))["pages"]().items():
        assert place.read_text() == text, f"{place} is stale: run python docs/reference/generate.py"


def typed(page: Path) -> Iterator[str]:
    """The commands in a page: lines between fences, and words between backticks, that begin like one."""
    text = page.read_text()
    for block in re.findall(r"(?ms)^ *```\n(.*?)^ *```", text):
        yield from (line.strip().removeprefix("$ ") for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", text)


def commands() -> list[tuple[str, str]]:
    hand_made = [page for page in PAGES if page.parent.name != "reference"]
    return [(page.name, line) for page in hand_made for line in typed(page) if COMMAND.match(line)]


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_that_a_page_shows_exists(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    command: Any = typer.main.get_command(APPS[words.pop(0).removeprefix(".venv/bin/")])
    while words and hasattr(command, "list_commands"):
        context = command.context_class(command, info_name="test")
        word = words.pop(0)
        command = command.get_command(context, word)
        assert command is not None, f"there is no {word!r}"
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    for word in words:
        assert not word.startswith("--") or word.split("=")[0] in known, f"there is no {word} here"
    required = [one for one in command.params if one.param_type_name == "argument" and one.required]
    assert len([word for word in words if not word.startswith("-")]) >= len(required)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_bucardo_ctl_that_a_page_shows_can_be_parsed(page: Path) -> None:
    for line in typed(page) if page.parent.name != "reference" else ():
        if line.startswith("bucardo_ctl "):
            assert grammar.parse(shlex.split(line)[1:]).verb in VERBS, line


def test_there_are_such_commands() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link
