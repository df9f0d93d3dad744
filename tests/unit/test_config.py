"""The configuration file: where it is looked for, what it may hold, and what is said of a wrong one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from replicator import config
from replicator.errors import ConfigError

GOOD = """\
install = "east"
passfile = "passwords"
run_dir = "run"
log_file = "/var/log/x.log"
unit = "pgherd-replicator"
warn_behind = "12h"
warn_kept = "500MB"

[catalog]
dbname = "pgherd"
host = "127.0.0.1"
port = 5433
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any configuration, in an empty folder."""
    monkeypatch.delenv("PGHERD_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_all_settings_are_read(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path / "replicator.toml"))
    assert loaded.install.name == "east"
    assert loaded.catalog == {"dbname": "pgherd", "host": "127.0.0.1", "port": "5433"}
    assert loaded.passfile == tmp_path / "passwords"
    assert loaded.run_dir == tmp_path / "run"
    assert loaded.log_file == Path("/var/log/x.log")
    assert loaded.unit == "pgherd-replicator"
    assert (loaded.warn_behind, loaded.warn_kept) == (timedelta(hours=12), 500 * 1024**2)


def test_only_the_catalog_is_needed(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path / "replicator.toml", '[catalog]\ndbname = "pgherd"'))
    assert loaded.install.name == "pgherd"
    assert loaded.passfile is None
    assert loaded.unit == ""
    assert (loaded.warn_behind, loaded.warn_kept) == (timedelta(days=1), 10 * 1024**3)
    assert loaded.run_dir == config.Config.run_dir


def test_paths_do_not_depend_on_the_working_directory(home: Path) -> None:
    write(home / "sub" / "replicator.toml")
    loaded = config.load(Path("sub/replicator.toml"))
    assert loaded.path == home / "sub" / "replicator.toml"
    assert loaded.passfile == home / "sub" / "passwords"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "[catalog] must give at least dbname"),
        ("catalog = 1", "[catalog] must give at least dbname"),
        ('[catalog]\nhost = "x"', "[catalog] must give at least dbname"),
        ('[catalog]\ndbname = "x"\npassword = "hunter2"', "holds a password; put it into the file"),
        ('instal = "x"\n[catalog]\ndbname = "x"', "unknown setting 'instal'"),
        ('install = "no-dash"\n[catalog]\ndbname = "x"', "'no-dash' is not a name"),
        ('install = 7\n[catalog]\ndbname = "x"', "7 is not a name"),
        ('run_dir = ""\n[catalog]\ndbname = "x"', "run_dir must be a path"),
        ('passfile = 3\n[catalog]\ndbname = "x"', "passfile must be a path"),
        ('unit = "a b"\n[catalog]\ndbname = "x"', "unit: 'a b' is not the name of a service"),
        ('warn_behind = "soon"\n[catalog]\ndbname = "x"', "warn_behind: 'soon' is not a duration"),
        ('warn_kept = 7\n[catalog]\ndbname = "x"', "warn_kept: '7' is not a size such as 500MB"),
        ("[catalog\n", "line 1"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path / "replicator.toml", text)
    with pytest.raises(ConfigError) as raised:
        config.load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert complaint in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_a_mistake_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml"):
        config.load(tmp_path / "binary.toml")


def test_places_are_tried_in_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = write(home / "config" / "pgherd" / "replicator.toml")
    assert config.find() == users
    here = write(home / "replicator.toml")
    assert config.find().resolve() == here
    named = write(home / "elsewhere.toml")
    monkeypatch.setenv("PGHERD_CONFIG", str(named))
    assert config.find() == named
    assert config.find(here) == here


def test_none_found_names_the_places_and_the_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = config.search_path()[:2]  # the system's folder is not this test's: a lab may have written there
    monkeypatch.setattr(config, "search_path", lambda: places)
    with pytest.raises(ConfigError) as raised:
        config.find()
    assert str(home / "config") in str(raised.value)
    assert "provision deploy" in str(raised.value)


@pytest.mark.usefixtures("home")
def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: there is no such configuration file"):
        config.find(Path("gone.toml"))
    monkeypatch.setenv("PGHERD_CONFIG", "gone2.toml")
    with pytest.raises(ConfigError, match=r"gone2\.toml"):
        config.find()
