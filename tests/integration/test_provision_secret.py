"""`provision secret` as people use it: by pipes, by files, at a terminal, with an editor; and what others see of it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.cli import Program, Result
from tests.fixtures.wait import until

WORD = "correct horse battery"
PROVISION = str(Path(sys.executable).parent / "provision")
INVENTORY = """\
all:
  vars:
    connection: local
    state_dir: state
    postgresql: {source: embedded, superuser_password: !secret db/super}
  hosts: {a: }
"""


@pytest.fixture
def secret(program: Program) -> Program:
    (program.folder / "hosts.yml").write_text(INVENTORY)
    path = program.folder / "passphrase"
    path.write_text(WORD + "\n")
    path.chmod(0o600)
    program.env["PGHERD_PASSPHRASE_FILE"] = str(path)
    return program


def run(program: Program, word: str, *args: object, stdin: str = "") -> Result:
    return program("provision", "secret", word, "hosts.yml", *args, stdin=stdin)


def at_terminal(folder: Path, words: list[str], answers: list[str]) -> tuple[int, str]:
    """Run a command at a terminal of its own and type the answers, each when it is asked for; code and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PGHERD_")} | {"TERM": "dumb"}
        os.execve(PROVISION, ["provision", *words], environment)
    out = b""
    for answer in answers:
        asked = len(out)
        while not out[asked:].rstrip(b" ").endswith(b":"):
            out += os.read(terminal, 1000)
        os.write(terminal, answer.encode() + b"\n")
    try:
        while more := os.read(terminal, 1000):
            out += more
    except OSError:
        pass  # Linux tells the end of a terminal by EIO
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), out.decode()


def test_from_set_to_remove(secret: Program) -> None:
    assert run(secret, "set", "db/super", stdin="hunter2!\n").ok().out == "db/super: added in secrets.enc\n"
    run(secret, "set", "other", "--generate").ok()
    assert run(secret, "get", "db/super").ok().out == "hunter2!\n"
    assert len(run(secret, "get", "other").ok().out) == 33
    assert run(secret, "list").ok().out == "db/super  hosts.yml:5\nother\n"
    assert "replaced" in run(secret, "set", "db/super", stdin="hunter3!").ok().out
    assert run(secret, "get", "db/super").ok().out == "hunter3!\n"
    removed = run(secret, "remove", "db/super").ok()
    assert removed.err == "warning: hosts.yml:5 still refers to it\n"
    assert run(secret, "list").ok().out == "db/super  MISSING  hosts.yml:5\nother\n"
    assert secret("provision", "secret", "list", "secrets.enc").ok().out == "other\n"
    assert (secret.folder / "secrets.enc").stat().st_mode & 0o777 == 0o600


def test_an_inventory_gets_its_secret_and_shows_it_nowhere(secret: Program) -> None:
    run(secret, "set", "db/super", stdin="hunter2!\n").ok()
    plan = secret("provision", "--debug", "plan", "hosts.yml", "--diff").ok()
    assert "create role postgres" not in plan.out  # initdb makes it, with the password on its standard input
    assert "data directory" in plan.out
    assert "hunter2" not in plan.out + plan.err


@pytest.mark.parametrize("word", ["plan", "status"])
def test_a_wrong_passphrase_ends_every_command_with_one_sentence(secret: Program, word: str) -> None:
    run(secret, "set", "db/super", stdin="hunter2!\n").ok()
    (secret.folder / "passphrase").write_text("something else\n")
    refused = secret("provision", word, "hosts.yml").exits(2)
    assert refused.err == "provision: secrets.enc: the passphrase is wrong\n"
    traced = secret("provision", "--debug", word, "hosts.yml").exits(2)
    assert "something else" not in traced.err and "hunter2" not in traced.err


def test_mistakes_are_one_sentence(secret: Program) -> None:
    assert run(secret, "get", "x").exits(2).err == (
        "provision: secrets.enc: there is no such file; `provision secret set INVENTORY NAME` makes it\n"
    )
    assert "found no value for x" in run(secret, "set", "x").exits(2).err
    assert "found the name 'a b'" in run(secret, "set", "a b", stdin="v").exits(2).err
    assert not (secret.folder / "secrets.enc").exists()
    run(secret, "set", "db/super", stdin="v").ok()
    assert "did you mean 'db/super'?" in run(secret, "get", "db/supr").exits(2).err
    (secret.folder / "passphrase").chmod(0o644)
    assert "others can read these secrets" in run(secret, "list").exits(2).err


def test_without_a_terminal_it_says_how_to_give_the_passphrase(secret: Program) -> None:
    done = subprocess.run(
        [PROVISION, "secret", "set", "hosts.yml", "x"],
        cwd=secret.folder,
        input="value",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # so without a controlling terminal, wherever the tests run
    )
    assert done.returncode == 2
    assert "no terminal is here to ask at: give it by --passphrase-file FILE, or by PGHERD_" in done.stderr
    assert done.stderr.count("\n") == 1


