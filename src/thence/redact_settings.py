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
from typing import TYPE_CHECKING, Any, NamedTuple

from thence.errors import BadSettings
from thence.log.storage.disk import config_folder
from thence.log.storage.segment import own_folder

if TYPE_CHECKING:  # the rules are loaded where they are needed: their patterns take a while
    from thence.core.values.masking import Masking
    from thence.core.values.secret_rules import SecretRules

USER_FILE = "settings.toml"
PROJECT_FILE = ".kittify/thence.toml"
FILE_BYTES_MAX = 64 * 1024
RULES_MAX = 100
PATTERN_CHARACTERS_MAX = 500
_DOING = "could not use the settings in"
_NAME = re.compile(r"[0-9A-Za-z_.-]{1,100}", re.ASCII)
_SECTION = "redact"
_KEYS = ("rules", "paths", "defaults")
_RULE_KEYS = frozenset(("name", "pattern"))
_UNREACHED = frozenset((errno.ENOENT, errno.ENOTDIR))


class _Redact(NamedTuple):
    """The `[redact]` of one file."""

    rules: tuple[tuple[str, re.Pattern[str]], ...]
    members: tuple[str, ...]
    has_defaults: bool
    is_projects: bool


class RedactSettings:
    """The settings in force for a log, or the error that keeps them from being used."""

    def __init__(self, found: Sequence[_Redact] = (), error: BadSettings | None = None) -> None:
        self._found = tuple(found)
        self._error = error

    @cached_property
    def masking(self) -> "Masking | None":
        """The masking of what is appended, None without `[redact]`; raises BadSettings."""
        if self._error is not None:
            raise self._error
        if not self._found:
            return None
        from thence.core.values.masking import Masking

        return Masking(self._rules(any(each.has_defaults for each in self._found)))

    @cached_property
    def parking(self) -> "SecretRules":
        """The rules for lines that are not brought to a server; raises BadSettings.

        A project, which others made, can't turn off the built-in ones for its users.
        """
        if self._error is not None:
            raise self._error
        own = [each for each in self._found if not each.is_projects]
        return self._rules(not own or any(each.has_defaults for each in self._found))

    def _rules(self, has_defaults: bool) -> "SecretRules":
        from thence.core.values.secret_rules import SecretRules

        rules = dict.fromkeys(rule for each in self._found for rule in each.rules)
        members = dict.fromkeys(name for each in self._found for name in each.members)
        return SecretRules(tuple(rules), tuple(members), has_defaults)


def read_redact_settings(folder: Path, trees: Sequence[Path] = ()) -> RedactSettings:
    """Returns the settings in force for the log in a folder.

    `trees` are working trees whose project's file counts, beside the one that a project's journal
    belongs to by its own path.
    """
    try:
        found = [_redact(*each) for each in _files(folder, trees)]
    except BadSettings as error:
        return RedactSettings(error=error)
    return RedactSettings([each for each in found if each is not None])


def _files(folder: Path, trees: Sequence[Path]) -> Iterator[tuple[Path, bytes, bool]]:
    """Yields the path and content of each file that is there, and whether it is a project's."""
    user = config_folder()
    places = (f"{user}/{USER_FILE}" if user else "", f"{own_folder(folder)}/{USER_FILE}")
    for place in filter(_is_there, places):
        yield Path(place), _read(Path(place)), False
    for tree in dict.fromkeys((*_tree_of(folder.absolute()), *trees)):
        data = _read_in_tree(tree)
        if data is not None:
            yield tree / PROJECT_FILE, data, True


def _tree_of(folder: Path) -> tuple[Path, ...]:
    """Returns the working tree of a project's journal, if the path of its folder names one."""
    *_, above, parent, name = ("", "", *folder.parts)
    if parent == ".kittify" and name == ".thence":
        return (folder.parents[1],)
    if above == ".git" and parent == "thence":
        return (folder.parents[2],)
    return ()


