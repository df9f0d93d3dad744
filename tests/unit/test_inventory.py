"""Inventories that are right come out as Ansible users expect, and as pgherd's own sections say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from provision import inventory
from provision.errors import InputError
from provision.inventory import (
    Auth,
    Capture,
    ConnectionKind,
    HostKeys,
    Inventory,
    MakeDelta,
    Numbers,
    OneTimeCopy,
    SecretSource,
    Source,
    SyncType,
    hba_rules,
    runner,
)
from provision.inventory.replication import HookSettings, Moment

SHIPPED = Path(__file__).parents[2] / "inventories"

Write = Callable[[str, str], Path]


def everywhere(address: str) -> bool:
    return True


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of an inventory, and return the path of it."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write


def load(path: Path, *more: Path) -> Inventory:
    return inventory.load(path, *more, listens=everywhere)


@pytest.mark.parametrize("name", ["local", "lab"])
def test_shipped_inventories_declare_the_three_nodes(name: str) -> None:
    found = load(SHIPPED / f"{name}.yml")
    assert found.name == name
    assert [host.name for host in found.hosts] == ["master", "slave", "master2"]
    assert [host.address[-4:] for host in found.hosts] == [".241", ".242", ".243"]
    assert not [notice for notice in found.warnings if "ssh_config" not in notice.message]
    declared = found.replication
    assert declared is not None
    assert {name: herd.database for name, herd in declared.herds.items()} == {
        "alpha": "test1_master",
        "beta": "test1_master",
        "gamma": "test1_master2",
    }
    assert {name: (sync.type, sync.source, sync.targets) for name, sync in declared.syncs.items()} == {
        "benchdeltaalpha": (SyncType.PUSHDELTA, "alpha", ("test1_slave",)),
        "benchcopybeta": (SyncType.FULLCOPY, "beta", ("test1_history",)),
        "benchswapgamma": (SyncType.SWAP, "gamma", ("test1_master",)),
    }
    assert declared.dbgroups == {"test1_history": {"test1_slave": None, "test1_master2": None}}
    assert declared.syncs["benchswapgamma"].makedelta is MakeDelta.YES
    assert declared.syncs["benchdeltaalpha"].makedelta is MakeDelta.AUTO
    assert found.node("test1_master2").name == "master2"


def test_local_nodes_are_on_this_machine() -> None:
    found = load(SHIPPED / "local.yml")
    assert {host.connection for host in found.hosts} == {ConnectionKind.LOCAL}
    assert {host.postgresql.source for host in found.hosts} == {Source.EMBEDDED}
    assert [host.listen for host in found.hosts] == [("127.0.0.241",), ("127.0.0.242",), ("127.0.0.243",)]
    assert not any(host.sockets for host in found.hosts)


def test_lab_nodes_are_reached_by_ssh(tmp_path: Path) -> None:
    (tmp_path / "inventories").mkdir()
    copy = Path(shutil.copy(SHIPPED / "lab.yml", tmp_path / "inventories"))
    host = load(copy).host("slave")
    assert (host.connection, host.user, host.host_keys) == (ConnectionKind.SSH, "vagrant", HostKeys.ACCEPT_NEW)
    assert host.become is not None and host.become.user == "root"
    assert host.ssh_host == "10.11.12.242"
    assert host.listen == ("localhost", "10.11.12.242")
    assert host.sockets
    (tmp_path / ".lab").mkdir()
    (tmp_path / ".lab" / "ssh_config").write_text(
        "Host master\n  Port 2222\nHost slave\n  HostName 127.0.0.1\n  Port 2200\n"
    )
    host = load(copy).host("slave")
    assert (host.ssh_host, host.address) == ("slave", "10.11.12.242"), "as Vagrant's ssh-config names it"


def test_where_only_127_0_0_1_is_there_nodes_take_their_own_ports() -> None:
    found = inventory.load(SHIPPED / "local.yml", listens=lambda address: False)
    assert [(host.address, host.postgresql.port) for host in found.hosts] == [
        ("127.0.0.1", 54241),
        ("127.0.0.1", 54242),
        ("127.0.0.1", 54243),
    ]


def test_this_machine_is_asked_for_its_addresses() -> None:
    from provision.inventory.hosts import can_listen

    assert can_listen("127.0.0.1")
    assert not can_listen("192.0.2.1")  # a documentation address: nobody has it


def test_groups_nest_and_hosts_keep_their_order(write: Write) -> None:
    found = load(
        write(
            "hosts.yml",
            """\
            all:
              hosts:
                lone:
              children:
                dc1:
                  children:
                    web: {hosts: {w2: , w1: }}
                    db:
                      hosts: {"db[01:03]": }
                dc2: {hosts: {w1: {role: spare}}}
            """,
        )
    )
    assert [host.name for host in found.hosts] == ["lone", "w2", "w1", "db01", "db02", "db03"]
    assert found.groups["dc1"] == ("w2", "w1", "db01", "db02", "db03")
    assert found.groups["ungrouped"] == ("lone",)
    assert found.host("w1").groups == ("dc1", "dc2", "web")
    assert found.host("w1").vars == {"role": "spare"}
    assert [host.name for host in found.group("dc2")] == ["w1"]


def test_nearer_scopes_win(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          vars: {a: all, b: all, c: all, d: all, e: all, f: all, g: all}
          children:
            parent:
              vars: {b: parent, c: parent, d: parent, e: parent, f: parent, g: parent}
              children:
                child:
                  vars: {c: child, d: child, e: child, f: child, g: child}
                  hosts:
                    h: {f: host, g: host}
        """,
    )
    write("group_vars/all.yml", "d: group_vars all\ne: group_vars all\nf: group_vars all\n")
    write("group_vars/child/main.yml", "e: group_vars child\nf: group_vars child\n")
    write("host_vars/h.yaml", "g: host_vars\n")
    found = load(path)
    assert found.host("h").vars == {
        "a": "all",
        "b": "parent",
        "c": "child",
        "d": "group_vars all",  # as in Ansible, group_vars/all beats what the inventory file says of any group
        "e": "group_vars child",
        "f": "host",
        "g": "host_vars",
    }


