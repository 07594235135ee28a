"""The names of features, packages, branches and worktrees.

A feature is `028-sync`: three digits and words in kebab case, ASCII alone, so that the same
name serves as folder, branch and id on every filesystem. A mission of spec-kitty may be named
`sync-01KVTVZS`, by words and the first eight characters of its ULID. The package `WP01` of the
feature has the branch `028-sync-WP01` and the worktree `.worktrees/028-sync-WP01`. Where features
land by pull requests, their planning files have the branch `plan/028-sync` and the worktree
`.worktrees/plan-028-sync`. All functions are pure.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from thence.errors import PlanningError, Refused

FEATURES_MAX = 999
PACKAGES_MAX = 99
NAME_CHARACTERS_MAX = 50
WORKTREES = ".worktrees"
_PLAN = "plan/"
_ULID = "[0-9A-HJKMNP-TV-Z]{8}"
SLUG_PATTERN = f"^(?:[0-9]{{3}}(?:-[a-z0-9]+)+|(?:[a-z0-9]+-)+{_ULID})$"
_SLUG = re.compile(SLUG_PATTERN)
_NUMBERED = re.compile(r"([0-9]{3})-.")
_NAME = re.compile(rf"(?:[0-9]{{3}}-)?(.+?)(?:-{_ULID})?")
_WP = re.compile(r"WP[0-9]{2,4}")
_GIVEN_WP = re.compile(r"(?:wp)?[ _-]?0*([0-9]{1,4})", re.IGNORECASE)
_BRANCH = re.compile(rf"([0-9]{{3}}-.+|.+-{_ULID})-(WP[0-9]{{2,4}})")
_WORD = re.compile(r"[a-z0-9]+")
# Latin letters that Unicode doesn't take apart into a letter and its accent
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i"}
)


def is_slug(text: str) -> bool:
    """Reports whether a text is a feature's slug, such as 028-sync or sync-01KVTVZS."""
    return _SLUG.fullmatch(text) is not None


def is_wp_id(text: str) -> bool:
    """Reports whether a text is a package's id, such as WP01."""
    return _WP.fullmatch(text) is not None


def kebab(title: str) -> str:
    """Returns a title as words in kebab case, at most 50 characters, cut between words.

    Accents are removed. A title without any Latin letter or digit gives "feature".
    """
    apart = unicodedata.normalize("NFKD", title.casefold().translate(_LETTERS))
    kept = "".join(letter for letter in apart.casefold() if not unicodedata.combining(letter))
    name = ""
    for word in _WORD.findall(kept.replace("'", "").replace("’", "")):
        longer = f"{name}-{word}" if name else word[:NAME_CHARACTERS_MAX]
        if len(longer) > NAME_CHARACTERS_MAX:
            break
        name = longer
    return name or "feature"


def new_slug(title: str, names: Iterable[str]) -> str:
    """Returns the slug of a new feature: the next free number, the title in kebab case.

    `names` are names that carry numbers: slugs, branches, folders, others too. Raises
    PlanningError when all numbers are taken.
    """
    number = max((number_of(name) for name in names), default=0) + 1
    if number > FEATURES_MAX:
        raise PlanningError(
            "could not name the feature",
            place=title,
            cause=f"number {FEATURES_MAX} is taken, and a slug has three digits",
            hint="move finished features out of kitty-specs",
        )
    return f"{number:03}-{kebab(title)}"


def name_of(slug: str) -> str:
    """Returns the words of a slug: without the number, and without the ULID of a mission."""
    match = _NAME.fullmatch(slug)
    return match[1] if match else slug


def digits_of(slug: str) -> str | None:
    """Returns the three digits that a slug begins with; None for a mission without a number."""
    match = _NUMBERED.match(slug)
    return match[1] if match else None


def number_of(name: str) -> int:
    """Returns the number that a slug, or a branch of a feature, begins with; 0 if none."""
    return int(digits_of(name) or 0)


def resolve(name: str, names: Iterable[str]) -> str:
    """Returns the slug for a number, a name, the beginning of either, or the whole slug.

    For `028-event-log` these are 028, 28, event-log, event, 028-ev and 028-event-log, in upper or
    lower case. Raises Refused (unknown_feature) if no feature or more than one matches.
    """
    text = name.strip().rstrip("/").casefold()
    known = {slug: (slug.casefold(), name_of(slug).casefold()) for slug in sorted(set(names))}
    number = text[:9] if text.isdecimal() and text.isascii() else ""
    rules = (
        [slug for slug, (whole, _) in known.items() if whole == text],
        [slug for slug in known if number and digits_of(slug) and number_of(slug) == int(number)],
        [slug for slug, (_, words) in known.items() if words == text],
        [
            slug
            for slug, both in known.items()
            if len(text) > 1 and any(one.startswith(text) for one in both)
        ],
    )
    matches = next(filter(None, rules), [])
    if len(matches) == 1:
        return matches[0]
    cause = f"the features are {', '.join(known)}" if known else "there are no features yet"
    hint = "name one of them" if known else "thence work setup-spec TITLE"
    if matches:
        cause, hint = f"it may be {', '.join(matches)}", "write one of them out"
    raise Refused(
        "could not find the feature",
        guard="unknown_feature",
        place=repr(name),
        cause=cause,
        hint=hint,
    )


def wp_id_of(name: str) -> str:
    """Returns the package id for WP01, wp1, 01 or 1; raises Refused for others."""
    if is_wp_id(name):
        return name
    match = _GIVEN_WP.fullmatch(name.strip())
    if match is None:
        raise Refused(
            "could not find the package",
            guard="unknown_package",
            place=repr(name),
            cause="this is not a package's id",
            hint="ids are WP and two digits, such as WP01",
        )
    return f"WP{int(match[1]):02}"


def next_wp_id(names: Iterable[str]) -> str:
    """Returns the id after the highest of those known; raises PlanningError behind WP99."""
    number = max((int(wp_id[2:]) for wp_id in names if is_wp_id(wp_id)), default=0) + 1
    if number > PACKAGES_MAX:
        raise PlanningError(
            "could not name the package",
            cause=f"the feature has WP{PACKAGES_MAX} already",
            hint="begin another feature",
        )
    return f"WP{number:02}"


def branch_of(slug: str, wp_id: str) -> str:
    """Returns the branch of a package, such as 028-sync-WP01."""
    return f"{slug}-{wp_id}"


def worktree_of(slug: str, wp_id: str) -> str:
    """Returns the worktree of a package, from the top of the repository."""
    return f"{WORKTREES}/{slug}-{wp_id}"


def package_of(name: str) -> tuple[str, str] | None:
    """Returns slug and package id of a branch or of a worktree's path; None for others."""
    match = _BRANCH.fullmatch(PurePosixPath(name).name)
    return (match[1], match[2]) if match else None


def plan_branch(slug: str) -> str:
    """Returns the branch of a feature's planning files, such as plan/028-sync."""
    return f"{_PLAN}{slug}"


def plan_worktree(slug: str) -> str:
    """Returns the worktree of a feature's plan branch, from the top of the repository."""
    return f"{WORKTREES}/plan-{slug}"


def planned_in(name: str) -> str | None:
    """Returns the slug of a plan branch; None for another branch."""
    slug = name.removeprefix(_PLAN)
    return slug if slug != name and is_slug(slug) else None
