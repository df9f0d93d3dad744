"""What the repository's packages are made of, as it stands in `recipes/*.yml`.

A recipe says which files of which Debian packages go where, and what is written besides. The files are Jinja2 templates
of YAML, so that one text can describe PostgreSQL in two layouts. How an RPM comes of it is the business of `rpms`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

FOLDER = Path(__file__).parent / "recipes"


class Account(BaseModel):
    """A system account that a package makes before its files are unpacked."""

    model_config = ConfigDict(extra="forbid")
    name: str
    uid: int | None = None
    home: str = "/"
    shell: str = "/sbin/nologin"
    login: bool = True
    """No: only a group of that name."""


class Recipe(BaseModel):
    """One package. version: literally, or that of the Debian package `of`."""

    model_config = ConfigDict(extra="forbid")
    name: str
    repository: str = "distribution"
    summary: str
    of: str = ""
    version: str = ""
    epoch: int = 0
    noarch: bool = False
    base: bool = False
    """Part of every host: installed while the image is made."""

    take: dict[str, list[str]] = Field(default_factory=dict)
    """Folder: what goes there, as `debian-package:pattern`; `!pattern` leaves files of that name out."""
    links: dict[str, str] = Field(default_factory=dict)
    text: dict[str, str] = Field(default_factory=dict)
    programs: dict[str, str] = Field(default_factory=dict)
    """As text, executable."""
    edit: dict[str, str] = Field(default_factory=dict)
    """Path: what sed changes in it."""
    folders: list[str] = Field(default_factory=list)
    rights: dict[str, str] = Field(default_factory=dict)
    """Path: `mode owner group`, where those are not root's."""
    config: list[str] = Field(default_factory=list)
    """Files of the administrator: not replaced by an update."""

    requires: list[str] = Field(default_factory=list)
    provides: list[str] = Field(default_factory=list)
    conflicts: list[str] = Field(default_factory=list)
    ignore_needs: str = ""
    """A pattern of automatic requirements that are optional in truth."""
    automatic: bool = True
    """May rpmbuild look for what the files need and provide?"""
    account: Account | None = None
    unit: str = ""
    """The service that is set up by presets, and stopped before it goes."""
    after: str = ""
    """Shell commands to run once it is installed."""

    @field_validator("take", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {folder: [what] if isinstance(what, str) else what for folder, what in value.items()}

    @property
    def debian_packages(self) -> set[str]:
        """The Debian packages that it needs."""
        return {what.split(":", 1)[0] for sources in self.take.values() for what in sources if not what.startswith("!")}


def load() -> list[Recipe]:
    """All recipes."""
    found = _read("system") + _read("tools")
    for repository in ("pgdg", "distribution"):
        postgresql = _read("postgresql", pgdg=repository == "pgdg")
        found += [recipe.model_copy(update={"repository": repository}) for recipe in postgresql]
    return found


def markers() -> dict[str, str]:
    """Packages without files, for what the base of the image has anyway: name, the Debian package of that version."""
    content: dict[str, str] = yaml.safe_load((FOLDER / "markers.yml").read_text())
    return content


def _read(name: str, **values: object) -> list[Recipe]:
    template = jinja2.Template((FOLDER / f"{name}.yml").read_text(), undefined=jinja2.StrictUndefined, trim_blocks=True)
    content = yaml.safe_load(template.render(values))
    return [Recipe(name=package, **recipe) for package, recipe in content.items()]
