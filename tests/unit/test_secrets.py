"""Secrets are fetched, kept for their owner alone, proven without being told, and shown nowhere."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import os
import pickle
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from provision.errors import InputError
from provision.inventory import Mark, SecretSource
from provision.secrets import (
    Keeper,
    PassEntry,
    Secret,
    md5_verifier,
    passfile,
    proves,
    scram_verifier,
    write_private,
)

WORD = "correct horse"
MARK = Mark("hosts.yml", 7)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path / "state" / "secrets.yml")


def env(name: str) -> SecretSource:
    return SecretSource("env", name, MARK)


def command(text: str) -> SecretSource:
    return SecretSource("command", text, MARK)


class Account(BaseModel):
    password: Secret


def test_a_secret_shows_nowhere() -> None:
    secret = Secret(WORD)
    account = Account(password=secret)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", repr([secret])]
    shown += [repr(account), str(account.model_dump()), account.model_dump_json(), repr(vars(account))]
    assert not any(part in text for text in shown for part in WORD.split())
    assert secret.reveal() == WORD
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError, match="not to be pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)


def test_a_secret_is_no_text() -> None:
    with pytest.raises(ValidationError):
        Account.model_validate({"password": WORD})
    assert Secret(WORD) == Secret(WORD) != Secret("else")
    assert Secret(WORD) != WORD
    assert len({Secret(WORD), Secret(WORD)}) == 1


def test_generated_secrets_are_kept(keeper: Keeper) -> None:
    assert keeper.get("postgres") is None
    first = keeper.keep("postgres")
    assert keeper.keep("postgres") == first
    assert keeper.keep("bucardo") != first
    again = Keeper(keeper.path)
    assert again.get("postgres") == first
    assert len(first.reveal()) == 32
    keeper.forget()
    assert again.get("postgres") is None
    assert list(keeper.path.parent.iterdir()) == []
    keeper.forget()


def test_the_file_is_for_its_owner(keeper: Keeper) -> None:
    old = os.umask(0)
    try:
        keeper.keep("postgres")
    finally:
        os.umask(old)
    assert keeper.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in keeper.path.parent.iterdir()) == ["secrets.yml", "secrets.yml.lock"]
    for mode in (0o640, 0o604, 0o644, 0o660):
        keeper.path.chmod(mode)
        with pytest.raises(InputError) as caught:
            keeper.get("postgres")
        assert str(caught.value) == (
            f"{keeper.path}: found mode {mode:04o}, expected 0600: others can read these secrets."
            f" Run `chmod 600 {keeper.path}`"
        )
    keeper.path.chmod(0o400)
    assert keeper.get("postgres") is not None


@pytest.mark.parametrize("content", ["just text", "- a\n- b\n", "hunter2: [", "\tx"])
def test_a_file_that_was_damaged_is_refused_and_not_quoted(keeper: Keeper, content: str) -> None:
    write_private(keeper.path, content)
    with pytest.raises(InputError, match="found no `name: secret` lines") as caught:
        keeper.keep("postgres")
    assert "hunter2" not in str(caught.value)
    assert keeper.path.read_text() == content


def test_an_empty_file_is_as_good_as_none(keeper: Keeper) -> None:
    write_private(keeper.path, "")
    assert keeper.keep("postgres").reveal()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keeper = Keeper(tmp_path / "file" / "secrets.yml")
    with pytest.raises(InputError, match=r"secrets\.yml: cannot be written: "):
        keeper.keep("postgres")


def test_threads_and_processes_agree_on_a_secret(keeper: Keeper) -> None:
    code = "import sys, pathlib; from provision.secrets import Keeper; k = Keeper(pathlib.Path(sys.argv[1]))\n"
    code += "[k.keep(f'name{n}') for n in range(20)]"
    others = [subprocess.Popen([sys.executable, "-c", code, str(keeper.path)]) for _ in range(2)]
    threads = [threading.Thread(target=lambda: [keeper.keep(f"name{n}") for n in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    kept = yaml.safe_load(keeper.path.read_text())
    assert len(kept) == 20
    assert all(keeper.keep(name).reveal() == value for name, value in kept.items())


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_private(path, "before")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_secrets_come_from_the_environment_and_from_commands(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERUSER", WORD)
    assert keeper.fetch(env("SUPERUSER")).reveal() == WORD
    assert keeper.fetch(command("printf 'first line\\nsecond'")).reveal() == "first line"
    assert keeper.fetch(command("echo a | tr a b")).reveal() == "b"
    monkeypatch.delenv("SUPERUSER")
    assert keeper.fetch(env("SUPERUSER")).reveal() == WORD, "it is fetched once"


def test_what_was_fetched_leaves_the_environment(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERUSER", WORD)
    monkeypatch.setenv("OTHER", WORD)
    keeper.fetch(env("SUPERUSER"))
    keeper.fetch(command('echo "$OTHER"'))
    keeper.clear_environment()
    assert "SUPERUSER" not in os.environ and "OTHER" in os.environ
    assert keeper.fetch(env("SUPERUSER")).reveal() == WORD


def test_a_command_runs_once(keeper: Keeper, tmp_path: Path) -> None:
    source = command(f"echo x >> {tmp_path}/runs; echo secret")
    assert keeper.fetch(source) == keeper.fetch(source)
    assert (tmp_path / "runs").read_text() == "x\n"


def test_whatever_is_missing_is_said_at_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.setenv("HERE", WORD)
    sources = [env("NOWHERE"), env("HERE"), command("echo no such entry >&2; exit 3"), command("true")]
    with pytest.raises(InputError) as caught:
        keeper.fetch_all(sources)
    assert [str(fault) for fault in caught.value.faults] == [
        "hosts.yml:7: the environment variable NOWHERE is not set, expected it to hold the secret",
        "hosts.yml:7: `echo no such entry >&2; exit 3` failed with code 3: no such entry",
        "hosts.yml:7: `true` printed nothing, expected the secret in its first line",
    ]


def test_output_that_is_no_text_is_refused(keeper: Keeper) -> None:
    with pytest.raises(InputError, match="something else than text"):
        keeper.fetch(command("printf '\\377\\376'"))


@pytest.mark.parametrize(
    "value", ["simple", "two words", "it's", 'a"bc', "back\\slash", "co:lon", "ümläut", "a%b&c", "$x`y`"]
)
def test_mask_knows_a_secret_in_any_dress(keeper: Keeper, value: str) -> None:
    entry = PassEntry(host="h", port=1, database="d", user="u", password=keeper.know(value))
    quoted = value.replace("'", "''")
    dressed = [
        value,
        f"password '{quoted}'",
        passfile([entry]),
        json.dumps({"password": value}),
        repr(value),
        shlex.join(["login", value]),
        f"postgresql://u:{quote(value, safe='')}@h/d",
    ]
    for text in dressed:
        masked = keeper.mask(f"before {text} after")
        assert "***" in masked
        assert value not in masked
        assert masked.startswith("before ") and masked.endswith(" after")


def test_mask_takes_the_longest_first_and_leaves_the_rest(keeper: Keeper) -> None:
    keeper.know("secret")
    keeper.know("secret-and-more")
    keeper.know("abc")  # too short to be told from ordinary text
    assert keeper.mask("secret-and-more, secret; abcdef") == "***, ***; abcdef"


def test_mask_hides_verifiers_too(keeper: Keeper) -> None:
    verifier = scram_verifier(Secret(WORD))
    assert keeper.mask(f"alter role x password '{verifier}'") == "alter role x password 'SCRAM-SHA-256$***'"


def test_kept_and_fetched_secrets_are_masked(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERUSER", WORD)
    kept = keeper.keep("postgres").reveal()
    fetched = keeper.fetch(env("SUPERUSER")).reveal()
    assert keeper.mask(f"{kept} and {fetched}") == "*** and ***"
    other = Keeper(keeper.path)
    assert other.mask(kept) == kept
    other.get("postgres")
    assert other.mask(kept) == "***"


def test_passfile_escapes_what_separates_fields() -> None:
    entries = [
        PassEntry(host="127.0.0.1", port=5432, database="*", user="postgres", password=Secret("simple")),
        PassEntry(host="::1", port="*", database="a:b", user="o\\k", password=Secret("p:w\\d")),
    ]
    assert passfile(entries) == "127.0.0.1:5432:*:postgres:simple\n\\:\\:1:*:a\\:b:o\\\\k:p\\:w\\\\d\n"
    assert passfile([]) == ""


def test_passfile_refuses_line_breaks() -> None:
    entry = PassEntry(host="h", port=1, database="d", user="app", password=Secret("one\ntwo"))
    with pytest.raises(ValueError, match="the password of app holds a line break") as caught:
        passfile([entry])
    assert "two" not in str(caught.value)


def test_the_verifier_of_rfc_7677() -> None:
    """The keys behind the exchange that RFC 7677 prints: user `user`, password `pencil`."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = scram_verifier(Secret("pencil"), salt=salt, iterations=4096)
    head, keys = verifier.rsplit("$", 1)
    assert head == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    without_proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    first = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"{first},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,{without_proof}".encode()
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, message, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored
    assert hmac.digest(server, message, "sha256") == base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_verifier_proves_its_password_only(password: str, other: str) -> None:
    verifier = scram_verifier(Secret(password), iterations=1)
    assert proves(verifier, Secret(password), "app")
    if other.isascii() and password.isascii():
        assert proves(verifier, Secret(other), "app") == (other == password)


