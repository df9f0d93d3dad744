"""A signed package repository: packages, their index, and the key that both are signed by.

Signatures and index are as dnf wants them; what the packages are is the business of `stock`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.lab.shell import run, write


@dataclass(frozen=True)
class Repository:
    """The repository in a folder. keys: the home of gpg with its secret key."""

    folder: Path
    keys: Path

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        return self.folder / "Packages"

    @property
    def public_key(self) -> Path:
        """The key to check it with."""
        return self.folder / f"RPM-GPG-KEY-{self.name}"

    @property
    def _signer(self) -> str:
        return f"{self.name}@localhost"

    def make(self) -> None:
        """Make it, empty, with a key of its own (RSA: every rpm can check it)."""
        self.packages.mkdir(parents=True)
        self.keys.mkdir(mode=0o700)
        identity = f"Packages for tests, {self.name} <{self._signer}>"
        self._gpg("--passphrase", "", "--quick-gen-key", identity, "rsa3072", "sign", "never")
        write(self.public_key, self._gpg("--armor", "--export", self._signer))

    def publish(self) -> None:
        """Sign all packages, make the index, and sign that."""
        self.sign()
        run("createrepo_c", "-q", self.folder)
        self._gpg("--yes", "--detach-sign", "--armor", self.folder / "repodata" / "repomd.xml")
        run("gpgconf", "--homedir", self.keys, "--kill", "gpg-agent")  # which stays behind otherwise

    def sign(self) -> None:
        """Sign its packages."""
        options = (f"_gpg_name {self._signer}", f"_gpg_path {self.keys}", "__gpg /usr/bin/gpg")
        defines = [word for option in options for word in ("--define", option)]
        run("rpmsign", *defines, "--addsign", *sorted(self.packages.glob("*.rpm")), env={"HOME": str(self.keys)})

    def definition(self, address: str, key: str) -> str:
        """What a file in /etc/yum.repos.d says of it, where it is served at an address."""
        lines = (
            f"[{self.name}]",
            f"name=Packages for tests, {self.name}",
            f"baseurl={address}{self.name}/",
            "enabled=1",
            "gpgcheck=1",
            "repo_gpgcheck=1",
            f"gpgkey={key}",
        )
        return "\n".join(lines) + "\n"

    def _gpg(self, *words: object) -> str:
        return run("gpg", "--homedir", self.keys, "--batch", "-q", *words)
