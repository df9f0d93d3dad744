"""The signed package repository of a lab: every RPM, its index and the index's signature.

Key and repository are made together; the key's secret half stays beside it, for tests that sign something else.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import recipes
from tests.lab.recipes import Recipe
from tests.lab.rpms import Workshop, unpack, upstream
from tests.lab.shell import run, write

ADDRESS = "http://10.11.12.1:8080/"
KEY = "RPM-GPG-KEY-lab"
SIGNER = "lab@localhost"

DEFINITION = f"""[lab]
name=Packages for tests, named as on EL 9
baseurl={ADDRESS}
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/{KEY}
"""


def debian_packages() -> list[str]:
    """What the packages are made of."""
    return sorted({name for recipe in recipes.load() for name in recipe.debian_packages | {recipe.of}} - {""})


def build(folder: Path, tree: Path, debs: Path, work: Path, keys: Path) -> list[str]:
    """Make the repository; the packages that every host has from the start. tree: the image's files so far."""
    packages = folder / "Packages"
    packages.mkdir(parents=True)
    make_key(keys)
    write(folder / KEY, run("gpg", "--homedir", keys, "--armor", "--export", SIGNER))
    write(folder / "lab.repo", DEFINITION)
    workshop = Workshop(work, work / "unpacked", unpack(debs, work / "unpacked"))
    base = [_markers_of(tree, name, debian) for name, debian in recipes.markers().items()]
    base += [_compatibility(tree)]
    made = [*base, *recipes.load()]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda recipe: workshop.build(recipe, packages), made))
    sign(packages, keys)
    index(folder, keys)
    shutil.rmtree(work)
    return [recipe.name for recipe in made if recipe.base]


def make_key(keys: Path) -> None:
    """Make a signing key (RSA: every rpm can check it) in a folder of its own."""
    keys.mkdir(mode=0o700)
    identity = f"Packages for tests <{SIGNER}>"
    run(
        "gpg",
        "--homedir",
        keys,
        "--batch",
        "-q",
        "--passphrase",
        "",
        "--quick-gen-key",
        identity,
        "rsa3072",
        "sign",
        "never",
    )


def sign(packages: Path, keys: Path) -> None:
    """Sign every package in a folder."""
    options = (f"_gpg_name {SIGNER}", f"_gpg_path {keys}", "__gpg /usr/bin/gpg")
    defines = [word for option in options for word in ("--define", option)]
    run("rpmsign", *defines, "--addsign", *sorted(packages.glob("*.rpm")), env={"HOME": str(keys)})


def index(folder: Path, keys: Path) -> None:
    """Make the index of a repository, and sign it."""
    run("createrepo_c", "-q", folder)
    run("gpg", "--homedir", keys, "--batch", "--yes", "-q", "--detach-sign", "--armor", folder / "repodata/repomd.xml")
    run("gpgconf", "--homedir", keys, "--kill", "gpg-agent")  # which stays behind otherwise


def _markers_of(tree: Path, name: str, debian: str) -> Recipe:
    version = upstream(run("chroot", tree, "dpkg-query", "-Wf", "${Version}", debian))
    # perl's epoch as on CentOS: to rpm 5.36 is less than the 5.008 that modules ask for
    epoch = 4 if name == "perl" else 0
    return Recipe(
        name=name, summary=f"{name}, which the image has", version=version, epoch=epoch, noarch=True, base=True
    )


def _compatibility(tree: Path) -> Recipe:
    """One package that provides, in RPM's terms, what the image has without packages."""
    libraries = [path for folder in ("usr/lib/x86_64-linux-gnu", "usr/lib64") for path in (tree / folder).glob("*.so*")]
    provides = set(run("/usr/lib/rpm/find-provides", stdin="\n".join(map(str, libraries))).split("\n")) - {""}
    programs = ("sh", "bash", "env", "perl", "python3", "systemctl")
    provides |= {f"{folder}/{name}" for folder in ("/bin", "/usr/bin") for name in programs}
    provides |= {"/sbin/ldconfig", "/usr/sbin/useradd", "/usr/sbin/groupadd", "rtld(GNU_HASH)"}
    perl = run("chroot", tree, "perl", "-e", 'printf "%vd", $^V')
    provides |= {f"perl(:MODULE_COMPAT_{perl})", f"perl-interpreter = {perl}", f"perl-libs = {perl}"}
    provides |= {f"perl({module})" for module in _perl_modules(tree)}
    return Recipe(
        name="el9-base-compat",
        summary="What the image provides besides its packages",
        version="9",
        base=True,
        automatic=False,
        provides=sorted(provides),
    )


def _perl_modules(tree: Path) -> set[str]:
    version = run("chroot", tree, "perl", "-e", 'printf "%vd", $^V').rpartition(".")[0]
    folders = (
        f"usr/share/perl/{version}",
        f"usr/lib/x86_64-linux-gnu/perl/{version}",
        "usr/lib/x86_64-linux-gnu/perl-base",
    )
    return {
        ".".join(module.relative_to(tree / folder).with_suffix("").parts).replace(".", "::")
        for folder in folders
        for module in (tree / folder).rglob("*.pm")
    }