def test_at_a_terminal_it_asks_and_does_not_show(secret: Program) -> None:
    first = ["secret", "set", "hosts.yml", "db/super"]
    code, out = at_terminal(secret.folder, first, ["hunter2!", "hunter2!", WORD, WORD])
    assert code == 0 and "added in secrets.enc" in out
    assert "hunter2" not in out and WORD not in out
    code, out = at_terminal(secret.folder, ["plan", "hosts.yml"], [WORD])
    assert code == 0 and out.count("Passphrase of ") == 1
    code, out = at_terminal(secret.folder, ["secret", "rekey", "hosts.yml"], [WORD, "a new one", "a new two"])
    assert code == 2 and "the two differ; nothing was changed" in out
    code, out = at_terminal(secret.folder, ["secret", "rekey", "hosts.yml"], [WORD, "a new one", "a new one"])
    assert code == 0
    assert "the passphrase is wrong" in run(secret, "list").exits(2).err


def test_the_editor_sees_them_in_a_private_file_that_goes(secret: Program) -> None:
    run(secret, "set", "db/super", stdin="hunter2!").ok()
    script = secret.folder / "editor"
    script.write_text(
        "#!/bin/sh\n"
        'echo "$1" >seen; stat -c %a "$1" "$(dirname "$1")" >>seen\n'
        'sed -i s/hunter2/hunter3/ "$1"; echo "new: 007" >>"$1"\n'
    )
    script.chmod(0o755)
    secret.env["VISUAL"] = str(script)
    run(secret, "edit").ok()
    path, *modes = (secret.folder / "seen").read_text().split()
    assert modes == ["600", "700"]
    assert not Path(path).parent.exists()
    assert run(secret, "get", "db/super").out == "hunter3!\n"
    assert run(secret, "get", "new").out == "007\n"


@pytest.mark.parametrize(
    ("editor", "said"),
    [
        ("sh -c 'echo \"a: [hunter4\" >$0'", "line 2 is no valid YAML; nothing was changed"),
        ("sh -c 'echo \"a: {b: c}\" >$0'", "a: found no text, expected its value; nothing was changed"),
        ("false", "the editor 'false' ended with code 1; nothing was changed"),
        ("no-such-editor", "the editor 'no-such-editor' cannot be run: set EDITOR; nothing was changed"),
    ],
)
def test_an_edit_that_fails_changes_nothing(secret: Program, editor: str, said: str) -> None:
    run(secret, "set", "db/super", stdin="hunter2!").ok()
    before = (secret.folder / "secrets.enc").read_text()
    secret.env["EDITOR"] = editor
    assert run(secret, "edit").exits(2).err == f"provision: {said}\n"
    assert (secret.folder / "secrets.enc").read_text() == before


def test_rekey_by_files(secret: Program) -> None:
    run(secret, "set", "db/super", stdin="hunter2!").ok()
    new = secret.folder / "new"
    new.write_text("another passphrase\n")
    new.chmod(0o600)
    run(secret, "rekey", "--new-passphrase-file", "new").ok()
    run(secret, "list").exits(2)
    assert secret("provision", "--passphrase-file", "new", "secret", "get", "hosts.yml", "db/super").out == "hunter2!\n"


def test_no_secret_stands_in_a_process_list(secret: Program) -> None:
    """Neither the passphrase nor a value is an argument or in the environment of what is started."""
    secret.env.pop("PGHERD_PASSPHRASE_FILE")
    secret.env["PGHERD_PASSPHRASE"] = WORD
    run(secret, "set", "db/super", stdin="hunter2!").ok()
    secret.env["EDITOR"] = 'sh -c \'env >seen; tr "\\0" " " </proc/$PPID/cmdline >>seen\''
    run(secret, "edit").ok()
    seen = (secret.folder / "seen").read_text()
    assert "provision" in seen and "edit" in seen
    assert WORD not in seen and "hunter2" not in seen


def test_programs_that_are_started_do_not_inherit_secrets(secret: Program) -> None:
    run(secret, "set", "sudo", stdin="hunter2!").ok()
    (secret.folder / "remote.yml").write_text(
        "all: {vars: {connection: openssh, ssh: {password: !env WORD}, become: {password: !secret sudo}}, hosts: {a: }}"
    )
    ssh = secret.folder / "ssh"
    ssh.write_text(f"#!/bin/sh\nenv >>{secret.folder}/seen\nexit 255\n")
    ssh.chmod(0o755)
    secret.env.pop("PGHERD_PASSPHRASE_FILE")
    secret.env |= {"PGHERD_PASSPHRASE": WORD, "WORD": "hunter3!", "PATH": f"{secret.folder}:{os.environ['PATH']}"}
    secret("provision", "facts", "remote.yml").exits(4)
    seen = (secret.folder / "seen").read_text()
    assert "PATH=" in seen
    assert not any(word in seen for word in (WORD, "hunter2", "hunter3"))


def test_two_writers_do_not_lose_each_other(secret: Program) -> None:
    run(secret, "set", "db/super", stdin="hunter2!").ok()
    others = [secret.start("provision", "secret", "set", "hosts.yml", f"n{n}", "--generate") for n in range(3)]
    until(lambda: all(other.poll() == 0 for other in others), 30, "all of them to be written")
    assert run(secret, "list").ok().out.split() == ["db/super", "hosts.yml:5", "n0", "n1", "n2"]
