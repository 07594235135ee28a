"""What a team has chosen in `.kittify/config.yaml`: options, and the agents and gates of a project.

Other tools keep keys of their own in that file; only the sections named here are read, and the file
is parsed only for one that it holds. Of each section the first problem is told.

An agent is a program: a command whose parts may hold placeholders. No shell reads it, and nothing
here knows an agent by its name.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from posixpath import normpath
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, field

from thence.core.ready import ready
from thence.errors import PlanningError
from thence.work.board.move_request import GATE_TYPES
from thence.work.events import GateType
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_BRANCH, CONFIG, configurations
from thence.work.project.yaml_nodes import YamlFile

SECTION = "orchestrate"
SLOTS_MAX = 64
BACKOFF_S_MAX = 300.0
PLACEHOLDERS = ("main", "prompt_file", "worktree", "wp_id", "feature", "phase")
EXAMPLE = f"{SECTION}: {{agents: {{coder: {{command: [some-agent, --some-option]}}}}}}"

_DOING = "could not read the project's configuration in"
_BRANCH = re.compile(
    r"(?![-/.])(?!.*(?:\.\.|//|@\{|\.lock$|[/.]$))[^\s~^:?*\[\\\x00-\x1f\x7f]{1,200}"
)
_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
# interpreters whose script is taken from the main working tree; their options that have a value,
# and those after which there is no script
_INTERPRETER = re.compile(r"(?:sh|bash|python[0-9.]*|node)")
_VALUED = frozenset(("-o", "+o", "-O", "+O", "-W", "-X", "-r", "--require", "--import"))
_WITHOUT_SCRIPT = re.compile(r"-[A-Za-z]*[ce]|-[A-Za-z]*m|-p|-pe|--eval|--print")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([smh])", re.ASCII)
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_TIMES = {"backoff", "timeout", "stall"}
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(.*)`")
# what to write where another value is expected, by words of what was refused
_HINTS = {
    "unknown field": "it may have: {}",
    "missing required field": "it may have: {}",
    "`array`": "write a list: [one, another]",
    "`object`": "write `name: value`, one on a line",
    "`float`": "write a time like 90s, 5m or 1h",
    "`int`": "write a whole number",
    "`bool`": "write true or false",
    "`str`": "write text",
}
# how packages get into their target
Land = Literal["merge", "pull-request"]
LANDS: tuple[Land, Land] = ("merge", "pull-request")
PULL_REQUEST = LANDS[1]
_CHOICES = {"landed": ("local", "upstream"), "type": GATE_TYPES, "land": LANDS}
_LAND = re.compile(rb"(?m)^land:.*$")
_Kind = TypeVar("_Kind")
# what a program can be given
_Text = Annotated[str, Meta(pattern=r"^[^\x00\ud800-\udfff]*$")]
_Command = Annotated[tuple[_Text, ...], Meta(min_length=1)]
_Timeout = Annotated[float, Meta(gt=0, le=7 * 86_400)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file. A ValueError says, after a semicolon, what to write."""


class BoardOptions(_Section, frozen=True):
    """The branch of the board; `remote` is None for the target's upstream or origin."""

    remote: str | None = None
    branch: str = BOARD_BRANCH

    def __post_init__(self) -> None:
        for name in filter(None, (self.remote, self.branch)):
            if not _BRANCH.fullmatch(name):
                raise ValueError(f"git takes no name like {name!r:.80}; write another")


class _LandOption(_Section, frozen=True):
    land: Land | None = None


class AgentConfig(_Section, frozen=True):
    """A program that works on packages; `slots` is how many of it may run at once.

    Its task is in the file that its command names as `{prompt_file}`, else on stdin.
    The program is ended after `timeout_s`, or after `stall_s` without output and without a commit.
    """

    command: _Command
    slots: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = SLOTS_MAX
    timeout_s: _Timeout = field(default=3600.0, name="timeout")
    stall_s: _Timeout = field(default=600.0, name="stall")
    env: Mapping[str, _Text] = {}


class GateConfig(_Section, frozen=True):
    """A command that passes a gate of a package by exiting with 0, in a checkout of its commit."""

    gate_type: GateType = field(name="type")
    command: _Command
    timeout_s: _Timeout = field(default=1800.0, name="timeout")


