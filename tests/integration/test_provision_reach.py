"""The control machine at the catalog and the nodes of hosts that it reaches by SSH alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from provision.inventory import load, runner
from provision.tasks import Site
from provision.tasks.replication import summary
from provision.tasks.replication.reach import Reach
from replicator import errors
from replicator.catalog import Catalog
from replicator.model import Database
from replicator.postgres import fetch_one
from tests.fixtures import sshd
from tests.fixtures.servers import WITH_PASSWORD, Server, free_port
from tests.fixtures.sshd import Sshd

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")


@pytest.fixture
def site(host: Sshd, server: Server, tmp_path: Path) -> Iterator[Site]:
    """One host, `only`, with the catalog, whose password was generated here and set there."""
    tree = {
        "all": {
            "vars": {
                "state_dir": str(tmp_path / "state"),
                "tls": False,
                "ssh": {"host": sshd.ADDRESS, "port": host.port, "user": host.user, "config": str(host.config)},
                "postgresql": {"port": server.port},
                "replication": {
                    "catalog": {"host": "only", "dbname": "reach_catalog"},
                    "role": WITH_PASSWORD,
                    "databases": {"x": {"host": "only"}},
                },
            },
            "hosts": {"only": {"address": server.host}},
        }
    }
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(tree))
    (tmp_path / "state").mkdir()
    found = Site.of(load(path), generate=True)
    assert runner(found.inventory) == found.inventory.host("only")
    password = found.role_password.reveal()
    server.execute(
        f"set password_encryption = 'scram-sha-256'; create role {WITH_PASSWORD} login password '{password}'"
    )
    server.execute(f"create database reach_catalog owner {WITH_PASSWORD}")
    yield found
    server.execute("drop database reach_catalog")
    server.execute(f"drop role {WITH_PASSWORD}")


def test_the_catalog_is_reached_without_a_file_and_with_the_password(site: Site) -> None:
    with Reach(site) as reach:
        connector = reach.connector()
        assert "password" not in connector.config.catalog
        Catalog.init(connector)
        with Catalog.open(connector, "test") as catalog:
            assert catalog.topology().syncs == {}
            assert not catalog.locked("master")
    assert {path.name for path in site.inventory.state_dir.iterdir()} <= {"secrets.yml", "secrets.yml.lock"}


def test_nodes_are_reached_by_the_same_way(site: Site, host: Sshd, server: Server) -> None:
    before = host.log.count("Accepted publickey")
    node = Database(name="x", dbname="postgres", host=server.host, port=server.port, user=WITH_PASSWORD)
    with Reach(site) as reach:
        connector = reach.connector()
        for _ in range(3):
            with connector.open(node, "test", autocommit=True) as connection:
                assert fetch_one(connection, "select current_user") == (WITH_PASSWORD,)
                assert connection.info.port != server.port, "it goes through the tunnel"
    assert host.log.count("Accepted publickey") == before + 1, "one login for all of them"


def test_a_host_that_does_not_answer_is_an_error_of_the_replicators(site: Site) -> None:
    """So it is one link's trouble, and no more, to whoever looks at all of them."""
    (path,) = site.inventory.files
    tree = yaml.safe_load(path.read_text())
    tree["all"]["vars"]["ssh"]["port"] = free_port()
    path.write_text(yaml.safe_dump(tree))
    with Reach(Site.of(load(path))) as reach, pytest.raises(errors.Unreachable, match=r"only: .*Is it up"):
        Catalog.open(reach.connector(), "test")


def test_status_says_what_there_is_where_nothing_has_been_deployed(site: Site) -> None:
    found = summary(site)
    assert (found.host, found.pid, found.syncs) == ("only", None, ())
    assert found.trouble == "it has not been set up; `provision deploy` does that"
