"""Real hosts on one Debian machine, and the tests that need such.

A lab is three hosts with their own systemd, sshd, package manager, disk, address and clock: systemd-nspawn containers
on a bridge that leads nowhere. What is in their image and package repository is Debian's; how it is named and laid out
is that of CentOS Stream 9, so that what `provision` does there is what it does on the real thing. `__main__.py` makes a
lab by hand, `conftest.py` one for tests; docs/how-to/lab.md says what it can do and what it is not.
"""