def test_salts_differ() -> None:
    assert scram_verifier(Secret(WORD)) != scram_verifier(Secret(WORD))


def test_md5_for_old_clients() -> None:
    verifier = md5_verifier(Secret("pw"), "app")
    assert verifier == "md5" + hashlib.md5(b"pwapp").hexdigest()
    assert proves(verifier, Secret("pw"), "app")
    assert not proves(verifier, Secret("pw"), "other")
    assert not proves("neither", Secret("pw"), "app")


@pytest.mark.parametrize(
    ("password", "same"),
    [
        ("I\u00adX", "IX"),  # a soft hyphen is mapped to nothing
        ("\u00aa", "a"),  # compatibility forms are folded
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),  # a no-break space is a space
    ],
)
def test_passwords_are_prepared_as_rfc_4013_says(password: str, same: str) -> None:
    assert proves(scram_verifier(Secret(password)), Secret(same), "app")


@pytest.mark.parametrize("password", ["\u0007", "\u0627\u0031", "\u00ad"])
def test_passwords_that_cannot_be_prepared_are_taken_as_they_are(password: str) -> None:
    verifier = scram_verifier(Secret(password), salt=b"salt", iterations=1)
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1)
    stored = hashlib.sha256(hmac.digest(key, b"Client Key", "sha256")).digest()
    assert base64.b64encode(stored).decode() in verifier
