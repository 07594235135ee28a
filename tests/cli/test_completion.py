import os
import shutil

import pytest
from tests.cli.installed import THENCE, ran, thence

SOURCED = 'eval "$(thence completion bash)"\n'
ASKED = """
compopt() {{ :; }}  # bash has it in a completion alone
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_thence_completion thence
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def in_bash(tmp_path, words):
    """Source the script in a real bash and ask for what completes the words."""
    script = SOURCED + ASKED.format(words=words)
    path = {"PATH": f"{THENCE.parent}:{os.environ['PATH']}"}
    done = ran("bash", "--norc", "-c", script, cwd=tmp_path, env=path).done()
    assert done.err == ""
    return done.out.split()


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("thence ver", ["verify"]),
        ("thence wh", ["why"]),
        ("thence verify --js", ["--json"]),
        ("thence sim l", ["list"]),
        ("thence sim run --verb", ["--verbosity", "--verbose"]),
        ("thence sim run --mode ''", ["async", "sync"]),
        ("thence completion ''", ["bash", "zsh", "fish"]),
        ("thence nonsense ver", ["verify"]),
        ("thence log --nonsense --js", ["--json"]),
        ("thence log zzz", []),
    ],
)
def test_bash_completes_commands_options_and_choices(tmp_path, words, completed):
    assert in_bash(tmp_path, words) == completed


def answered(tmp_path, shell, words, place):
    """Ask the command itself, as the script of a shell does, what completes some words."""
    asked = {"_THENCE_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = thence(cwd=tmp_path, env=asked)
    assert (done.code, done.err) == (0, "")
    return done.out


@pytest.mark.parametrize("words", ["thence log --log out", "thence sim resume out"])
def test_bash_completes_the_path_of_a_log(tmp_path, words):
    """Compopt works while bash completes only, so the answer is asked for itself."""
    assert answered(tmp_path, "bash", words, 3) == "file,out\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_written_as_text_and_as_json(tmp_path, shell):
    text = thence("completion", shell, cwd=tmp_path)
    assert (text.code, text.err) == (0, "")
    assert f"_THENCE_COMPLETE={shell}_complete" in text.out
    told = thence("completion", shell, "--json", cwd=tmp_path).json
    assert list(told) == ["shell", "script"]
    assert (told["shell"], told["script"].strip()) == (shell, text.out.strip())
    if shutil.which(shell):
        ran(shell, "-n", cwd=tmp_path, stdin=text.out.encode()).done()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_own_form(tmp_path, shell):
    answer = answered(tmp_path, shell, "thence ver", 1 if shell == "zsh" else "ver")
    for told in ("verify", "Check every line of a log"):
        assert told in answer
