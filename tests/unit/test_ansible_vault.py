"""`!vault` values, as ansible-vault of ansible-core 2.19 made them, open by Ansible's passphrase or by ours."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from provision.errors import InputError
from provision.inventory import load
from provision.secrets import Keeper, Passphrase, Secret, Vault, unlocker
from provision.secrets.ansible_vault import Unknown, open_vault
from provision.secrets.sealed import Damaged, WrongPassphrase

WORD = "ansible passphrase"
FIRST = """\
$ANSIBLE_VAULT;1.1;AES256
66393430663638396165383031366664313632326263643965326335316366656365363164356130
3163323461646161643836626630373266323035336565660a323034303666393034326133636164
34373035626638653733336563666533323465666634613036363332323037633161653332633435
3964663561353963650a653837393863613563336561636664336131653436366536386431393530
3638
"""
LABELLED = """\
$ANSIBLE_VAULT;1.2;AES256;prod
30306466353933646134353263376139666339326533343663373034313163366633656237626461
6435353038363435353038623731616533343232316132640a626236656137396165633839353039
38313239636131663166323461393439623133306130336238613962373336303866366265363065
6636336631353237310a366264363932353739363830336663333835316633313635376339393131
62343737636530326236386563383032653937326339363531363431323265353934633866633037
37626466323061643434376535373534613333636632306365613634336639396565663062623531
63326164646131653135623432373265633431326434316563396564393561356632366262326630
66313438333139663335
"""
WHOLE = """\
$ANSIBLE_VAULT;1.1;AES256
36383065303635616466323633353734313934306564646466303061333438323365363233386162
6263613966613030353063343664313664623333366161370a633961323862353462343337636539
34366236373737373563623036353266666461306162376562643565393038353135623561666636
6630663066363764380a353632336534353633643635663133663031636632336661343232393864
39623866316630643061343534393033633135343162353466336533393631663264636539356232
63623134313037393237366636656361383339326336303766393039663736373463633034353835
363134366661393838366132366138373532
"""
"""The file's text: vault_super: "hunter2!", vault_sudo: hunter3!, vault_port: 5433."""
LONG = "ümläut and a longer text that fills more than one block of the cipher"


@pytest.mark.parametrize(("text", "value"), [(FIRST, "hunter2!"), (LABELLED, LONG)])
def test_what_ansible_has_encrypted_opens(text: str, value: str) -> None:
    assert open_vault(text, Secret(WORD)) == value
    with pytest.raises(WrongPassphrase):
        open_vault(text, Secret("wrong"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (FIRST.replace("1.1;AES256", "1.0;AES"), Unknown),
        (FIRST.replace("1.1", "2.0"), Unknown),
        ("nonsense", Unknown),
        (FIRST.splitlines()[0], Damaged),
        (FIRST[:-2], Damaged),
        (FIRST[:120], Damaged),
        (FIRST.replace("3638\n", "3639\n"), WrongPassphrase),
    ],
)
def test_what_is_damaged_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_vault(text, Secret(WORD))


def keeper(tmp_path: Path, environment: dict[str, str], *values: str) -> tuple[Keeper, Path]:
    """The keeper of an inventory with these values."""
    path = tmp_path / "hosts.yml"
    rows = "".join(f"    v{n}: !vault |\n{textwrap.indent(value, ' ' * 6)}" for n, value in enumerate(values))
    path.write_text(f"all:\n  vars:\n    connection: local\n{rows}\n  hosts: {{a: }}\n")
    return Keeper(tmp_path / "state", Vault(tmp_path / "secrets.enc", Passphrase(environment))), path


def test_a_value_in_an_inventory(tmp_path: Path) -> None:
    found, path = keeper(tmp_path, {"PGHERD_PASSPHRASE": WORD}, FIRST, LABELLED)
    sources = load(path).secrets
    assert [found.fetch(source).reveal() for source in sources] == ["hunter2!", LONG]
    assert {str(source) for source in sources} == {"!vault"}
    assert found.mask("it is hunter2!") == "it is ***"


