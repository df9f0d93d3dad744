"""Mails of the daemon to its operator, by the settings `default_email_*`: written, kept in a file, handed to a server.

When to write is the master's decision.
"""

from __future__ import annotations

import smtplib
import socket
import textwrap
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from replicator.habits import NOBODY, Habits
from replicator.logs import blank, log

LONGEST = 900
"""Characters in a line; SMTP allows 998 bytes."""

SECONDS = 5.0
"""How long the mail server may take to answer."""


def wanted(habits: Habits) -> bool:
    """Whether there is anybody to write to, or a file to write into."""
    return habits["default_email_to"] not in ("", NOBODY) or bool(habits["email_debug_file"])


def written(habits: Habits, subject: str, text: str) -> EmailMessage:
    """The mail; there are no passwords in it."""
    mail = EmailMessage()
    mail["From"] = habits["default_email_from"]
    mail["To"] = habits["default_email_to"]
    mail["Subject"] = " ".join(blank(subject).split())
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = make_msgid(domain=socket.gethostname())
    lines = (part for line in blank(text).splitlines() for part in textwrap.wrap(line, LONGEST) or [""])
    mail.set_content("\n".join(lines) + "\n", cte="8bit")
    return mail


def send(habits: Habits, subject: str, text: str) -> bool:
    """Send a mail; False, and a line in the log, when that is not possible. Nobody is no address."""
    if not wanted(habits):
        return False
    mail = written(habits, subject, text)
    try:
        if habits["email_debug_file"]:
            with habits.file("email_debug_file").open("a") as file:
                file.write(f"{mail.as_string()}\n")
        if habits["default_email_to"] in ("", NOBODY):
            return True
        host, _, port = habits["default_email_host"].partition(":")
        with smtplib.SMTP(host, int(port) if port.isdigit() else 25, timeout=SECONDS) as server:
            server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        log.warning("the mail %r to %s was not sent: %s", subject, habits["default_email_to"], error)
        return False
    return True
