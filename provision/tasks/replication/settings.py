"""The replicator's settings where it runs on this machine: its file, its passwords, the pointer in the usual place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from provision.change import Change, Note
from provision.inventory import ReplicationSettings
from provision.secrets import MASK, passfile, write_private
from provision.tasks import tls
from provision.tasks.node import Site
from provision.tasks.service import catalog_section, toml, warning_lines
from replicator.config import Config, load, search_path


@dataclass(frozen=True)
class Settings:
    """Where the replicator of a site has its files, and what is in them."""

    site: Site

    @property
    def declared(self) -> ReplicationSettings:
        """The replication section."""
        declared = self.site.inventory.replication
        if declared is None:
            raise ValueError("the inventory declares no replication")
        return declared

    @property
    def folder(self) -> Path:
        """Everything of the replicator's."""
        return self.site.inventory.state_dir / "replicator"

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.folder / "replicator.toml"

    @property
    def passfile(self) -> Path:
        """Its passwords, and those of people who work with the nodes from here."""
        return self.site.inventory.state_dir / "passfile"

    @property
    def rootcert(self) -> Path:
        """The authorities that it checks servers by, where they have TLS."""
        return tls.rootcert(self.site.inventory)

    @property
    def pointer(self) -> Path:
        """Where `replicator` looks when it is not told: the configuration folder of whoever deploys."""
        return search_path()[-2]

    @cached_property
    def text(self) -> str:
        """The configuration."""
        return (
            "# managed by pgherd provision: changes made here are replaced\n"
            f"install = {toml(self.declared.install)}\n"
            f"passfile = {toml(str(self.passfile))}\n"
            f"run_dir = {toml(str(self.folder / 'run'))}\n"
            f"log_file = {toml(str(self.folder / 'replicator.log'))}\n"
            + warning_lines(self.declared)
            + catalog_section(self.site, self.declared)
        )

    @cached_property
    def roots(self) -> str:
        """The content of `rootcert`."""
        return tls.roots(self.site)

    @property
    def passwords(self) -> str:
        """The content of the password file."""
        entries = [entry for host in self.site.inventory.hosts for entry in self.site.pass_entries(host)]
        return passfile(list(dict.fromkeys(entries)))

    def config(self) -> Config | None:
        """The configuration that is there, or None."""
        return load(self.file) if self.file.is_file() else None

    @property
    def current(self) -> bool:
        """Whether all files are as they should be."""
        return _read(self.file) == self.text and self._passwords_current and self._roots_current

    @property
    def _roots_current(self) -> bool:
        return not self.roots or _read(self.rootcert) == self.roots

    @property
    def _passwords_current(self) -> bool:
        return _read(self.passfile) == self.passwords and not _open_to_others(self.passfile)

    def newer_than(self, path: Path) -> bool:
        """Whether the configuration was written after something else was: after the daemon began."""
        return self.file.stat().st_mtime > path.stat().st_mtime

    def root_changes(self) -> list[Change]:
        """What makes the file of authorities as it should be."""
        if self._roots_current:
            return []
        before, after = _read(self.rootcert), self.roots
        return [Change(summary=f"write {self.rootcert}", act=self._write_roots, before=before, after=after)]

    def changes(self) -> list[Change]:
        """What makes the files as they should be."""
        found = self.root_changes()
        text = _read(self.file)
        if text != self.text:
            found.append(
                Change(
                    summary=f"write {self.file}",
                    act=lambda _: self._write(),
                    before=text,
                    after=self.text,
                    follows="restart of the daemon" if text else "",
                )
            )
        if not self._passwords_current:
            found.append(Change(summary=f"write {self.passfile}", act=self._write_passwords, after=MASK))
        if self._pointer_wanted():
            found.append(Change(summary=f"point {self.pointer} to it", act=self._point, after=str(self.file)))
        return found

    @property
    def pointed(self) -> bool:
        """Whether `replicator` finds this configuration by itself."""
        return self.pointer.is_symlink() and self.pointer.readlink() == self.file

    def _pointer_wanted(self) -> bool:
        """Another lab's pointer, or a file that somebody wrote, stays; one that leads nowhere is taken over."""
        return not self.pointed and not self.pointer.exists()

    def _write(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.file, self.text)

    def _write_passwords(self, _: Note) -> None:
        write_private(self.passfile, self.passwords)

    def _write_roots(self, _: Note) -> None:
        write_private(self.rootcert, self.roots)
        self.rootcert.chmod(0o644)

    def _point(self, _: Note) -> None:
        self.pointer.parent.mkdir(parents=True, exist_ok=True)
        if not self.pointer.exists():  # it leads nowhere
            self.pointer.unlink(missing_ok=True)
        with suppress(FileExistsError):  # another lab was first
            self.pointer.symlink_to(self.file)

    def withdraw(self) -> None:
        """Remove the pointer, if it is ours, and the folder that it was in, if nothing else is there."""
        if self.pointed:
            self.pointer.unlink()
            with suppress(OSError):  # something else is in it
                self.pointer.parent.rmdir()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)
