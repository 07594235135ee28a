"""What masking changes in a payload, and what it leaves."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.sync.test_secret_rules import SECRETS

from thence.core.codec import draft
from thence.core.event import EventFields, decoded
from thence.core.secrets import Masking, SecretRules
from thence.core.vocabulary import PLAIN

OWN = SecretRules([("letters", re.compile("z[a-y]+z"))], ["card.number", "pin"])
TEXTS = st.text("az \n=:\"'.", max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "card", "number", "pin", "zaz"]), inner)
    ),
    max_leaves=10,
)


def masked(payload: dict[str, Any], rules: SecretRules = OWN) -> dict[str, Any]:
    """Return the members of an event with this payload, masked."""
    item = draft(EventFields("A" * 26, "note", 1, "2026-11-20T07:13:00.123456Z", payload=payload))
    result = Masking(rules).draft(item, PLAIN)
    line = result.head + result.tail + b"}"
    members: dict[str, Any] = decoded(line)
    assert rules.found_in(line) is None, "what is masked would be parked"
    assert Masking(rules).draft(result, PLAIN) == result, "what is masked would be masked again"
    return members


def expected(value: Any, path: str, names: str, listed: list[str]) -> Any:
    """Mask by the plain rule: what no rule matches stays, of the same type, in its place."""
    is_member = names.endswith((".card.number", ".pin"))
    if is_member and value is not None and not isinstance(value, bool):
        listed.append(path)
        return f"[redacted: {'card.number' if names.endswith('number') else 'pin'}]"
    if isinstance(value, str):
        replaced = re.sub("z[a-y]+z", "[redacted: letters]", value)
        listed += [path] * (replaced != value)
        return replaced
    if isinstance(value, list):
        return [expected(each, f"{path}[{n}]", names, listed) for n, each in enumerate(value)]
    if isinstance(value, dict):
        found = {}
        for key, each in value.items():
            listed += [f"{path}.(key)"] * (key == "zaz")
            name = "[redacted: letters]" if key == "zaz" else key
            found[name] = expected(each, f"{path}.{name}", f"{names}.{key}", listed)
        return found
    return value


@given(st.dictionaries(st.sampled_from(["a", "card", "pin", "zaz"]), VALUES, min_size=1))
def test_nothing_changes_but_what_a_rule_matches(payload: dict[str, Any]) -> None:
    found = masked(payload)
    listed: list[str] = []
    wanted = expected(payload, "payload", ".payload", listed)
    assert repr(found["payload"]) == repr(wanted)
    assert found.get("repairs", []) == [{"path": path} for path in listed]


@pytest.mark.parametrize("rule", SECRETS)
def test_whole_secret_goes_and_what_is_around_it_stays(rule: str) -> None:
    for secret in SECRETS[rule]:
        found = masked({"a": f"before {secret}\n after", "b": "x"}, SecretRules())["payload"]
        assert found["b"] == "x"
        assert found["a"].startswith("before ")
        assert f"[redacted: {rule}]" in found["a"]
        assert not re.search(
            "correcthorse|abc12345|abcdefg8|0123456789|EXAMPLE|MIIE|c2ln|hunter2|YWRh", str(found)
        )


def test_secret_that_another_one_hid_is_masked_too() -> None:
    text = "AK" + "IAIOSFODNN7EXAMPLE" + "gh" + "p_" + "a" * 36
    found = masked({"a": text}, SecretRules())["payload"]["a"]
    assert found == "[redacted: aws-access-key][redacted: github-token]"
    last = SecretRules([("last", re.compile("a(?!a)"))])
    assert masked({"b": "x " + "a" * 3}, last)["payload"]["b"] == "x " + "[redacted: last]" * 3
    assert masked({"b": "x " + "a" * 30}, last)["payload"]["b"] == "[redacted: last]"


def test_member_that_is_named_as_the_content_itself_is_one_within_it() -> None:
    rules = SecretRules(members=["payload"])
    found = masked({"payload": 1, "b": {"payload": [2]}}, rules)["payload"]
    assert found == {"payload": "[redacted: payload]", "b": {"payload": "[redacted: payload]"}}


def test_rest_of_a_secret_goes_with_its_beginning() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
    texts = {
        f"a {key} b": "a [redacted: private-key] b",
        "a password='ab cd efghij' b": "a password='[redacted: password]' b",
        "a password='abcdefgh ij' b": "a password='[redacted: password]' b",
        'a token="abcdefgh\\"ij" b': 'a token="[redacted: password]" b',
        "a secret=abcdefgh'i$j b": "a secret=[redacted: password] b",
        "s" + "k-" + "a" * 90 + " b": "[redacted: api-key] b",
        "gh" + "p_" + "a" * 60 + ". b": "[redacted: github-token]. b",
    }
    for text, wanted in texts.items():
        assert masked({"a": text}, SecretRules())["payload"]["a"] == wanted
    assert masked({"my_token": "some words"}, SecretRules())["payload"] == {
        "my_token": "[redacted: password]"
    }


@given(TEXTS, st.sampled_from([each for some in SECRETS.values() for each in some]), TEXTS)
def test_what_is_masked_is_not_parked(before: str, secret: str, after: str) -> None:
    masked({"a": before + secret + after, secret: [after]}, SecretRules())


def test_secret_is_found_and_masked_however_deep_it_stands() -> None:
    payload: Any = "zaz"
    for level in range(200):
        payload = [payload] if level % 2 else {"a": payload}
    line = b'{"payload":{"a":%s"zaz"%s}}' % (b'[{"a":' * 98, b"}]" * 98)
    found = OWN.found_in(line)
    assert found
    assert found.rule == "letters"
    assert "zaz" not in str(masked({"a": payload}))


def test_many_keys_that_are_masked_are_all_kept_in_time_that_grows_with_their_number() -> None:
    payload = {f"z{'ab'[number % 2] * (number + 1)}z": number for number in range(900)}
    found = masked(payload)["payload"]
    assert sorted(found.values()) == list(range(900))
    assert {name.rstrip("_") for name in found} == {"[redacted: letters]"}


ODD = st.text('\x01\n\té中😀\\"u007:= ', max_size=6)


@example("", "password\n\n\n\n=\n\n\n\nhunter22222", "")
@given(ODD, st.sampled_from([each for some in SECRETS.values() for each in some]), ODD)
def test_secret_is_seen_in_a_line_however_its_characters_are_escaped(before, secret, after):
    text = before + secret + after
    rules = SecretRules()
    names = {rule for _, _, rule in rules.spans(rules.built_in, "", text)}
    as_numbers = "".join(f"\\u{ord(each):04x}" for each in secret)
    one_as_number = f"\\u{ord(secret[0]):04x}" + json.dumps(secret[1:])[1:-1]
    for inside in (json.dumps(secret)[1:-1], as_numbers, one_as_number):
        line = f'"{json.dumps(before)[1:-1]}{inside}{json.dumps(after)[1:-1]}"'.encode()
        assert json.loads(line) == text
        possible = rules.possible(b'{"a":%b}' % line) or ()
        assert names <= {rule.name for rule in possible}
        assert names == {rule for _, _, rule in rules.spans(possible, "", text)}