def test_priority_and_name_order_groups_of_one_depth(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          children:
            b: {vars: {x: b, y: b}, hosts: {h: }}
            c: {vars: {x: c, y: c}, hosts: {h: }}
            a: {vars: {y: a, ansible_group_priority: 10}, hosts: {h: }}
        """,
    )
    values = load(path).host("h").vars
    assert (values["x"], values["y"]) == ("c", "a")


def test_own_sections_merge_key_by_key_and_other_values_replace(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          vars:
            postgresql: {port: 5433, settings: {work_mem: 8MB, jit: off}}
            free: {a: 1, b: 2}
          hosts:
            h:
              postgresql: {version: 17, settings: {work_mem: 16MB}}
              free: {a: 3}
        """,
    )
    host = load(path).host("h")
    assert (host.postgresql.port, host.postgresql.version) == (5433, 17)
    assert host.postgresql.settings == {"work_mem": "16MB", "jit": False}
    assert host.vars["free"] == {"a": 3}


def test_a_folder_is_an_inventory(write: Write, tmp_path: Path) -> None:
    write("prod/10-hosts", "[nodes]\none\n")
    write("prod/20-more.yml", "nodes: {hosts: {two: }, vars: {x: 1}}\n")
    write("prod/notes.md", "not an inventory")
    write("prod/group_vars/nodes.yml", "x: 2\n")
    found = load(tmp_path / "prod")
    assert found.name == "prod"
    assert [host.name for host in found.group("nodes")] == ["one", "two"]
    assert {host.vars["x"] for host in found.hosts} == {2}
    assert [file.name for file in found.files] == ["10-hosts", "20-more.yml", "nodes.yml"]


def test_several_files_are_one_inventory(write: Write) -> None:
    found = load(write("a.yml", "all: {hosts: {one: {x: 1}}}"), write("b.yml", "all: {hosts: {one: {x: 2}, two: }}"))
    assert found.name == "a"
    assert [host.name for host in found.hosts] == ["one", "two"]
    assert found.host("one").vars["x"] == 2


def test_ini(write: Write) -> None:
    path = write(
        "hosts",
        """\
        # a comment
        lone ansible_host=192.0.2.7 ansible_port=2222

        [nodes]
        pg[1:2] ansible_user=deploy note="two words"  # another
        pg3:2200

        [nodes:vars]
        ansible_become=true
        number=5
        text = plain words

        [site:children]
        nodes
        """,
    )
    found = load(path)
    assert [host.name for host in found.hosts] == ["lone", "pg1", "pg2", "pg3"]
    assert (found.host("lone").ssh_host, found.host("lone").port) == ("192.0.2.7", 2222)
    assert found.host("pg3").port == 2200
    one = found.host("pg1")
    assert one.user == "deploy"
    assert one.become is not None
    assert one.groups == ("site", "nodes")
    assert one.vars["note"] == "two words"
    assert (one.vars["number"], one.vars["text"]) == (5, "plain words")