class OrchestratorConfig(_Section, frozen=True):
    """The configuration of a project's orchestration.

    `slots` is the largest number of agents at once, in all. `implement` and `review` name agents in
    the order in which they are tried, each once and `retries` times more; `review` may be empty.
    A package that was sent back more than `send_backs` times gets no agent any more.
    With `landed` upstream a package is done only when its merge has been pushed.
    """

    slots: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 4
    retries: Annotated[int, Meta(ge=0, le=20)] = 2
    backoff_s: Annotated[float, Meta(ge=0, le=BACKOFF_S_MAX)] = field(default=5.0, name="backoff")
    implement: Annotated[tuple[str, ...], Meta(min_length=1)] = ()
    review: tuple[str, ...] = ()
    agents: Mapping[str, AgentConfig] = {}
    gates: tuple[GateConfig, ...] = ()
    landed: Literal["local", "upstream"] = "local"
    send_backs: Annotated[int, Meta(ge=0, le=100)] = 10

    def __post_init__(self) -> None:
        if not self.agents:
            raise ValueError(f"there are no agents; add {EXAMPLE}")
        for name in self.agents:
            if not _AGENT.fullmatch(name):
                hint = "name it by up to 50 letters, digits and . _ - such as coder"
                raise ValueError(f"{name!r:.80} is not an agent's name; {hint}")
        for what, names in (("implement", self.implement), ("review", self.review)):
            if len({*names}) < len(names):
                raise ValueError(f"{what} names an agent twice; name each once")
            for name in names:
                if name not in self.agents:
                    hint = f"the agents are {', '.join(self.agents)}"
                    raise ValueError(f"{what} names {name!r:.80}, which is not an agent; {hint}")
        if len({gate.gate_type for gate in self.gates}) < len(self.gates):
            raise ValueError("there are two gates of one type; make them one command")


def read_board(project: Project) -> BoardOptions:
    """Returns where a project's board is; raises PlanningError with the place of a problem."""
    return _converted(*_section(read_configuration(project), "board"), BoardOptions)


def land_in(data: bytes) -> Land | None:
    """Returns what a configuration says of how packages land; None if it says nothing.

    Raises PlanningError as `read_board` does.
    """
    yaml, _, value = _section(data, "land")
    return _converted(yaml, (), {"land": value}, _LandOption).land


def with_land(data: bytes | None, land: Land) -> bytes:
    """Returns a configuration that says how packages land."""
    start, line = data or b"", b"land: " + land.encode()
    if land_in(start) is not None:
        return _LAND.sub(line, start, count=1)
    return start + b"\n" * (start[-1:] not in (b"", b"\n")) + line + b"\n"


def read_setup(project: Project) -> OrchestratorConfig:
    """Returns the configuration of a project's orchestration.

    Raises PlanningError as `read_board` does, and with an example where there is none.
    """
    return setup_of(read_configuration(project))


def gates_run(project: Project) -> frozenset[str]:
    """Returns the types of the gates that a project's configuration runs; may be none.

    Raises PlanningError as `read_board` does.
    """
    data = read_configuration(project)
    if _section(data, SECTION)[2] is None:
        return frozenset()
    return frozenset(gate.gate_type for gate in setup_of(data).gates)


def setup_of(data: bytes) -> OrchestratorConfig:
    """Reads a configuration of orchestration. Raises as `read_setup` does.

    Agents and gates are converted one by one, so that a problem names its own.
    """
    yaml, path, section = _section(data, SECTION)
    if section is None:
        raise yaml.fault((), f"it does not mention {SECTION}", f"add {EXAMPLE}")
    values = dict(_converted(yaml, path, section, dict[str, Any]))
    inner = (SECTION, "agents")
    agents = _converted(yaml, inner, values.get("agents"), dict[str, Any])
    values["agents"] = {
        name: _converted(yaml, (*inner, name), agent, AgentConfig) for name, agent in agents.items()
    }
    inner = (SECTION, "gates")
    gates = _converted(yaml, inner, values.get("gates") or [], list[Any])
    values["gates"] = [
        _converted(yaml, (*inner, number), gate, GateConfig) for number, gate in enumerate(gates)
    ]
    return _converted(yaml, path, values, OrchestratorConfig)