def test_ansibles_own_passphrase_file(tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text(f"  {WORD}\n")
    word.chmod(0o600)
    environment = {"ANSIBLE_VAULT_PASSWORD_FILE": str(word), "PGHERD_PASSPHRASE": "another"}
    found, path = keeper(tmp_path, environment, FIRST)
    assert found.fetch(load(path).secrets[0]).reveal() == "hunter2!"
    word.write_text(f"#!/bin/sh\necho '{WORD}'\n")
    word.chmod(0o700)
    found, path = keeper(tmp_path, dict(environment), FIRST)
    assert found.fetch(load(path).secrets[0]).reveal() == "hunter2!"
    word.chmod(0o644)
    found, path = keeper(tmp_path, dict(environment), FIRST)
    with pytest.raises(InputError, match="others can read these secrets"):
        found.fetch_all(load(path).secrets)


def test_mistakes_are_one_sentence_with_their_line(tmp_path: Path) -> None:
    found, path = keeper(tmp_path, {"PGHERD_PASSPHRASE": "wrong"}, FIRST, LABELLED)
    with pytest.raises(InputError) as caught:
        found.fetch_all(load(path).secrets)
    assert str(caught.value) == f"{path}:4: the passphrase of !vault is wrong"
    found, path = keeper(tmp_path, {"PGHERD_PASSPHRASE": WORD}, FIRST[:-2] + "\n", "$ANSIBLE_VAULT;1.0;AES\n00\n")
    with pytest.raises(InputError) as caught:
        found.fetch_all(load(path).secrets)
    assert [str(fault) for fault in caught.value.faults] == [
        f"{path}:4: what stands after !vault is damaged",
        f"{path}:11: found '$ANSIBLE_VAULT;1.0;AES' after !vault, expected $ANSIBLE_VAULT;1.1;AES256 or 1.2",
    ]


def whole(tmp_path: Path, text: str) -> Path:
    """An inventory that gets its secrets from an encrypted file, as Ansible's users have it."""
    (tmp_path / "group_vars" / "all").mkdir(parents=True)
    (tmp_path / "group_vars" / "all" / "vault.yml").write_text(text)
    path = tmp_path / "hosts.yml"
    path.write_text(
        "all:\n  vars:\n    postgresql: {superuser_password: '{{ vault_super }}'}\n"
        "    ansible_become_password: '{{ vault_sudo }}'\n  hosts: {a: }\n"
    )
    return path


def test_a_file_that_is_encrypted_as_a_whole(tmp_path: Path) -> None:
    found = load(whole(tmp_path, WHOLE), unlock=unlocker(Passphrase({"PGHERD_PASSPHRASE": WORD})))
    host = found.host("a")
    ours = Keeper(tmp_path / "state", Vault(tmp_path / "secrets.enc", Passphrase({})))
    source = host.postgresql.superuser_password
    assert source and ours.fetch(source).reveal() == "hunter2!"
    assert host.become is None
    assert {ours.fetch(source).reveal() for source in found.secrets} == {"hunter2!", "hunter3!"}
    assert host.vars["vault_port"] == 5433, "what is no text stays what it is"
    assert "hunter" not in repr(found) + repr(found.secrets) + str(host.vars)


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("WHOLE", "wrong", "the passphrase is wrong"),
        ("DAMAGED", WORD, "what Ansible Vault has encrypted is damaged"),
        ("$ANSIBLE_VAULT;3.0;AES256\n00\n", WORD, "found '$ANSIBLE_VAULT;3.0;AES256', expected $ANSIBLE_VAULT;1.1"),
    ],
)
def test_a_file_that_does_not_open_is_named(tmp_path: Path, text: str, word: str, said: str) -> None:
    text = {"WHOLE": WHOLE, "DAMAGED": WHOLE[:-3]}.get(text, text)
    path = whole(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load(path, unlock=unlocker(Passphrase({"PGHERD_PASSPHRASE": word})))
    assert f"{tmp_path}/group_vars/all/vault.yml:1: {said}" in str(caught.value)


@pytest.mark.parametrize("text", ["vault_super: *hunter2", "vault_super: 2020-13-77", "vault_super: [hunter2"])
def test_a_file_whose_text_is_no_yaml_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = whole(tmp_path, FIRST)
    with pytest.raises(InputError) as caught:
        load(path, unlock=lambda _, __: text)
    assert "group_vars/all/vault.yml:" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("hunter2", "2020"))


def test_a_value_cannot_be_a_part_of_a_text(tmp_path: Path) -> None:
    _, path = keeper(tmp_path, {}, FIRST)
    path.write_text(path.read_text().replace("connection: local", "connection: local\n    state_dir: 'x {{ v0 }}'"))
    with pytest.raises(InputError, match="!vault is a secret, which cannot be a part of a text") as caught:
        load(path)
    assert "6639" not in str(caught.value)
