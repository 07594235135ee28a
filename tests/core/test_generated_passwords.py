"""No generated password stays in clear, however what carries it quotes it."""

import json
import random
import shlex
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from tests.tiers import seed, tenth

from thence.core.secrets import Masking, SecretRules
from thence.core.vocabulary import PLAIN

MASKING = Masking(SecretRules())
PASSWORDS, CHARACTERS = 3_000, 20
PRINTABLE = string.ascii_letters + string.digits + string.punctuation


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def in_yaml(password: str) -> str:
    return "'" + password.replace("'", "''") + "'"


def in_double_quotes(password: str, escaped: str = '\\"') -> str:
    return '"' + "".join(f"\\{each}" if each in escaped else each for each in password) + '"'


def in_shell_quotes(password: str) -> str:
    return "'" + password.replace("'", "'\\''") + "'"


def in_toml(password: str) -> str:
    return in_double_quotes(password) if "'" in password else f"'{password}'"


def in_triple_quotes(password: str) -> str:
    return '"""' + password.replace("\\", "\\\\").replace('"', '\\"') + '"""'


# how a carrier writes what stands in it: « is where its own text ends, » where it goes on
CARRIERS: dict[str, Callable[[str], str]] = {
    "JSON": lambda word: '{"user": "ada", "password": «' + json.dumps(word) + '», "port": 5432}',
    "JSON, compact": lambda word: '{"password":«' + json.dumps(word) + '»,"port":"5432"}',
    "JSON in JSON": lambda word: as_json(
        {"body": as_json({"password": f"«{word}»", "port": "5432"}), "a": "b"}
    ),
    "JSON in JSON in JSON": lambda word: as_json(
        [as_json({"a": as_json({"token": f"«{word}»", "b": "c"})}), "d"]
    ),
    "Python": lambda word: f"password = «{word!r}»\nuser = 'ada'",
    "Python, a keyword": lambda word: f"connect(user='ada', password=«{word!r}»)",
    "YAML, single quotes": lambda word: f"db:\n  password: «{in_yaml(word)}»\n  user: 'ada'",
    "YAML, double quotes": lambda word: f"password: «{in_double_quotes(word)}»\nuser: ada",
    "export by shlex": lambda word: f"export DB_PASSWORD=«{shlex.quote(word)}» && run 'it' 'now'",
    "export by bash": lambda word: f"export DB_PASSWORD=«{in_shell_quotes(word)}»; run 'it'",
    "NAME=VALUE, single quotes": lambda word: f"DB_PASSWORD=«{in_shell_quotes(word)}»\nA='b'",
    "NAME=VALUE, double quotes": lambda word: (
        f'DB_PASSWORD=«{in_double_quotes(word, chr(92) + "$`" + chr(34))}»\nA="b"'
    ),
    "--option=": lambda word: f"run --password=«{shlex.quote(word)}» --user='ada'",
    "--option": lambda word: f"run --password «{shlex.quote(word)}» --user 'ada'",
    "address": lambda word: f"see postgres://ada:«{quote(word, safe='')}»@db.example/prod?a=b",
    "header": lambda word: f"> GET / HTTP/1.1\n> X-Auth-Token: «{word}»\n> Accept: */*",
    "header with a scheme": lambda word: f"Authorization: Bearer «{word}»\nAccept: */*",
    "header of curl": lambda word: f"curl -H {shlex.quote(f'X-Auth-Token: «{word}»')} -H 'A: b'",
    "TOML": lambda word: f'[db]\npassword = «{in_toml(word)}»\nuser = "ada"',
    ".env": lambda word: f"API_TOKEN=«{in_double_quotes(word)}»\nUSER=ada",
    "Markdown": lambda word: f"- **User:** ada\n- **Password:** «{word}»\n\nand more",
    "triple quotes": lambda word: f"password = «{in_triple_quotes(word)}»\nuser = '''ada'''",
}


def passwords(name: str) -> list[str]:
    drawn = random.Random(seed(name))
    count = tenth(PASSWORDS, PASSWORDS // 10)
    return ["".join(drawn.choices(PRINTABLE, k=CHARACTERS)) for _ in range(count)]


def clear_parts(password: str, carrier: Callable[[str], str]) -> str:
    """Returns what stays of a password, and what goes of the text around it; nothing at best."""
    marked = carrier(password)
    before, _, rest = marked.partition("«")
    written, _, after = rest.rpartition("»")
    masked = MASKING.text(before + written + after)
    # what a carrier puts around a value may stay, and so may such a character of a password's own
    inner = masked.removeprefix(before).removesuffix(after)
    is_around = masked.startswith(before) and masked.endswith(after)
    left = inner.replace("[redacted: password]", "").replace("[redacted: authorization]", "")
    return "" if is_around and not left.strip("\"'`\\,;)}]") and len(left) < 9 else masked


@pytest.mark.promise("S10b")
@pytest.mark.whole
@pytest.mark.parametrize("carrier", CARRIERS)
def test_generated_password_goes_whole_and_what_carries_it_stays(carrier: str) -> None:
    drawn = passwords(carrier)
    left = [
        f"{each}: {masked}" for each in drawn if (masked := clear_parts(each, CARRIERS[carrier]))
    ]
    assert not left, f"{len(left)} of {len(drawn)}: " + "\n".join(left[:10])


@pytest.mark.whole
def test_generated_password_under_the_name_of_a_secret_goes_whole() -> None:
    for name in ("password", "DB_PASSWORD", "authorization"):
        for password in passwords(name):
            payload: dict[str, Any] = {"a": 1, "deep": [{name: password}]}
            rule = "password"
            masked = MASKING.payload(payload, PLAIN)
            assert masked == {"a": 1, "deep": [{name: f"[redacted: {rule}]"}]}
