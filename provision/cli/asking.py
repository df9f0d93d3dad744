"""Asks for passwords, once, before anything is connected to. What is typed is never shown."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass

from provision.errors import InputError
from provision.secrets import Keeper
from provision.transport.login import LOGIN, SUDO


@dataclass(frozen=True)
class Asking:
    """What to ask for. Where the inventory has a password, its own counts."""

    login: bool = False
    sudo: bool = False

    def ask(self, keeper: Keeper) -> None:
        """Ask, and give the answers to the keeper. Raises InputError when nobody is there to be asked."""
        login = ""
        if self.login:
            login = _typed("--ask-pass", "SSH password: ")
            keeper.give(LOGIN, login)
        if self.sudo:
            default = " (default: the SSH password)" if login else ""
            keeper.give(SUDO, _typed("--ask-become-pass", f"sudo password{default}: ", default=login))


def _typed(option: str, prompt: str, default: str = "") -> str:
    if not _terminal():
        raise InputError(
            f"{option} needs a terminal to ask at, and there is none; give the password in the inventory"
            " (ssh.password, become.password) as !env NAME or !command"
        )
    typed = getpass.getpass(prompt) or default
    if not typed:
        raise InputError(f"{option}: nothing was typed; nothing was touched")
    return typed


def _terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