def read_configuration(project: Project) -> bytes:
    """Returns the bytes of a project's configuration, empty without one."""
    try:
        return next((data for _, data in configurations(project.root, project.here)), b"")
    except OSError as error:
        cause, place = error.strerror or error, project.root / CONFIG
        raise PlanningError(
            "could not read", place=place, cause=cause, hint="look at the path"
        ) from error


def _section(data: bytes, name: str) -> tuple[YamlFile, tuple[str], object]:
    """Returns the values of a section, None without it, with their file and their path."""
    is_there = re.search(rb"(?m)^(?:\xef\xbb\xbf)?[\"'{]?%b\b" % name.encode(), data)
    yaml = _parsed(data if is_there else b"")
    sections = {} if yaml.values is None else yaml.values
    if not isinstance(sections, dict):
        raise yaml.fault((), "the file is not a map", _HINTS["`object`"])
    return yaml, (name,), sections.get(name)


@lru_cache(maxsize=2)
def _parsed(data: bytes) -> YamlFile:
    return YamlFile(data, CONFIG, _DOING)


def argv(command: Sequence[str], root: Path, values: Mapping[str, str]) -> tuple[str, ...]:
    """Returns a command with its placeholders replaced, once each; `{main}` is `root`.

    Relative paths are resolved from `root`, the main working tree, for the program, and for the
    script of an interpreter, except in a gate, which has no `values`: there it belongs to what is
    judged. Other arguments stay as they are typed.
    """
    known_values = {"main": str(root), **values}
    program, *rest = (
        _PLACEHOLDER.sub(lambda match: known_values.get(match[1], match[0]), part)
        for part in command
    )
    is_script_here = values and _INTERPRETER.fullmatch(program.rpartition("/")[2])
    is_value = False
    for place, argument in enumerate(rest if is_script_here else ()):
        if is_value or argument in _VALUED:
            is_value = not is_value
        elif _WITHOUT_SCRIPT.fullmatch(argument):
            break
        elif not argument.startswith(("-", "+")):
            rest[place] = str(root / argument)
            break
    return (str(root / program) if "/" in program else program, *rest)


def files_named(setup: OrchestratorConfig) -> dict[str, str]:
    """Returns the relative paths that commands of agents and gates name, each with its owner."""
    commands = {f"the command of {name}": agent.command for name, agent in setup.agents.items()}
    commands |= {f"the gate {gate.gate_type}": gate.command for gate in setup.gates}
    return {
        normpath(part.rpartition("=")[2].removeprefix("{main}/")): owner
        for owner, command in commands.items()
        for part in command
    }


def _converted(
    yaml: YamlFile, path: tuple[str | int, ...], values: object, kind: type[_Kind]
) -> _Kind:
    """Converts the values at a path of the file, of which those that are null are left out.

    Raises PlanningError for the first problem.
    """
    if isinstance(values, dict):
        values = {key: value for key, value in values.items() if value is not None}
        for key in _TIMES & values.keys():  # a time such as 5m, in seconds
            if isinstance(values[key], str) and (match := _DURATION.fullmatch(values[key])):
                values[key] = float(match[1]) * _UNITS_S[match[2]]
    try:
        return msgspec.convert({} if values is None else values, ready(kind), strict=False)
    except msgspec.ValidationError as error:
        told, _, steps = str(error).partition(" - at `")
        path = (*path, *(name or int(number) for name, number in _STEP.findall(steps)))
        cause, _, hint = told.partition("; ")
        if unknown := _UNKNOWN.search(told):
            path = (*path, unknown[1])
        if not hint and "enum" in told:
            hint = f"write {' or '.join(_CHOICES[str(path[-1])])}"
        elif not hint:
            expected = told.partition(", got")[0]
            hint = next((hint for words, hint in _HINTS.items() if words in expected), "")
            hint = hint.format(", ".join(getattr(kind, "__struct_encode_fields__", ())))
        raise yaml.fault(path, f"{'.'.join(map(str, path))}: {cause}", hint) from error
