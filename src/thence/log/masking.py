"""The settings of `[redact]`: which texts are masked as they are appended, or kept from a server.

They stand in `settings.toml` of the user's config folder, in `.thence/settings.toml` of a log, and
for a project in `.kittify/thence.toml` of its working tree; all that are there count together. They
are read when a log is opened. A file that can't be used is an error for each append and each push,
so that a slip of the pen never turns masking off; reading goes on.
"""

import errno
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from thence.errors import ThenceError
from thence.log.files.disk import config_folder
from thence.log.files.segment import own_folder

if TYPE_CHECKING:  # the rules are loaded where they are needed: their patterns take a while
    from thence.core.secrets import Masking, SecretRules

USER_FILE = "settings.toml"
PROJECT_FILE = ".kittify/thence.toml"
FILE_BYTES_MAX = 64 * 1024
RULES_MAX = 100
PATTERN_CHARACTERS_MAX = 500
_UNREACHED = frozenset((errno.ENOENT, errno.ENOTDIR))
_HINT = (
    'write [redact] and, of these, what you need: paths = ["card.number"], defaults = true, '
    'rules = [{name = "our-token", pattern = "tok_[0-9a-f]{32}"}]'
)
_PATTERN_SHOWN = re.compile(r" matching regex .*", re.DOTALL)
_Name = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_.-]{1,100}\Z")]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=PATTERN_CHARACTERS_MAX)]
# a member's name, or the names of a path joined by dots
_Member = Annotated[
    str, msgspec.Meta(pattern=r"^(?=.{1,100}\Z)[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*\Z")
]
_Few = msgspec.Meta(max_length=RULES_MAX)


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    pattern: _Pattern


class _Section(msgspec.Struct, forbid_unknown_fields=True):
    rules: Annotated[tuple[_Rule, ...], _Few] = ()
    paths: Annotated[tuple[_Member, ...], _Few] = ()
    defaults: bool = True


class _File(msgspec.Struct, forbid_unknown_fields=True):
    redact: _Section | None = None


class _Redact(NamedTuple):
    """The `[redact]` of one file."""

    rules: tuple[tuple[str, re.Pattern[str]], ...]
    members: tuple[str, ...]
    has_defaults: bool
    is_projects: bool


class RedactSettings:
    """The settings in force for a log, or the error that keeps them from being used."""

    def __init__(self, files: Sequence[_Redact] = (), error: ThenceError | None = None) -> None:
        self._files = tuple(files)
        self._error = error

    @cached_property
    def masking(self) -> "Masking | None":
        """The masking of what is appended, None without `[redact]`; raises `bad_settings`."""
        if self._error is not None:
            raise self._error
        if not self._files:
            return None
        from thence.core.secrets import Masking

        return Masking(self._rules(any(file.has_defaults for file in self._files)))

    @cached_property
    def parking(self) -> "SecretRules":
        """The rules for lines that are not brought to a server; raises `bad_settings`.

        A project, which others made, can't turn off the built-in ones for its users.
        """
        if self._error is not None:
            raise self._error
        own = [file for file in self._files if not file.is_projects]
        return self._rules(not own or any(file.has_defaults for file in self._files))

    def _rules(self, has_defaults: bool) -> "SecretRules":
        from thence.core.secrets import SecretRules

        rules = dict.fromkeys(rule for file in self._files for rule in file.rules)
        members = dict.fromkeys(name for file in self._files for name in file.members)
        return SecretRules(tuple(rules), tuple(members), has_defaults)


def read_redact_settings(folder: Path, trees: Sequence[Path] = ()) -> RedactSettings:
    """Returns the settings in force for the log in a folder.

    `trees` are working trees whose project's file counts, beside the one that a project's journal
    belongs to by its own path.
    """
    try:
        files = [_redact(*file) for file in _files(folder, trees)]
    except ThenceError as error:
        return RedactSettings(error=error)
    return RedactSettings([file for file in files if file is not None])


def _files(folder: Path, trees: Sequence[Path]) -> Iterator[tuple[Path, bytes, bool]]:
    """Yields the path and content of each file that is there, and whether it is a project's."""
    for place in (config_folder(), own_folder(folder)):
        if place is not None and (data := _read(place / USER_FILE)) is not None:
            yield place / USER_FILE, data, False
    # the working tree of a project's journal, by the path of its folder
    *_, above, parent, _ = ("", "", *folder.absolute().parts)
    own = [folder.absolute().parents[2]] if (above, parent) == (".git", "thence") else []
    for tree in dict.fromkeys((*own, *trees)):
        data = _read_in_tree(tree)
        if data is not None:
            yield tree / PROJECT_FILE, data, True


def _read(path: Path) -> bytes | None:
    """Reads a file; one in a folder that this process may not enter is not there."""
    status = None
    try:
        status = os.stat(path)
        return _content(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)
    except OSError as error:
        if status is None and error.errno in (*_UNREACHED, errno.EACCES):
            return None
        raise _failure(path, error.strerror or error) from error


def _read_in_tree(tree: Path) -> bytes | None:
    """Reads a project's file, which somebody else may have made; no link is followed."""
    from thence.git.files import TreeFiles  # no log outside of a project needs it

    path = tree / PROJECT_FILE
    try:
        return _content(TreeFiles(tree).open(PROJECT_FILE, os.O_RDONLY), path)
    except OSError as error:
        if error.errno in _UNREACHED:
            return None
        raise _failure(path, error.strerror or error) from error


def _content(descriptor: int, path: Path) -> bytes:
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _failure(path, "it is not a regular file")
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise _failure(path, f"it is longer than {FILE_BYTES_MAX} bytes")
    return data


def _redact(path: Path, data: bytes, is_projects: bool) -> _Redact | None:
    """Returns what a file says under `[redact]`, None if it says nothing."""
    import msgspec.toml  # few have settings, and it imports tomllib

    try:
        section = msgspec.toml.decode(data, type=_File).redact
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        where = f"{place.removesuffix('`')}: " if place else ""
        problem = _PATTERN_SHOWN.sub(" of only letters, digits, _ - and single dots", problem)
        raise _failure(path, f"{where}{problem}", _HINT) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _failure(path, f"it is not TOML: {error}") from None
    if section is None:
        return None
    rules = tuple(_rule(path, *numbered) for numbered in enumerate(section.rules))
    return _Redact(rules, section.paths, section.defaults, is_projects)


def _rule(path: Path, number: int, rule: _Rule) -> tuple[str, re.Pattern[str]]:
    from thence.core.secret_forms import RULES

    where = f"redact.rules[{number}], {rule.name},"
    if any(rule.name == built_in.name for built_in in RULES):
        raise _failure(path, f"{where} has the name of a built-in rule", "choose another name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pattern = re.compile(rule.pattern)
    except (re.error, OverflowError, RecursionError) as error:
        cause = f"{where} does not compile: {error}"
        raise _failure(path, cause, "write a regular expression of Python") from None
    if pattern.search(""):
        raise _failure(path, f"{where} matches an empty string")
    return rule.name, pattern


def _failure(path: Path, cause: object, hint: str = "") -> ThenceError:
    return ThenceError(
        "could not use the settings in",
        place=path,
        cause=cause,
        hint=f"{hint or 'correct it'}; until then nothing is appended or pushed to a server",
        code="bad_settings",
    )
