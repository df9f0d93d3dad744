"""Secrets in a file that only a passphrase opens: what is sealed, where the passphrase comes from, what is refused."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from provision.errors import InputError
from provision.inventory import Mark, SecretSource, load
from provision.secrets import Keeper, Passphrase, Secret, Vault
from provision.secrets import sealed as sealing
from provision.secrets.passphrase import long_enough
from provision.secrets.sealed import Damaged, WrongPassphrase, seal, unseal

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "secrets.md"
WORD = "correct horse battery"
ENTRIES = {
    "db/super": "hunter2!",
    "key": "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END KEY-----",
    "ü": "ö",
}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing may be cheap here; what is sealed says itself what it cost."""
    monkeypatch.setattr(sealing, "COST", {"n": 16, "r": 8, "p": 1})


def vault(path: Path, word: str = WORD) -> Vault:
    return Vault(path, Passphrase({"PGHERD_PASSPHRASE": word}))


def filled(path: Path, **entries: str) -> Vault:
    with vault(path).changing() as found:
        found.update(entries)
    return vault(path)


def test_what_is_sealed_comes_out_again_and_shows_nowhere() -> None:
    text = seal(ENTRIES, Secret(WORD))
    assert unseal(text, Secret(WORD)) == ENTRIES
    assert not any(part in text for part in (*ENTRIES, *ENTRIES.values(), WORD))
    assert seal(ENTRIES, Secret(WORD)) != text, "salts and nonces differ"