def test_variables_of_ansible_reach_a_host(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          hosts:
            h:
              ansible_connection: smart
              ansible_host: 192.0.2.9
              ansible_port: "2222"
              ansible_user: deploy
              ansible_ssh_private_key_file: keys/deploy
              ansible_password: !env SSH_PASSWORD
              ansible_host_key_checking: no
              ansible_become: yes
              ansible_become_user: admin
              ansible_become_password: !command "pass show sudo"
              ansible_python_interpreter: /usr/bin/python3
        """,
    )
    host = load(path).host("h")
    assert (host.connection, host.ssh_host, host.port, host.user) == (ConnectionKind.SSH, "192.0.2.9", 2222, "deploy")
    assert host.address == "192.0.2.9"
    assert host.key_file == path.parent / "keys" / "deploy"
    assert host.host_keys is HostKeys.OFF
    assert host.password is not None and str(host.password) == "!env SSH_PASSWORD"
    assert host.become is not None and host.become.user == "admin"
    assert host.become.password is not None and host.become.password.text == "pass show sudo"


def test_another_ssh_config_is_used_if_it_is_there(write: Write) -> None:
    path = write("prod/hosts.yml", "all:\n  vars: {ssh: {config: ../ssh_config}}\n  hosts: {a: }\n")
    found = load(path)
    missing = path.parents[1] / "ssh_config"
    assert [str(notice) for notice in found.warnings] == [
        f"{path}:2: there is no {missing}: ssh's usual configuration is used"
    ]
    assert found.host("a").ssh_config is None
    write("ssh_config", "Host a\n")
    assert load(path).host("a").ssh_config == missing
    assert load(path).warnings == ()


def test_own_variables_beat_those_of_ansible(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          hosts:
            h: {ansible_host: 192.0.2.9, ansible_port: 22, address: 10.0.0.9, ssh: {port: 2222}, become: {user: admin}}
            i: {ansible_become_user: admin, ansible_connection: openssh}
            j: {become: no, ansible_become: yes}
        """,
    )
    found = load(path)
    host = found.host("h")
    assert (host.address, host.ssh_host, host.port) == ("10.0.0.9", "192.0.2.9", 2222)
    assert host.become is not None and host.become.user == "admin"
    assert found.host("i").become is None
    assert found.host("i").connection is ConnectionKind.OPENSSH
    assert found.host("j").become is None


REPLICATION = """\
all:
  hosts: {a: , b: }
  vars:
    replication:
      catalog: {host: a}
      databases: {one: {host: a}, two: {host: b, dbname: Two, capture: wal, options: {sslmode: require}}}
      herds: {h: {database: one, tables: all, exclude: pgbench_history, sequences: all}}
      syncs:
"""


@pytest.mark.parametrize(
    ("given", "attribute", "expected"),
    [
        ("checktime: 30s", "checktime", timedelta(seconds=30)),
        ("checktime: 1.5h", "checktime", timedelta(minutes=90)),
        ("checktime: 500ms", "checktime", timedelta(milliseconds=500)),
        ("checktime: 90", "checktime", timedelta(seconds=90)),
        ("makedelta: yes", "makedelta", MakeDelta.YES),
        ("makedelta: off", "makedelta", MakeDelta.NO),
        ("makedelta: auto", "makedelta", MakeDelta.AUTO),
        ("onetimecopy: off", "onetimecopy", OneTimeCopy.OFF),
        ("onetimecopy: 2", "onetimecopy", OneTimeCopy.EMPTY),
        ("onetimecopy: 1", "onetimecopy", OneTimeCopy.ALWAYS),
        ("strategy: target", "strategy", "target"),
        ("strategy: [two, one]", "strategy", "two, one"),
        ("strategies: {notes: sql:s.f}", "strategies", {"notes": "sql:s.f"}),
        ("counters: n", "counters", ("n",)),
        ("counters: [n, t.m]", "counters", ("n", "t.m")),
        (
            "hooks: {h: {when: after_sync, call: sql:f, tables: t, timeout: 5s}}",
            "hooks",
            {"h": HookSettings(when=Moment.AFTER_SYNC, call="sql:f", tables=("t",), timeout=timedelta(seconds=5))},
        ),
        ("sequences: none", "sequences", Numbers.NONE),
        ("autokick: yes", "sequences", Numbers.INTERLEAVE),
        ("sequence_step: 64", "sequence_step", 64),
        ("autokick: no", "autokick", False),
        ("paused: true", "paused", True),
    ],
)
def test_values_of_a_sync(write: Write, given: str, attribute: str, expected: object) -> None:
    text = REPLICATION + f"        s: {{type: swap, source: h, targets: two, {given}}}\n"
    declared = load(write("hosts.yml", text)).replication
    assert declared is not None
    assert getattr(declared.syncs["s"], attribute) == expected