def _is_there(path: str) -> bool:
    """Reports whether a file is there; one in a folder that this process may not enter is not."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in _UNREACHED or error.errno == errno.EACCES:
            return False
        raise _failure(Path(path), error.strerror or error) from error
    return True


def _read(path: Path) -> bytes:
    try:
        return _content(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)
    except OSError as error:
        raise _failure(path, error.strerror or error) from error


def _read_in_tree(tree: Path) -> bytes | None:
    """Reads a project's file, which somebody else may have made; no link is followed."""
    path = tree / PROJECT_FILE
    try:
        for each in (path.parent, path):
            if stat.S_ISLNK(os.lstat(each).st_mode):
                raise _failure(each, "it is a symbolic link, and none is followed there")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        folder = os.open(path.parent, flags | os.O_DIRECTORY)
        try:
            file = os.open(path.name, flags | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
        finally:
            os.close(folder)
        return _content(file, path)
    except OSError as error:
        if error.errno in _UNREACHED:
            return None
        raise _failure(path, error.strerror or error) from error


def _content(descriptor: int, path: Path) -> bytes:
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _failure(path, "it is no regular file")
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise _failure(path, f"it is longer than {FILE_BYTES_MAX} bytes")
    return data


def _redact(path: Path, data: bytes, is_projects: bool) -> _Redact | None:
    """Returns what a file says under `[redact]`, None if it says nothing."""
    import tomllib  # few have settings

    try:
        settings = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _failure(path, f"it is no TOML: {error}") from None
    for key in settings:
        if key != _SECTION:
            raise _failure(path, f"{key:.80} is no setting", "the only one is [redact]")
    section = settings.get(_SECTION)
    if section is None:
        return None
    if not isinstance(section, dict):
        raise _failure(path, "redact is no table", "write [redact]")
    for key in section:
        if key not in _KEYS:
            hint = f"under [redact] stand {', '.join(_KEYS)}"
            raise _failure(path, f"redact.{key:.80} is no setting", hint)
    has_defaults = section.get("defaults", True)
    if not isinstance(has_defaults, bool):
        raise _failure(path, "redact.defaults is neither true nor false")
    rules = tuple(_rule(path, *each) for each in enumerate(_list(path, section, "rules")))
    members = tuple(_member(path, *each) for each in enumerate(_list(path, section, "paths")))
    return _Redact(rules, members, has_defaults, is_projects)


def _list(path: Path, section: dict[str, Any], key: str) -> list[Any]:
    found = section.get(key, [])
    if not isinstance(found, list) or len(found) > RULES_MAX:
        raise _failure(path, f"redact.{key} is no list of up to {RULES_MAX}")
    return found


def _rule(path: Path, at: int, rule: Any) -> tuple[str, re.Pattern[str]]:
    from thence.core.values.secret_forms import RULES

    where = f"redact.rules[{at}]"
    if not isinstance(rule, dict) or rule.keys() != _RULE_KEYS:
        hint = """write {name = "our-token", pattern = "tok_[0-9a-f]{32}"}"""
        raise _failure(path, f"{where} does not have a name and a pattern alone", hint)
    name, pattern = rule["name"], rule["pattern"]
    if (
        not isinstance(name, str)
        or not _NAME.fullmatch(name)
        or name in {each.name for each in RULES}
    ):
        hint = "name it by letters, digits, . _ and -, and not as a built-in rule"
        raise _failure(path, f"{where}.name is no name of a rule", hint)
    if not isinstance(pattern, str) or not 0 < len(pattern) <= PATTERN_CHARACTERS_MAX:
        cause = (
            f"{where}.pattern, of {name}, is no text of 1 to {PATTERN_CHARACTERS_MAX} characters"
        )
        raise _failure(path, cause)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        cause = f"{where}.pattern, of {name}, does not compile: {error}"
        raise _failure(path, cause, "write a regular expression of Python") from None
    if made.search(""):
        raise _failure(path, f"{where}.pattern, of {name}, matches an empty text")
    return name, made


def _member(path: Path, at: int, name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or "" in name.split("."):
        hint = "write a member's name, or the names of a path joined by dots: card.number"
        raise _failure(path, f"redact.paths[{at}] is no member's name", hint)
    return name


def _failure(path: Path, cause: object, hint: str = "") -> BadSettings:
    return BadSettings(
        _DOING,
        place=path,
        cause=cause,
        hint=f"{hint or 'correct it'}; until then nothing is appended or brought to a server",
    )
