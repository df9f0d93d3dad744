"""What an inventory says of the operating system: keys are read and compared, sections are merged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provision.errors import InputError
from provision.inventory import Host, load

KEYS = Path(__file__).parent / "keys"
RSA = "91D0E27B4DE7308873150B81004738175CEB42E9"
SPACED = "91D0 E27B 4DE7 3088 7315 0B81 0047 3817 5CEB 42E9"


def host(folder: Path, variables: str, of_host: str = "") -> Host:
    for key in KEYS.iterdir():
        shutil.copy(key, folder)
    text = f"all:\n  vars:\n    connection: ssh\n{variables}  hosts:\n    a:\n      address: 10.0.0.1\n{of_host}"
    (folder / "one.yml").write_text(text)
    return load(folder / "one.yml").host("a")


def test_a_key_comes_from_a_file_beside_the_inventory(tmp_path: Path) -> None:
    found = host(tmp_path, '    repositories: {lan: {baseurl: "http://a/", gpgkey: rsa.asc}}\n').system.repositories[
        "lan"
    ]
    assert found.gpgkey == (KEYS / "rsa.asc").read_text()
    assert found.fingerprint == RSA


def test_a_key_may_stand_in_the_inventory(tmp_path: Path) -> None:
    text = (KEYS / "rsa.asc").read_text().replace("\n", "\n        ")
    found = host(tmp_path, f"    pgdg:\n      fingerprint: {SPACED}\n      gpgkey: |\n        {text}\n")
    assert found.system.pgdg.fingerprint == RSA


def test_an_address_of_a_key_is_left_to_the_host(tmp_path: Path) -> None:
    found = host(tmp_path, f'    pgdg: {{gpgkey: "https://a/key", fingerprint: "{SPACED}"}}\n').system.pgdg
    assert (found.gpgkey, found.fingerprint) == ("https://a/key", RSA)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            'gpgkey: "https://a/key"',
            "found https://a/key, expected its fingerprint beside it (as its owner publishes it)",
        ),
        ("gpgkey: both.asc", "both.asc, expected one public key: it holds several"),
        ("gpgkey: one.yml", "one.yml, expected one public key: there is no key in it"),
        ("gpgkey: nowhere.asc", "nowhere.asc: cannot be read: no such file or directory"),
        (f'gpgkey: curve.asc, fingerprint: "{RSA}"', f"DF502867D, expected {RSA}"),
    ],
)
def test_a_key_that_will_not_do(tmp_path: Path, key: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        host(tmp_path, f'    repositories: {{lan: {{baseurl: "http://a/", {key}}}}}\n')
    assert said in str(caught.value)


def test_sections_are_merged_key_by_key(tmp_path: Path) -> None:
    shared = "    repositories: {epel: {enabled: no}}\n    ntp: {servers: a}\n    snmp: {location: here}\n"
    found = host(
        tmp_path, shared, "      repositories: {other: {enabled: no}}\n      snmp:\n      updates: no\n"
    ).system
    assert list(found.repositories) == ["epel", "other"]
    assert found.ntp.servers == ("a",)
    assert found.updates == "none"


def test_an_agent_is_there_when_its_section_is(tmp_path: Path) -> None:
    assert host(tmp_path, "").system.snmp is None
    found = host(tmp_path, "    snmp:\n").system.snmp
    assert found is not None
    assert found.community is None