def test_values_of_databases_and_herds(write: Write) -> None:
    declared = load(write("hosts.yml", REPLICATION.removesuffix("      syncs:\n"))).replication
    assert declared is not None
    assert declared.databases["one"].dbname is None
    assert declared.databases["two"].options == {"sslmode": "require"}
    assert [declared.databases[name].capture for name in ("one", "two")] == [Capture.TRIGGERS, Capture.WAL]
    assert declared.herds["h"].tables == declared.herds["h"].sequences == "all"
    assert declared.herds["h"].exclude == ("pgbench_history",)
    assert (declared.install, declared.role, declared.catalog.dbname) == ("pgherd", "bucardo", "pgherd")


def test_the_version_has_a_default_where_pgherd_installs(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          hosts:
            a:
            b: {postgresql: {source: distribution}}
            c: {postgresql: {source: pgdg, version: "14"}}
        """,
    )
    assert [host.postgresql.version for host in load(path).hosts] == [16, None, 14]


def test_what_is_allowed_and_dangerous_is_said(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          vars:
            postgresql:
              auth: trust
              access:
                - {user: app, database: app, from: 10.0.0.0/8, auth: trust}
            ssh: {host_keys: off}
            ansible_ssh_common_args: -o PKCS11Provider=x
            db_password: hunter2
          hosts: {a: , b: }
          children: {a: {hosts: {b: }}}
        """,
    )
    found = load(path)
    assert found.host("a").postgresql.auth is Auth.TRUST
    assert [(notice.mark.line, notice.message.split()[0]) for notice in found.warnings] == [
        (4, "auth:"),
        (6, "auth:"),
        (7, "host_keys:"),
        (8, "PKCS11Provider"),
        (9, "db_password"),
        (11, "'a'"),
    ]
    assert str(found.warnings[0]).startswith(f"{path}:4: auth: trust lets")
    assert not any("hunter2" in str(notice) for notice in found.warnings)


def test_remote_hosts_must_learn_where_the_replicator_is(write: Write) -> None:
    text = (
        "all:\n  hosts: {a: }\n  vars:\n    replication:\n      catalog: {host: a}\n      databases: {x: {host: a}}\n"
    )
    assert load(write("hosts.yml", text)).warnings == (), "it runs on one of them"
    text += "      runs_on: control\n"
    (notice,) = load(write("hosts.yml", text)).warnings
    assert (notice.mark.line, notice.message[:28]) == (4, "allow_from is not given: the")
    assert load(write("hosts.yml", text + "      allow_from: 192.0.2.1\n")).warnings == ()
    assert load(write("hosts.yml", text + "    connection: local\n")).warnings == ()


@pytest.mark.parametrize("how", ["become: {user: ann}", "become: yes\n    ansible_become_user: ann"])
def test_another_user_than_root_is_warned_about(write: Write, how: str) -> None:
    text = "all:\n  hosts: {a: }\n  vars:\n    "
    (notice,) = load(write("hosts.yml", f"{text}{how}\n")).warnings
    assert notice.message == "hosts are set up as root, not as ann: leave the user of become out"
    assert load(write("hosts.yml", f"{text}{how}\n".replace("ann", "root"))).warnings == ()


SYNCED = """\
    all:
      vars:
        replication:
          catalog: {host: c}
          databases: {x: {host: a}, y: {host: b}}
          herds: {h: {database: y, tables: [t]}}
          syncs: {s: {type: pushdelta, source: h, targets: x}}
      hosts: {a: , b: , c: }
"""


