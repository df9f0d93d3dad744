"""Becoming root at the other end: the command that a login runs, given that a script follows on its standard input."""

from __future__ import annotations

from provision.errors import HostFailed, SudoRefused
from provision.secrets import Secret

PLAIN = "exec sh -s"

# Whatever the login shell is, it understands these words; sudo is to complain in English.
WITHOUT_PASSWORD = "exec env LC_ALL=C sudo -n -H -- sh -s"  # noqa: S105

# The password is the first line of standard input. It is read away before the script is, and the script is put where
# sudo's own reading cannot reach it: a sudo that asks nothing would otherwise run the password as a command.
WITH_PASSWORD = (
    'umask 077; IFS= read -r p && t=$(mktemp) && trap \'rm -f "$t"\' EXIT HUP TERM && cat >"$t"'  # noqa: S105
    " && printf '%s\\n' \"$p\" | LC_ALL=C sudo -S -H -p '' -- sh \"$t\""
)


# A shell that reads its script from a pipe asks for every byte by itself: 14 MB take 18 s. From a file it takes blocks.
SPOOLED = 'umask 077; t=$(mktemp) && trap \'rm -f "$t"\' EXIT HUP TERM && cat >"$t" && {} "$t"'
LARGE = 262144
"""Characters: from here on a script goes by a file, which only the account that logs in can read."""


def command(*, root: bool, password: Secret | None, size: int = 0) -> tuple[str, str]:
    """The remote command, and what must stand before the script on its standard input. size: of the script."""
    if not root:
        return (spooled("sh") if size > LARGE else PLAIN), ""
    if password is None:
        return (spooled("sudo -n -H -- sh") if size > LARGE else WITHOUT_PASSWORD), ""
    return f"sh -c {_quoted(WITH_PASSWORD)}", password.reveal() + "\n"


def spooled(shell: str) -> str:
    """A command that reads all of a script before it lets a shell run it."""
    return f"sh -c {_quoted(SPOOLED.format(shell))}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


REASONS = (
    (
        ("must have a tty", "no tty present"),
        "sudo wants a terminal there: let this account go without (`Defaults:NAME !requiretty` in /etc/sudoers).",
    ),
    (
        ("incorrect password", "try again", "no password was provided"),
        "sudo refuses the password: correct become.password (or what you typed for --ask-become-pass).",
    ),
    (
        ("password is required",),
        "sudo asks for a password there: give it by --ask-become-pass or as become.password"
        " (or allow this account to go without: NOPASSWD).",
    ),
    (
        ("not in the sudoers", "is not allowed to", "may not run sudo", "not allowed"),
        "This account may not use sudo there: log in as another, or add it to the sudoers (group wheel).",
    ),
    (("account validation failure", "expired"), "The account or its password has expired there: renew it."),
)
"""What sudo says, and what to do about it."""


def why_not(err: str) -> str:
    """What sudo had against it, as a hint; empty when it was not sudo."""
    for words, hint in REASONS:
        if any(word in err for word in words):
            return hint
    if "sudo" in err and ("not found" in err or "No such file" in err):
        return "There is no sudo there: log in as root, or install it."
    return ""


def refusal(host: str, err: str) -> HostFailed:
    """The error for a shell that ended before it had read the script."""
    hint = why_not(err)
    if hint:
        return SudoRefused(f"{host} lets us in, but not become root.", hint=hint)
    last = err.strip().splitlines()[-1:]
    return HostFailed(f"the shell of {host} ended early.", hint=" ".join(last))
