"""What yum, dnf and rpm complain of, as sentences that say what to do."""

from __future__ import annotations

PACKAGES: tuple[tuple[str, str], ...] = (
    (
        r"(?:Unable to find a match|No match for argument|No package):? +([^\n]+?)(?: available\.?)?(?:\n|$)",
        "no repository of the host has {0}: declare the one that does (`repositories`), or another version.",
    ),
    (
        r"needs (\d+[KMGT]?B)(?: more space)? on the (\S+) filesystem",
        "the disk is full: {0} are needed on {1}. Free some space, then run it again.",
    ),
    (
        r"(?:missing groups or modules|No matching Modules to list|Unable to resolve argument):? *([^\n]*)",
        "no repository of the host has the module {0}: declare another postgresql.version, or source: pgdg.",
    ),
    (r"Failed writing received data to disk", "the disk is full: free some space, then run it again."),
    (
        r"Package (\S+) is not signed",
        "{0} is not signed, so it is not installed: its repository has to sign it (or be declared with gpgcheck: no).",
    ),
    (
        r"(?:Public key for (\S+) is not installed|The GPG keys listed for the \"([^\"]+)\" repository .* not correct)",
        "{0}{1}: its signature is of a key that is not trusted here. Declare the right gpgkey of its repository.",
    ),
    (
        r"repomd.xml GPG signature verification error: ([^\n]*)",
        "the list of packages is not signed with the repository's gpgkey ({0}): declare the right key.",
    ),
    (
        r"(?:Failed to download metadata for repo|Cannot (?:download|prepare internal mirrorlist|find a valid baseurl)"
        r"[^\n]*?repo:?) *'?([^\s':]+)'?",
        "the repository {0} cannot be read: correct its address, or let the host reach it.",
    ),
    (
        r"Cannot retrieve (?:repository metadata \(repomd.xml\)|metalink) for repository: ([^\s.]+)",
        "the repository {0} cannot be read: correct its address, or let the host reach it.",
    ),
)