LOCAL = ", ".join(f"{name}: {{connection: local, address: 127.0.0.{n}}}" for n, name in enumerate("abc", 2))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("", ""), "b"),  # the first that a sync reads from
        (("          syncs: {s: {type: pushdelta, source: h, targets: x}}\n", ""), "c"),  # the catalog's
        (("catalog:", "runs_on: a\n          catalog:"), "a"),
        (("catalog:", "runs_on: control\n          catalog:"), None),
        (("a: , b: , c: ", LOCAL), None),
        (("a: , b: , c: ", "a: , b: {connection: local}, c: "), None),  # that master is on this machine
    ],
)
def test_who_runs_the_replicator(write: Write, change: tuple[str, str], expected: str | None) -> None:
    found = runner(load(write("hosts.yml", SYNCED.replace(*change))))
    assert (found and found.name) == expected


def test_the_host_of_the_replicator_may_log_in_although_it_is_no_node(write: Write) -> None:
    text = SYNCED.replace("catalog: {host: c}", "runs_on: d\n          catalog: {host: a}")
    found = load(write("hosts.yml", text.replace("c: }", "d: {address: 192.0.2.7}}")))
    rules = hba_rules(found, found.host("a"))
    assert "192.0.2.7/32" in {rule.address for rule in rules}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("runs_on: d", "found the unknown host 'd'"),
        ("install_from: nowhere", "expected control, or the address of a package index"),
    ],
)
def test_wrong_words_about_the_replicator(write: Write, line: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        load(write("hosts.yml", SYNCED.replace("catalog:", f"{line}\n          catalog:")))


def test_secrets_are_named_and_not_fetched(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          vars:
            postgresql: {superuser_password: !env SUPERUSER}
            pool: {password: !command "exit 1"}
            replication:
              role_password: !env ROLE
              catalog: {host: a}
              databases: {one: {host: a}}
          hosts: {a: , b: }
        """,
    )
    found = load(path)
    assert {str(source) for source in found.secrets} == {"!env SUPERUSER", "!command exit 1", "!env ROLE"}
    assert len(found.secrets) == 3
    password = found.host("a").postgresql.superuser_password
    assert isinstance(password, SecretSource) and password.mark.line == 3


def test_where_and_origin_name_lines(write: Write) -> None:
    path = write("hosts.yml", REPLICATION + "        s: {type: swap, source: h, targets: two}\n")
    write("group_vars/all.yml", "x: 1\n")
    write("host_vars/a.yml", "\n\nx: 2\n")
    found = load(path)
    assert str(found.where("syncs", "s", "targets")) == f"{path}:9"
    assert str(found.where("herds", "h", "nothing of the kind")) == f"{path}:7"
    assert [str(origin) for origin in found.origin("a", "x")] == [
        f"{path.parent}/group_vars/all.yml:1 (group all)",
        f"{path.parent}/host_vars/a.yml:3 (host a)",
    ]
    assert found.origin("b", "y") == ()


def test_limit(write: Write) -> None:
    path = write("hosts.yml", 'all: {children: {web: {hosts: {"w[1:3]": }}, db: {hosts: {d1: , w3: }}}}')
    found = load(path)
    assert [host.name for host in found.limit("web:!db")] == ["w1", "w2"]
    with pytest.raises(InputError, match=r"no host or group is called 'wep'; did you mean 'web'\?"):
        found.limit("wep")


def test_state_dir(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write("prod.yml", "all: {hosts: {a: }}")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert load(path).state_dir == Path("/var/lib/pgherd/prod")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert load(path).state_dir == Path("/state/pgherd/prod")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(path).state_dir == Path("/home/somebody/.local/state/pgherd/prod")
    given = write("other.yml", "all: {hosts: {a: }, vars: {state_dir: state}}")
    assert load(given).state_dir == tmp_path / "state"


def test_yaml_of_1_1_with_anchors(write: Write) -> None:
    path = write(
        "hosts.yml",
        """\
        all:
          vars:
            base: &base {x: yes, y: off}
            derived: {<<: *base, y: 0o17, z: 017}
          hosts: {on: , 10: {address: 192.0.2.1}}
        """,
    )
    found = load(path)
    assert [host.name for host in found.hosts] == ["on", "10"]
    assert found.host("on").vars["derived"] == {"x": True, "y": "0o17", "z": 15}
