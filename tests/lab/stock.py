"""All packages that a lab's mirror has, in two repositories as a host of EL 9 knows them: `distribution`, which hosts
have from the start, and `pgdg`, that of the PostgreSQL project, which they must be told of.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import recipes
from tests.lab.recipes import Recipe
from tests.lab.repository import Repository
from tests.lab.rpms import Workshop, unpack, upstream
from tests.lab.shell import run

NAMES = ("distribution", "pgdg")
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib64")
PROGRAMS = ("sh", "bash", "env", "perl", "python3", "systemctl")


def debian_packages() -> list[str]:
    """What the packages are made of."""
    return sorted({name for recipe in recipes.load() for name in recipe.debian_packages | {recipe.of}} - {""})


def build(repositories: list[Repository], tree: Path, debs: Path, work: Path) -> list[str]:
    """Make and publish all packages; the names of those that hosts have from the start. tree: the image so far."""
    workshop = Workshop(work, work / "unpacked", unpack(debs, work / "unpacked"))
    base = [_marker(tree, name, debian) for name, debian in recipes.markers().items()]
    made = [_compatibility(tree), *base, *recipes.load()]
    places = {repository.name: repository for repository in repositories}
    for repository in repositories:
        repository.make()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda recipe: workshop.build(recipe, places[recipe.repository].packages), made))
    for repository in repositories:
        repository.publish()
    shutil.rmtree(work)
    return [recipe.name for recipe in made if recipe.base]


def _marker(tree: Path, name: str, debian: str) -> Recipe:
    """An empty package for what the image has, with the version that it has."""
    version = upstream(run("chroot", tree, "dpkg-query", "-Wf", "${Version}", debian))
    # perl's epoch as on CentOS: to rpm 5.36 is less than the 5.008 that modules ask for
    epoch = 4 if name == "perl" else 0
    return Recipe(
        name=name, summary=f"{name}, which the image has", version=version, epoch=epoch, noarch=True, base=True
    )


def _compatibility(tree: Path) -> Recipe:
    """One package that provides, in RPM's terms, what the image has without packages."""
    libraries = [str(path) for folder in LIBRARIES for path in (tree / folder).glob("*.so*")]
    provides = set(run("/usr/lib/rpm/find-provides", stdin="\n".join(libraries)).split("\n")) - {""}
    provides |= {f"{folder}/{name}" for folder in ("/bin", "/usr/bin") for name in PROGRAMS}
    provides |= {"/sbin/ldconfig", "/usr/sbin/useradd", "/usr/sbin/groupadd", "rtld(GNU_HASH)"}
    perl = run("chroot", tree, "perl", "-e", 'printf "%vd", $^V')
    provides |= {f"perl(:MODULE_COMPAT_{perl})", f"perl-interpreter = {perl}", f"perl-libs = {perl}"}
    provides |= {f"perl({module})" for module in _perl_modules(tree, perl.rpartition(".")[0])}
    return Recipe(
        name="el9-base-compat",
        summary="What the image provides besides its packages",
        version="9",
        base=True,
        automatic=False,
        provides=sorted(provides),
    )


def _perl_modules(tree: Path, version: str) -> set[str]:
    compiled = "usr/lib/x86_64-linux-gnu"
    folders = (f"usr/share/perl/{version}", f"{compiled}/perl/{version}", f"{compiled}/perl-base")
    return {
        "::".join(module.relative_to(tree / folder).with_suffix("").parts)
        for folder in folders
        for module in (tree / folder).rglob("*.pm")
    }
