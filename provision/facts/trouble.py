"""What the programs of a host complain of, as sentences that say what to do."""

from __future__ import annotations

import re

from provision.facts.package_trouble import PACKAGES

KNOWN: tuple[tuple[str, str], ...] = (
    (
        r'password authentication failed for user "([^"]+)"',
        "the server refuses the password of {0}: it is not the one in the secrets file any more. Put the former one"
        " back (the host's passfile or passfile.previous has it), or rebuild the host.",
    ),
    (
        r'role "([^"]+)" does not exist',
        "the server has no role {0}: it was made by somebody else. Name its superuser as postgresql.superuser.",
    ),
    (r"No space left on device", "the disk is full: free some space, then run it again."),
    (
        r"could not bind .* address \"([^\"]+)\": Address already in use",
        "the server's port at {0} is in use by another program: stop that one, or choose another postgresql.port.",
    ),
    (
        r"could not create shared memory segment|could not map anonymous shared memory|Cannot allocate memory",
        "there is not enough memory for the server: lower shared_buffers.",
    ),
    (r"too many clients already", "the server has no connection left: end some, or raise max_connections."),
    *PACKAGES,
)


LOG_LINE = re.compile(r"^\S+ \S+ \w+ (?:\[\d+\] )?(?:LOG|FATAL|ERROR|HINT|DETAIL|WARNING): +")
CLOSING = re.compile(r"configuration file \".*\" contains errors")


def explained(said: str) -> str:
    """What was said, in one line: a sentence for it where there is one, else the words without times and numbers."""
    for pattern, sentence in KNOWN:
        found = re.search(pattern, said)
        if found:
            return sentence.format(*(group or "" for group in found.groups()))
    lines = [LOG_LINE.sub("", line).strip() for line in said.splitlines()]
    return " ".join(line for line in lines if line and not CLOSING.search(line))
