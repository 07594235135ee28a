"""The variables that agents and gates are given: a list of names, and a project's additions.

The list holds the variables that programs need to be found, to find their own files, to use the
user's language and to reach the network; none is made to hold a secret. The list prevents that a
key is passed to a program that did not ask for it. A program that searches for a key finds it: it
runs with the user's rights, and can read the user's files.
"""

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from thence.work.project.project_id import CONFIG
from thence.work.vcs.git import USER_VARIABLES

# names, and patterns with `*` as in file names
BASE = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR"),
    *("LANG", "LANGUAGE", "LC_*", "XDG_*_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    *USER_VARIABLES,
)
_OURS = "THENCE_"
_NAMED_MAX = 5
_KEYS = ("*_KEY", "*_TOKEN", "*_SECRET", "*_PASSWORD", "*_CREDENTIALS")


def passed_on(variables: Mapping[str, str], more: Sequence[str] = ()) -> dict[str, str]:
    """Returns the variables that an agent or a gate is given.

    `more` are names and patterns beside BASE. No pattern matches thence's own variables, such as
    THENCE_TOKEN: only the whole name does.
    """
    return {name: value for name, value in variables.items() if _is_named(name, BASE, more)}


def hints(program: str, variables: Collection[str], more: Sequence[str] = ()) -> list[str]:
    """Returns a warning on a program that ended at once, if it may lack a key.

    `variables` are the names of ours; the warning names those that look like a key and are not
    passed on.
    """
    keys = sorted(
        name
        for name in variables
        if any(fnmatchcase(name, pattern) for pattern in _KEYS)
        and not name.startswith(_OURS)
        and not _is_named(name, BASE, more)
    )
    if not keys:
        return []
    named = f"is named in {CONFIG}: orchestrate: {{environment: [{keys[0]}]}}"
    names = ", ".join(keys[:_NAMED_MAX])
    return [f"{program} ended at once, and is not given {names}; one that it needs {named}"]


def _is_named(name: str, *lists: Sequence[str]) -> bool:
    is_ours = name.startswith(_OURS)
    return any(
        pattern == name or (not is_ours and fnmatchcase(name, pattern))
        for patterns in lists
        for pattern in patterns
    )
