"""The operating system's names and paths, by major release of Enterprise Linux."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Release:
    """A major release of the CentOS family.

    installer: yum or dnf. modular: packages of a module hide others of the same name until it is disabled. ntp,
    ntp_unit, ntp_config: package, service and file of the time service; ntp_template: what the file is made from.
    semanage: the package of that program. security_plugin: the package that teaches the installer `--security`; empty:
    it can. python: the package of a Python that runs the replicator (3.11 or later); empty: there is none. postgresql:
    the major versions that the distribution brings, the default one first; streams: those of them that are streams of a
    module. pgdg: the major versions that PGDG has for it.
    """

    major: int
    installer: str = "dnf"
    modular: bool = False
    ntp: str = "chrony"
    ntp_unit: str = "chronyd"
    ntp_config: str = "/etc/chrony.conf"
    ntp_template: str = "chrony.conf.j2"
    semanage: str = "policycoreutils-python-utils"
    security_plugin: str = ""
    python: str = ""
    postgresql: tuple[int, ...] = ()
    streams: tuple[int, ...] = ()
    pgdg: range = range(10, 19)


RELEASES = {
    6: Release(
        major=6,
        installer="yum",  # K
        ntp="ntp",  # S: chrony is not the default before 7
        ntp_unit="ntpd",
        ntp_config="/etc/ntp.conf",
        ntp_template="ntp.conf.j2",
        semanage="policycoreutils-python",  # S
        security_plugin="yum-plugin-security",  # K
        postgresql=(8,),  # S: 8.4
        pgdg=range(10, 13),  # S: PGDG's spec files for it end at 12
    ),
    7: Release(
        major=7,
        installer="yum",  # K
        semanage="policycoreutils-python",  # S
        postgresql=(9,),  # S: 9.2
        pgdg=range(10, 16),  # S: 15 is the last
    ),
    8: Release(
        major=8,
        python="python3.11",  # D: a plain package beside the module of 3.6
        modular=True,  # S, D
        postgresql=(10, 12, 13, 15, 16),  # S, D: streams, 10 is the default one
        streams=(10, 12, 13, 15, 16),
    ),
    9: Release(
        major=9,
        python="python3.11",  # D: beside 3.9, the system's own
        modular=True,  # S, D
        postgresql=(13, 15, 16, 18),  # S, D: 13 as plain packages
        streams=(15, 16, 18),
    ),
    10: Release(
        major=10,  # S: no modules any more
        python="python3",  # D: 3.12
        postgresql=(16, 18),  # S, D
        pgdg=range(13, 19),  # S
    ),
}
"""Time, S: package, service and file on 7 and later. SNMP, S: the same names everywhere. Firewall, K: iptables before
7; firewalld later, where it is installed (S: the cloud images of 9 and 10 have none)."""

SNMP_PACKAGE, SNMP_UNIT, SNMP_CONFIG = "net-snmp", "snmpd", "/etc/snmp/snmpd.conf"