def test_the_file_opens_without_provision_as_the_page_says(tmp_path: Path) -> None:
    (recipe,) = re.findall(r"^```python\n(.+?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert "provision" not in recipe
    (tmp_path / "secrets.enc").write_text(seal(ENTRIES, Secret("the passphrase")))
    done = subprocess.run([sys.executable, "-c", recipe], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{ENTRIES}\n"


ASKED = {
    "pass": "show db/superuser",
    "op": "read op://Servers/postgres/password",
    "sops": 'decrypt --extract ["db"]["superuser"] secrets.sops.yaml',
    "vault": "kv get -field=password secret/postgres",
}
"""What each password manager is to be asked: a program that stands in for it knows nothing else."""


@pytest.mark.parametrize("manager", ASKED)
def test_password_managers_are_asked_as_the_page_says(
    tmp_path: Path, manager: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = re.findall(r"`(!command .+)` ?[|]", PAGE.read_text())
    assert len(written) == len(ASKED)
    program = tmp_path / manager
    program.write_text(f"#!/bin/sh\n[ \"$*\" = {shlex.quote(ASKED[manager])} ] && printf 'hunter2!\\nmore\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (line,) = (line for line in written if line.startswith(f'!command "{manager} '))
    (tmp_path / "hosts.yml").write_text(f"all: {{vars: {{become: {{password: {line}}}}}, hosts: {{a: }}}}")
    (source,) = load(tmp_path / "hosts.yml").secrets
    assert Keeper(tmp_path / "state").fetch(source).reveal() == "hunter2!"


def test_guessing_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    cost = json.loads(seal({}, Secret(WORD)))["scrypt"]
    assert 128 * cost["n"] * cost["r"] >= 64 * 1024 * 1024, "memory for each guess"


def test_a_wrong_passphrase_is_told_from_a_damaged_file() -> None:
    text = seal(ENTRIES, Secret(WORD))
    with pytest.raises(WrongPassphrase):
        unseal(text, Secret("wrong"))
    middle = text.index('"fernet"') + 60
    for damaged in (
        "",
        "{}",
        text[:-20],
        text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :],
        text.replace('"n": 16', '"n": 32'),
        text.replace('"pgherd_secrets": 1', '"pgherd_secrets": 2'),
        text.replace('"n": 16', f'"n": {2**40}'),
    ):
        with pytest.raises(Damaged):
            unseal(damaged, Secret(WORD))


def test_the_file_is_made_for_its_owner_and_written_whole(tmp_path: Path) -> None:
    filled(tmp_path / "secrets.enc", one="1111")
    with vault(tmp_path / "secrets.enc").changing() as entries:
        entries["two"] = "2222"
    assert vault(tmp_path / "secrets.enc").entries() == {"one": "1111", "two": "2222"}
    assert stat.S_IMODE((tmp_path / "secrets.enc").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.enc"]


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    filled(tmp_path / "real.enc", one="1111")
    (tmp_path / "secrets.enc").symlink_to("real.enc")
    filled(tmp_path / "secrets.enc", two="2222")
    assert (tmp_path / "secrets.enc").is_symlink()
    assert set(vault(tmp_path / "real.enc").entries()) == {"one", "two"}


def test_an_error_within_changes_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "secrets.enc", one="1111")
    before = (tmp_path / "secrets.enc").read_text()
    with pytest.raises(RuntimeError), vault(tmp_path / "secrets.enc").changing() as entries:
        entries.clear()
        raise RuntimeError
    with vault(tmp_path / "secrets.enc").changing():
        pass
    assert (tmp_path / "secrets.enc").read_text() == before


def test_changes_at_once_all_arrive(tmp_path: Path) -> None:
    path = tmp_path / "secrets.enc"
    filled(path, first="value")
    threads = [threading.Thread(target=filled, args=(path,), kwargs={f"name{n}": "value"}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(vault(path).entries()) == 9


def test_rekey(tmp_path: Path) -> None:
    filled(tmp_path / "secrets.enc", one="1111").rekey(Secret("another passphrase"))
    with pytest.raises(InputError, match="the passphrase is wrong"):
        vault(tmp_path / "secrets.enc").entries()
    assert vault(tmp_path / "secrets.enc", "another passphrase").entries() == {"one": "1111"}


def test_each_mistake_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "secrets.enc"
    with pytest.raises(InputError, match=r"^\S+secrets.enc: there is no such file; `provision .+` makes it$"):
        vault(path).entries()
    filled(path, one="hunter2")
    with pytest.raises(InputError) as wrong:
        vault(path, "wrong").entries()
    assert str(wrong.value) == f"{path}: the passphrase is wrong"
    assert wrong.value.__suppress_context__
    path.write_text(path.read_text()[:-9])
    with pytest.raises(InputError, match=r"secrets.enc: is damaged, or no file of secrets that this version knows"):
        vault(path).entries()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is damaged"):
        vault(path).entries()
    with pytest.raises(InputError, match="cannot be written: No such file"), vault(tmp_path / "no" / "f").changing():
        pass
    with pytest.raises(InputError, match="fewer than 8 characters"):
        long_enough(Secret("short"))


def test_a_new_file_wants_a_passphrase_of_some_length(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fewer than 8"), vault(tmp_path / "s.enc", "short").changing() as entries:
        entries["one"] = "value"
    assert not list(tmp_path.iterdir())


def test_the_passphrase_leaves_the_environment() -> None:
    environment = {"PGHERD_PASSPHRASE": WORD, "HOME": "/"}
    passphrase = Passphrase(environment)
    assert environment == {"HOME": "/"}
    assert passphrase.get("it").reveal() == WORD
    assert WORD not in repr(vars(passphrase))


def test_a_passphrase_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text(f"{WORD}\r\nand more\n")
    path.chmod(0o600)
    assert Passphrase({"PGHERD_PASSPHRASE_FILE": str(path), "PGHERD_PASSPHRASE": "other"}).get("it").reveal() == WORD
    path.chmod(0o640)
    with pytest.raises(InputError, match=r"found mode 0640, expected 0600: others can read these secrets"):
        Passphrase({"PGHERD_PASSPHRASE_FILE": str(path)}).get("it")
    path.chmod(0o600)
    path.write_text("\n")
    with pytest.raises(InputError, match="the first line is empty, expected the passphrase there"):
        Passphrase({"PGHERD_PASSPHRASE_FILE": str(path)}).get("it")
    with pytest.raises(InputError, match="nowhere: the passphrase cannot be read: No such file"):
        Passphrase({"PGHERD_PASSPHRASE_FILE": str(tmp_path / "nowhere")}).get("it")


def test_a_passphrase_from_a_command(tmp_path: Path) -> None:
    command = f"echo x >>{tmp_path}/runs; echo '{WORD}'; echo more"
    passphrase = Passphrase({"PGHERD_PASSPHRASE_COMMAND": command})
    assert passphrase.get("it").reveal() == passphrase.get("it").reveal() == WORD
    assert (tmp_path / "runs").read_text() == "x\n"
    with pytest.raises(InputError, match=r"`echo locked >&2; exit 3` .* failed with code 3: locked"):
        Passphrase({"PGHERD_PASSPHRASE_COMMAND": "echo locked >&2; exit 3"}).get("it")


def test_a_keeper_fetches_entries_and_masks_them(tmp_path: Path) -> None:
    filled(tmp_path / "secrets.enc", **ENTRIES)
    keeper = Keeper(tmp_path / "state" / "secrets.yml", vault(tmp_path / "secrets.enc"))
    mark = Mark("hosts.yml", 7)
    assert keeper.fetch(SecretSource("secret", "db/super", mark)).reveal() == "hunter2!"
    assert keeper.mask("it is hunter2!") == "it is ***"
    with pytest.raises(InputError) as caught:
        keeper.fetch(SecretSource("secret", "db/supr", mark))
    assert str(caught.value) == f"hosts.yml:7: {tmp_path}/secrets.enc has no entry 'db/supr'; did you mean 'db/super'?"
    keeper.fetch(SecretSource("secret", "key", mark))
    assert keeper.mask("MIIEvQIBADANBgkqhkiG9w0BAQ") == "***", "a line of a key by itself"


def test_a_file_that_does_not_open_is_said_once(tmp_path: Path) -> None:
    filled(tmp_path / "secrets.enc", one="1111", two="2222")
    keeper = Keeper(tmp_path / "state" / "secrets.yml", vault(tmp_path / "secrets.enc", "wrong"))
    with pytest.raises(InputError) as caught:
        keeper.fetch_all([SecretSource("secret", name, Mark("hosts.yml", 7)) for name in ("one", "two")])
    assert str(caught.value) == f"{tmp_path}/secrets.enc: the passphrase is wrong"


def test_an_inventory_says_where_the_file_is(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("all: {vars: {connection: local, become: {password: !secret sudo}}, hosts: {a: }}")
    found = load(path)
    assert found.secrets_file == tmp_path / "secrets.enc"
    assert [str(source) for source in found.secrets] == ["!secret sudo"]
    path.write_text("all: {vars: {connection: local, secrets_file: ../vault.enc}, hosts: {a: }}")
    assert load(path).secrets_file == tmp_path.parent / "vault.enc"
    path.write_text("all: {vars: {connection: local, secrets_file: [a]}, hosts: {a: }}")
    with pytest.raises(InputError, match="expected a path"):
        load(path)


def test_a_folder_of_inventory_files_may_hold_the_file(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {vars: {connection: local}, hosts: {a: }}")
    filled(tmp_path / "secrets.enc", one="1111")
    assert load(tmp_path).secrets_file == tmp_path / "secrets.enc"
    assert [host.name for host in load(tmp_path).hosts] == ["a"]
