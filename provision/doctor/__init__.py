"""Looks for what would stop a deploy, before it begins: on every host at once, and on this machine. Changes nothing.

A finding is a line: where, what was looked at, how it is, what to do. `asking` has the questions to hosts, `judging`
makes findings of the answers, `reaching` says how far the way to a host led, `here` looks at this machine.
"""

from provision.doctor.examination import examine
from provision.doctor.findings import Finding, Verdict, exit_code

__all__ = ["Finding", "Verdict", "examine", "exit_code"]
