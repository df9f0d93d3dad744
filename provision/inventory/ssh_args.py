"""Options for the ssh program, as `ansible_ssh_common_args` has them, as settings of the `ssh` section."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from provision.inventory.marks import Node, wrap

SETTINGS = {
    "proxyjump": "jump",
    "proxycommand": "proxy_command",
    "identityfile": "key_file",
    "user": "user",
    "port": "port",
    "stricthostkeychecking": "host_keys",
}
"""By ssh's keyword, in lower case, the key of the section."""

SHORT = {"-J": "proxyjump", "-i": "identityfile", "-l": "user", "-p": "port"}
HOST_KEYS = {"yes": "strict", "ask": "strict", "accept-new": "accept-new", "no": "off", "off": "off"}

OURS = (
    "batchmode",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "forwardagent",
    "gssapiauthentication",
    "identitiesonly",
    "loglevel",
    "passwordauthentication",
    "preferredauthentications",
    "pubkeyauthentication",
    "requesttty",
    "serveralivecountmax",
    "serveraliveinterval",
    "tcpkeepalive",
)
"""Keywords that pgherd decides itself, or that change nothing for it."""

FLAGS = ("-A", "-C", "-T", "-a", "-k", "-q", "-t", "-v", "-x", "-4", "-6")


@dataclass
class Options:
    """settings: for the section `ssh`; unread: what is meant but not understood."""

    settings: dict[str, Node] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def read(node: Node) -> Options:
    """The options in a text."""
    found = Options()
    if not isinstance(node.value, str):
        return found
    for word, value in _pairs(node.value):
        _take(found, node, word, value)
    return found


def _take(found: Options, node: Node, word: str, value: str) -> None:
    keyword = word.lower()
    if keyword == "stricthostkeychecking" and value in HOST_KEYS:
        found.settings["host_keys"] = wrap(HOST_KEYS[value], node.mark)
    elif keyword == "port" and value.isdigit():
        found.settings["port"] = wrap(int(value), node.mark)
    elif keyword in SETTINGS and keyword not in ("stricthostkeychecking", "port"):
        found.settings[SETTINGS[keyword]] = wrap(value, node.mark)
    elif keyword == "userknownhostsfile" and value == "/dev/null":
        pass  # it comes with StrictHostKeyChecking=no, which says the same
    elif keyword not in OURS:
        found.unread.append(word)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Keywords and their values; an option that is not understood comes alone."""
    try:
        words = iter(shlex.split(text))
    except ValueError:
        yield text, ""
        return
    for word in words:
        if word in SHORT:
            yield SHORT[word], next(words, "")
        elif word.startswith("-o"):
            setting = word[2:] or next(words, "")
            name, _, value = setting.replace("=", " ", 1).strip().partition(" ")
            yield name, value.strip()
        elif word not in FLAGS:
            yield word, ""
