"""A release is built twice to the same bytes, and what keeps it from being uploaded is said."""

import io
import shutil
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
    def told(message=None, file="thence-1.2.tar.gz", changelog=CHANGELOG, tags=""):
        return list(release.problems(message or metadata(), [file], changelog, tags))

    assert not told()
    assert told(file="thence-1.1.tar.gz") == ["thence-1.1.tar.gz is not of version 1.2"]
    assert told(changelog="## 1.1\n") == ["CHANGELOG.md has no section 1.2"]
    assert "lead to the tag" in told(metadata(readme="[why](docs/why.md)"))[0]
    assert (
        "lead to the tag" in told(metadata(readme="[w](https://example.org/thence/blob/v1/w)"))[0]
    )
    assert not told(tags="v1.2\nbefore-the-move\n")
    assert told(tags="v1.2\nv1.3\n1.1\n") == [
        f"HEAD has the tag {tag}, but its version is 1.2" for tag in ("v1.3", "1.1")
    ]
    stray = metadata()
    stray["Project-URL"] = "Homepage, https://example.com/thence"
    assert any("is not under" in line for line in told(stray))


def test_what_is_open_is_told_and_the_reserved_address_comes_last():
    told = list(release.untried(metadata(), {"3.11"}, " M README.md"))
    assert [line.split()[0] for line in told] == ["uncommitted", "not"]
    assert not list(release.untried(metadata(), {"3.13"}, ""))
    dated, chosen = "## 1.2 (2027-01-01)\n", metadata("https://forge.test/thence")
    assert not list(release.obstacles(chosen, dated))
    assert list(release.obstacles(chosen, CHANGELOG)) == ["CHANGELOG.md has no date for 1.2 yet"]
    assert list(release.obstacles(chosen, "## 1.2\n")) == ["CHANGELOG.md has no date for 1.2 yet"]
    *_, last = release.obstacles(metadata(), CHANGELOG)
    assert "the forge is still the reserved one" in last


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A release without its minutes: one file of each kind is built, and every trial succeeds."""

    def build(place, *, from_sdist=False):
        (place / "tree").mkdir(parents=True)
        (place / "tree" / "CHANGELOG.md").write_text(changelog)
        dist = archives(place / "dist")
        with zipfile.ZipFile(dist / "thence-1.2-py3-none-any.whl", "a") as wheel:
            wheel.writestr(zipfile.ZipInfo("thence-1.2.dist-info/METADATA"), bytes(message))
        return dist

    changelog, message = CHANGELOG, metadata()
    ran = []

    def chosen(text, address):
        nonlocal changelog, message
        changelog, message = text, metadata(address)
        return ran

    def run(argv, *_):
        ran.append([str(word) for word in argv])
        return ""

    monkeypatch.setattr(release, "DIST", tmp_path / "dist")
    monkeypatch.setattr(release, "build", build)
    monkeypatch.setattr(release, "run", run)
    monkeypatch.setattr(release, "pythons", lambda: ["python3"])
    monkeypatch.setattr(release, "try_out", lambda *_: ("3.13", ["msgspec 0.23  BSD-3-Clause"]))
    return chosen


def test_release_for_upload_is_refused_until_nothing_stands_against_it(built, tmp_path, capsys):
    """Without FOR=upload it is made, and says what is open; in no case anything is uploaded."""
    ran = built(CHANGELOG, "https://example.org/thence")
    assert release.main([]) == 0
    assert "the forge is still the reserved one" in capsys.readouterr().out
    assert len(list((tmp_path / "dist").iterdir())) == 2
    for text, address, reason in (
        (CHANGELOG, "https://forge.test/thence", "no date for 1.2"),
        ("## 1.2, 2027-01-01\n", "https://example.org/thence", "the reserved one"),
    ):
        shutil.rmtree(tmp_path / "dist", ignore_errors=True)
        built(text, address)
        assert release.main(["upload"]) == 1
        assert reason in capsys.readouterr().err
        assert not (tmp_path / "dist").exists()
    built("## 1.2, 2027-01-01\n", "https://forge.test/thence")
    assert release.main(["upload"]) == 0
    assert "nothing was uploaded" in capsys.readouterr().out
    assert not [words for words in ran if "upload" in words]


def test_release_is_for_upload_or_for_nothing(built, capsys):
    built(CHANGELOG, "https://example.org/thence")
    assert release.main(["uplaod"]) == 1
    assert "FOR=upload" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("members", "licence"),
    [
        ({"License-Expression": "MIT OR Apache-2.0"}, "MIT OR Apache-2.0"),
        ({"Classifier": "License :: OSI Approved :: BSD License", "License": "new"}, "BSD License"),
        ({"License": "Apache 2.0"}, "Apache 2.0"),
        ({"License": "License agreement\n\n1. This"}, "License agreement"),
        ({"License-Expression": "LGPL-3.0-only"}, "LGPL-3.0-only (copyleft)"),
        ({"License": "MPL-2.0"}, "MPL-2.0 (copyleft)"),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License v2 (GPLv2)"},
         "GNU General Public License v2 (GPLv2) (copyleft)"),
        ({"Classifier": "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"},
         "Mozilla Public License 2.0 (MPL 2.0) (copyleft)"),
        ({"Classifier": "License :: OSI Approved"}, "unknown"),
        ({}, "unknown"),
    ],
)  # fmt: skip
def test_licence_of_a_dependency_is_that_of_its_metadata(members, licence):
    message = Message()
    for name, text in members.items():
        message[name] = text
    assert release.licence(message) == licence


def test_licences_of_what_is_installed_are_listed_by_name(tmp_path):
    for name, said in (("Zoo", "MIT"), ("ant", "EUPL-1.2"), ("thence", "Apache-2.0")):
        folder = tmp_path / "lib" / "python3.13" / "site-packages" / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        text = f"Name: {name}\nVersion: 1.0\nLicense-Expression: {said}\n\nWords.\n"
        (folder / "METADATA").write_text(text)
    assert release.licences(tmp_path) == ["ant 1.0  EUPL-1.2 (copyleft)", "Zoo 1.0  MIT"]


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
    assert {"docs/index.md", "docs/reference/errors.md", "docs/reference/formats/wire.md"} <= sdist
    assert not kept & {"tests", "bench"}
