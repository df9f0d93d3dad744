"""Makes RPMs from recipes: stages the files, writes the spec, runs rpmbuild.

What a package needs of libraries and modules is found by rpmbuild itself, as on the real distribution; a forgotten one
shows when the repository is checked for closure. Signing is the business of `repository`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.lab.recipes import Account, Recipe
from tests.lab.shell import CommandFailed, run, write

RELEASE = "1.el9"

HEAD = r"""%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _binary_payload w3.zstdio
"""

UNIT_SET_UP = "[ $1 -eq 1 ] && { systemctl daemon-reload; systemctl preset UNIT.service; } >/dev/null 2>&1 || :"
UNIT_STOPPED = "[ $1 -eq 0 ] && systemctl --no-reload disable --now UNIT.service >/dev/null 2>&1 || :"
UNIT_GONE = """systemctl daemon-reload >/dev/null 2>&1 || :
[ $1 -ge 1 ] && systemctl try-restart UNIT.service >/dev/null 2>&1 || :"""


@dataclass(frozen=True)
class Workshop:
    """Where packages are made. unpacked: Debian packages by name; versions: theirs, without Debian's parts."""

    folder: Path
    unpacked: Path
    versions: dict[str, str]

    def build(self, recipe: Recipe, into: Path) -> Path:
        """Make the package of a recipe. Raises CommandFailed, ValueError for a pattern that finds nothing."""
        stage = self.folder / "stage" / recipe.name
        stage.mkdir(parents=True)
        self._stage(recipe, stage)
        spec = write(self.folder / f"{recipe.name}.spec", self._spec(recipe, stage))
        try:
            run(
                *("rpmbuild", "-bb", "--quiet", spec, "--target", "noarch" if recipe.noarch else "x86_64"),
                *("--define", f"_topdir {self.folder}", "--define", f"_rpmdir {into}"),
                *("--define", "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"),
                *("--define", f"_dbpath {self.folder / 'db'}"),
                env={"HOME": str(self.folder)},
            )
        except CommandFailed as error:
            raise CommandFailed(f"package {recipe.name}: {error}") from error
        (built,) = into.glob(f"{recipe.name}-{self._version(recipe)}-{RELEASE}.*.rpm")
        return built

    def _version(self, recipe: Recipe) -> str:
        return recipe.version or self.versions[recipe.of]

    def _stage(self, recipe: Recipe, stage: Path) -> None:
        for folder in recipe.folders:
            _below(stage, folder).mkdir(parents=True, exist_ok=True)
        for folder, sources in recipe.take.items():
            self._take(recipe.name, sources, _below(stage, folder))
        for name, text in recipe.text.items():
            write(_below(stage, name), text)
        for name, text in recipe.programs.items():
            write(_below(stage, name), text, 0o755)
        for name, target in recipe.links.items():
            link = _below(stage, name)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        for name, change in recipe.edit.items():
            run("sed", "-i", change, _below(stage, name))

    def _take(self, package: str, sources: list[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        left_out = [source[1:] for source in sources if source.startswith("!")]
        for source in sources:
            if source.startswith("!"):
                continue
            debian, pattern = source.split(":", 1)
            top = self.unpacked / debian
            found = [path.relative_to(top) for path in sorted(top.glob(pattern))]
            if not found:
                raise ValueError(f"recipe {package}: nothing in Debian's {debian} is called {pattern}")
            kept = [path for path in found if not any(path.match(pattern) for pattern in left_out)]
            if kept:
                run("cp", "-a", *kept, folder, cwd=top)

    def _spec(self, recipe: Recipe, stage: Path) -> str:
        lines = [
            HEAD,
            f"Name: {recipe.name}",
            f"Version: {self._version(recipe)}",
            f"Release: {RELEASE}",
            f"Summary: {recipe.summary}",
            "License: see Debian's package",
            "Vendor: pgherd's lab",
        ]
        lines += [f"Epoch: {recipe.epoch}"] if recipe.epoch else []
        lines += [f"%global __requires_exclude {recipe.ignore_needs}"] if recipe.ignore_needs else []
        lines += [] if recipe.automatic else ["AutoReqProv: no"]
        lines += [f"Requires: {name}" for name in recipe.requires]
        lines += [f"Provides: {name}" for name in recipe.provides]
        lines += [f"Conflicts: {name}" for name in recipe.conflicts]
        lines += ["%description", f"{recipe.summary} (Debian's files, repackaged for tests)"]
        lines += ["%install", f"cp -a {stage}/. %{{buildroot}}/"]
        lines += _scriptlets(recipe)
        lines += ["%files", *_files(recipe, stage)]
        return "\n".join(lines) + "\n"


def _below(stage: Path, path: str) -> Path:
    return stage / path.lstrip("/")


def _scriptlets(recipe: Recipe) -> list[str]:
    unit = recipe.unit
    after = ([recipe.after] if recipe.after else []) + ([UNIT_SET_UP] if unit else [])
    lines = ["%pre", *_account(recipe.account)] if recipe.account else []
    lines += ["%post", *after] if after else []
    lines += ["%preun", UNIT_STOPPED, "%postun", UNIT_GONE] if unit else []
    return [line.replace("UNIT", unit) for line in lines]


def _account(account: Account) -> list[str]:
    number = "" if account.uid is None else f"-o -{{}} {account.uid} "
    name = account.name
    lines = [f"getent group {name} >/dev/null || groupadd -r {number.format('g')}{name}"]
    if account.login:
        options = f"-M -r -g {name} {number.format('u')}-d {account.home} -s {account.shell}"
        lines.append(f"getent passwd {name} >/dev/null || useradd {options} {name}")
    return lines


def _files(recipe: Recipe, stage: Path) -> list[str]:
    """The lines of %files: all files and links, and the folders that the recipe names."""
    owned = {folder.rstrip("/") for folder in recipe.folders}
    paths = sorted(f"/{path.relative_to(stage)}" for path in stage.rglob("*"))
    return [
        _rights(recipe, path) + _kind(recipe, path, stage) + path
        for path in paths
        if path in owned or not _is_folder(_below(stage, path))
    ]


def _rights(recipe: Recipe, path: str) -> str:
    return f"%attr({', '.join(recipe.rights[path].split())}) " if path in recipe.rights else ""


def _kind(recipe: Recipe, path: str, stage: Path) -> str:
    if path in recipe.config:
        return "%config(noreplace) "
    return "%dir " if _is_folder(_below(stage, path)) else ""


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def unpack(debs: Path, into: Path) -> dict[str, str]:
    """Unpack Debian packages, each into a folder of its name; their versions, without epoch and Debian's parts."""
    versions = {}
    for deb in sorted(debs.glob("*.deb")):
        name, version = run("dpkg-deb", "-f", deb, "Package", "Version").split("\n")[:2]
        package = name.removeprefix("Package: ")
        (into / package).mkdir(parents=True)
        run("dpkg-deb", "-x", deb, into / package)
        versions[package] = upstream(version.removeprefix("Version: "))
    shutil.rmtree(debs)
    return versions


def upstream(version: str) -> str:
    """Debian's `1:15.20-0+deb12u1` is `15.20` to its authors."""
    whole = version.rpartition(":")[2]
    return whole.split("-")[0].split("+")[0].split("~")[0]
