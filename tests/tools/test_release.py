"""A release is built twice to the same bytes, and what keeps it from being uploaded is said."""

import io
import tarfile
import zipfile
from email.message import Message

import pytest
from tools import release

CHANGELOG = "# Changelog\n\n## 1.2, not released yet\n"


def metadata(address: str = "https://example.org/thence", readme: str | None = None) -> Message:
    message = Message()
    message["Version"] = "1.2"
    message["Classifier"] = "Programming Language :: Python :: 3 :: Only"
    message["Classifier"] = "Programming Language :: Python :: 3.13"
    message["Project-URL"] = f"Source, {address}"
    message["Project-URL"] = f"Issues, {address}/issues"
    message.set_payload(readme or f"[why]({address}/blob/v1.2/docs/why.md)")
    return message


def archives(folder, text="a = 1\n", mode=0o644):
    """A wheel and an sdist that hold one file."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "thence-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(zipfile.ZipInfo("thence/a.py"), text)
    with tarfile.open(folder / "thence-1.2.tar.gz", "w") as sdist:
        member = tarfile.TarInfo("thence-1.2/a.py")
        member.size, member.mode = len(text), mode
        sdist.addfile(member, io.BytesIO(text.encode()))
    return folder


def test_equal_builds_have_no_difference(tmp_path):
    first, second = archives(tmp_path / "first"), archives(tmp_path / "second")
    assert not list(release.differences(first, second))


def test_difference_is_named_by_its_member(tmp_path):
    first = archives(tmp_path / "first")
    second = archives(tmp_path / "second", text="a = 2\n")
    assert list(release.differences(first, second)) == [
        "thence-1.2-py3-none-any.whl: thence/a.py",
        "thence-1.2.tar.gz: thence-1.2/a.py",
    ]
    third = archives(tmp_path / "third", mode=0o600)
    (told,) = release.differences(first, third)
    assert told == "thence-1.2.tar.gz: times, modes or the order of members"
    (second / "thence-1.2.tar.gz").unlink()
    assert "thence-1.2.tar.gz was built once" in list(release.differences(first, second))


def test_what_does_not_fit_the_version_is_a_problem():
    def told(message=None, file="thence-1.2.tar.gz", changelog=CHANGELOG):
        return list(release.problems(message or metadata(), [file], changelog))

    assert not told()
    assert told(file="thence-1.1.tar.gz") == ["thence-1.1.tar.gz is not of version 1.2"]
    assert told(changelog="## 1.1\n") == ["CHANGELOG.md has no section 1.2"]
    assert "lead to the tag" in told(metadata(readme="[why](docs/why.md)"))[0]
    assert (
        "lead to the tag" in told(metadata(readme="[w](https://example.org/thence/blob/v1/w)"))[0]
    )
    stray = metadata()
    stray["Project-URL"] = "Homepage, https://example.com/thence"
    assert any("is not under" in line for line in told(stray))


def test_reserved_address_is_the_last_line_until_it_is_replaced():
    *_, last = release.reservations(metadata(), {"3.13"}, CHANGELOG, " M README.md")
    assert "the forge is still the reserved one" in last
    chosen = metadata("https://forge.test/thence")
    assert not list(release.reservations(chosen, {"3.13"}, "## 1.2 (2027-01-01)\n", ""))
    told = list(release.reservations(chosen, {"3.11"}, CHANGELOG, " M README.md"))
    assert [line.split()[0] for line in told] == ["uncommitted", "not", "CHANGELOG.md"]


def test_failed_command_shows_what_it_printed():
    with pytest.raises(release.ReleaseError, match="it broke"):
        release.run(["sh", "-c", "echo it broke; exit 3"])


@pytest.mark.rest
def test_head_is_built_twice_to_the_same_bytes(tmp_path):
    """The second wheel is built from an sdist; the masks of new files differ."""
    first = release.build(tmp_path / "first")
    second = release.build(tmp_path / "second", from_sdist=True)
    assert not list(release.differences(first, second))
    sdist = {name.partition("/")[2] for name in release.members(next(first.glob("*.gz")))}
    kept = {name.partition("/")[0] for name in sdist}
    assert kept >= {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "src", "scenarios"}
    assert not kept & {"tests", "docs", "bench"}
