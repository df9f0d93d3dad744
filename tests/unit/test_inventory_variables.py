"""References between variables resolve as in Ansible, and keep the types of what they refer to."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from provision.inventory import Inventory, SecretSource, load


def inventory(folder: Path, text: str) -> Inventory:
    path = folder / "hosts.yml"
    path.write_text(dedent(text))
    return load(path, listens=lambda address: True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('"{{ number }}"', 5),
        ('"{{ number + 1 }}"', 6),
        ('"{{ number }}{{ number }}"', "55"),
        ('"port {{ number }}"', "port 5"),
        ('"{{ text }}"', "0644"),
        ('"{{ flag }}"', True),
        ('"{{ things }}"', ["a", "b"]),
        ('"{{ tree.leaf }}"', 7),
        ("\"{{ tree['leaf'] }}\"", 7),
        ('"{{- number -}}"', 5),
        ('"{{ nothing | default(3) }}"', 3),
        ('"{{ twice_removed }}"', 5),
        ("\"{{ 'on' | bool }}\"", True),
        ('"{% if flag %}yes{% else %}no{% endif %}"', "yes"),
        ('"{{ inventory_hostname }}/{{ inventory_hostname_short }}"', "a.example/a"),
        ('"{{ group_names }}"', ["web"]),
        ('"{{ groups.web }}"', ["a.example", "b"]),
        ('"{{ hostvars.b.own }}"', "b's 5"),
        ("\"{{ hostvars['b'].inventory_hostname }}\"", "b"),
        ("['{{ number }}', x]", [5, "x"]),
        ("{key: '{{ number }}'}", {"key": 5}),
        ("!env NAME", "!env NAME"),
    ],
)
def test_expression(tmp_path: Path, expression: str, expected: object) -> None:
    found = inventory(
        tmp_path,
        f"""\
        all:
          vars:
            number: 5
            text: "0644"
            flag: yes
            things: [a, b]
            tree: {{leaf: 7}}
            once_removed: "{{{{ number }}}}"
            twice_removed: "{{{{ once_removed }}}}"
            result: {expression}
          children:
            web:
              hosts:
                a.example:
                b: {{own: "b's {{{{ number }}}}"}}
        """,
    )
    result = found.host("a.example").vars["result"]
    assert (str(result) if isinstance(result, SecretSource) else result) == expected


def test_a_group_refers_to_what_its_hosts_say(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        """\
        all:
          vars:
            postgresql: {port: "{{ base + number }}"}
            base: 5400
          hosts:
            a: {number: 1}
            b: {number: 2}
        """,
    )
    assert [host.postgresql.port for host in found.hosts] == [5401, 5402]


def test_a_secret_is_passed_on_whole(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        """\
        all:
          vars:
            site_password: !env SITE
            postgresql: {superuser_password: "{{ site_password }}"}
          hosts: {a: }
        """,
    )
    password = found.host("a").postgresql.superuser_password
    assert isinstance(password, SecretSource)
    assert str(password) == "!env SITE"


def test_a_variable_of_ones_own_may_have_a_name_like_ours_when_it_is_used(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        """\
        all:
          vars:
            addresses: {a: 192.0.2.1}
          hosts:
            a: {address: "{{ addresses[inventory_hostname] }}"}
        """,
    )
    assert found.host("a").address == "192.0.2.1"


def test_replication_may_refer_to_shared_variables(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        """\
        all:
          vars:
            first: a
            tables: [t, u]
            replication:
              catalog: {host: "{{ first }}"}
              databases: {one: {host: "{{ groups.all[0] }}"}}
              herds: {h: {database: one, tables: "{{ tables }}"}}
          hosts: {a: }
        """,
    )
    assert found.replication is not None
    assert found.replication.catalog.host == found.replication.databases["one"].host == "a"
    assert found.replication.herds["h"].tables == ("t", "u")
