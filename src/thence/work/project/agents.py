"""The agents and gates of a project, as `orchestrate:` in `.kittify/config.yaml` has them.

An agent is a program: a command whose parts may hold placeholders. No shell reads it, and
nothing here knows an agent by its name.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from thence.core.nearest import nearest
from thence.errors import PlanningError
from thence.work.board.move_request import GATE_TYPES
from thence.work.project.options import configuration, options_of
from thence.work.project.project import Project
from thence.work.project.project_id import CONFIG
from thence.work.project.yaml_nodes import Node, YamlFile, is_empty

SECTION = "orchestrate"
SLOTS, SLOTS_MAX = 4, 64
RETRIES, RETRIES_MAX = 2, 20
SEND_BACKS, SEND_BACKS_MAX = 10, 100
BACKOFF_S, BACKOFF_S_MAX = 5.0, 300.0
TIMEOUT_S, STALL_S, GATE_TIMEOUT_S = 3600.0, 600.0, 1800.0
PLACEHOLDERS = ("prompt_file", "worktree", "wp_id", "feature", "phase")
STDIN, FILE = "stdin", "file"
EXAMPLE = f"{SECTION}: {{agents: {{coder: {{command: [some-agent, --some-option]}}}}}}"

_DOING = "could not read what to orchestrate with in"
_KEYS = (
    *("slots", "retries", "backoff", "implement", "review", "agents", "gates", "environment"),
    *("send_backs", "landed"),
)
LOCAL, UPSTREAM = "local", "upstream"
_AGENT_KEYS = ("command", "prompt", "slots", "timeout", "stall", "env")
_GATE_KEYS = ("type", "command", "timeout")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_VARIABLE = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]*")
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_LIKE_A_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_-]{4,20})\}")
_CLOSENESS = 0.75


class AgentConfig(msgspec.Struct, frozen=True):
    """A program that works on packages; `slots` is how many of it may run at once.

    `prompt` is whether the program reads its task from stdin or from a file that its command names.
    The program is ended after `timeout_s`, or after `stall_s` without output and without a commit.
    """

    name: str
    command: tuple[str, ...]
    prompt: Literal["stdin", "file"]
    slots: int
    timeout_s: float
    stall_s: float
    env: Mapping[str, str]


class GateConfig(msgspec.Struct, frozen=True):
    """A command that passes a gate of a package by exiting with 0, in a checkout of its commit."""

    gate_type: str
    command: tuple[str, ...]
    timeout_s: float


class OrchestratorConfig(msgspec.Struct, frozen=True):
    """The configuration of a project's orchestration.

    `slots` is the largest number of agents at once, in all. `implement` and `review` name agents in
    the order in which they are tried, each once and `retries` times more; `review` may be empty.
    A package that was sent back more than `send_backs` times gets no agent any more.
    `environment` are the variables that agents and gates are given beside `agent_process.BASE`.
    With `needs_upstream` a package is done only when its merge has been pushed. Unless
    `author_may_approve` no agent reviews what it has implemented.
    """

    slots: int
    retries: int
    backoff_s: float
    implement: tuple[str, ...]
    review: tuple[str, ...]
    agents: Mapping[str, AgentConfig]
    gates: tuple[GateConfig, ...]
    environment: tuple[str, ...] = ()
    needs_upstream: bool = False
    author_may_approve: bool = True
    send_backs: int = SEND_BACKS


def read_setup(project: Project) -> OrchestratorConfig:
    """Returns the configuration of a project's orchestration.

    Raises PlanningError, with the position of each problem, for values that can't be used, and with
    an example where there is no configuration.
    """
    data = configuration(project)
    if data is None:
        cause = "there is no such file"
        raise PlanningError(_DOING, place=CONFIG, cause=cause, hint=f"add {EXAMPLE}")
    return setup_of(data, CONFIG)


def gates_run(project: Project) -> frozenset[str]:
    """Returns the types of the gates that a project's configuration runs; may be none.

    Raises PlanningError for a configuration that can't be read.
    """
    data = configuration(project)
    yaml = YamlFile(data or b"", CONFIG, _DOING)
    section = yaml.pairs(yaml.root, "the file").get(SECTION)
    if data is None or section is None or is_empty(section):
        return frozenset()
    return frozenset(gate.gate_type for gate in setup_of(data, CONFIG).gates)


def setup_of(data: bytes, file: str) -> OrchestratorConfig:
    """Reads a configuration; `file` is its name in problems. Raises as `read_setup` does."""
    yaml = YamlFile(data, file, _DOING)
    section = yaml.pairs(yaml.root, "the file").get(SECTION)
    if section is None or is_empty(section):
        yaml.report(section, f"it says nothing of {SECTION}", f"add {EXAMPLE}")
        yaml.refuse()
    setup = _setup(yaml, section, options_of(data, file).author_may_approve)
    yaml.refuse()
    return setup


def argv(
    agent: AgentConfig,
    root: Path,
    *,
    prompt_file: str,
    worktree: str,
    wp_id: str,
    feature: str,
    phase: str,
) -> tuple[str, ...]:
    """Returns an agent's command with its placeholders replaced, once each.

    A relative path of a program is resolved from `root`, the folder of the configuration.
    """
    values = dict(zip(PLACEHOLDERS, (prompt_file, worktree, wp_id, feature, phase), strict=True))
    program, *rest = (
        _PLACEHOLDER.sub(lambda match: values[match[1]], part) for part in agent.command
    )
    return (str(root / program) if "/" in program else program, *rest)


def _setup(yaml: YamlFile, section: Node | None, may_approve: bool) -> OrchestratorConfig:
    fields = yaml.fields(section, SECTION, _KEYS)
    slots = yaml.count(fields.get("slots"), "slots", SLOTS, 1, SLOTS_MAX)
    agents = {
        name: _agent(yaml, name, node, slots)
        for name, node in yaml.pairs(fields.get("agents"), "agents").items()
    }
    if not agents:
        yaml.report(fields.get("agents") or section, "there are no agents", f"add {EXAMPLE}")
    implement = tuple(agents)
    if "implement" in fields:
        implement = _names(yaml, fields["implement"], "implement", agents)
        if not implement:
            hint = "name an agent, or leave it out for all of them"
            yaml.report(fields["implement"], "nobody implements", hint)
    return OrchestratorConfig(
        slots=slots,
        retries=yaml.count(fields.get("retries"), "retries", RETRIES, 0, RETRIES_MAX),
        backoff_s=yaml.duration_s(fields.get("backoff"), "backoff", BACKOFF_S, BACKOFF_S_MAX),
        implement=implement,
        review=_names(yaml, fields.get("review"), "review", agents),
        agents=agents,
        gates=_gates(yaml, fields.get("gates")),
        environment=_variables(yaml, fields.get("environment")),
        needs_upstream="landed" in fields
        and yaml.choice(fields["landed"], "landed", (LOCAL, UPSTREAM)) == UPSTREAM,
        author_may_approve=may_approve,
        send_backs=yaml.count(
            fields.get("send_backs"), "send_backs", SEND_BACKS, 0, SEND_BACKS_MAX
        ),
    )


def _agent(yaml: YamlFile, name: str, node: Node, slots: int) -> AgentConfig:
    what = f"agent {name}"
    if not _NAME.fullmatch(name):
        hint = "name it by up to 50 letters, digits and . _ - such as coder"
        yaml.report(node, f"{name!r:.80} is not an agent's name", hint)
    fields = yaml.fields(node, what, _AGENT_KEYS)
    command = _command(yaml, fields.get("command"), node, what)
    for part in command:
        _check_placeholders(yaml, fields["command"], part)
    prompt = yaml.choice(fields["prompt"], "prompt", (STDIN, FILE)) if "prompt" in fields else STDIN
    if prompt == FILE and command and not any("{prompt_file}" in part for part in command):
        message = f"{what} reads its prompt from a file that its command does not name"
        yaml.report(fields["command"], message, 'add "{prompt_file}", or take `prompt: file` out')
    return AgentConfig(
        name=name,
        command=command,
        prompt="file" if prompt == FILE else "stdin",
        slots=yaml.count(fields.get("slots"), f"slots of {name}", slots, 1, SLOTS_MAX),
        timeout_s=_timeout(yaml, fields.get("timeout"), "timeout", TIMEOUT_S),
        stall_s=_timeout(yaml, fields.get("stall"), "stall", STALL_S),
        env=_env(yaml, fields.get("env"), what),
    )


def _command(yaml: YamlFile, node: Node | None, whole: Node, what: str) -> tuple[str, ...]:
    if node is None:
        yaml.report(whole, f"{what} has no command", "add `command: [some-agent, --some-option]`")
        return ()
    if node.id == "scalar":
        yaml.report(
            node, f"the command of {what} is not a list", f"write {_as_list(str(node.value))}"
        )
        return ()
    parts = tuple(yaml.text(part, "a part of the command") for part in yaml.items(node, "command"))
    if not parts or not parts[0]:
        yaml.report(node, f"the command of {what} names no program", "write [some-agent]")
    return parts


def _as_list(command: str) -> str:
    try:
        return f"[{', '.join(shlex.split(command))}]"
    except ValueError:  # a quote that never ends
        return "[some-agent, --some-option]"


def _check_placeholders(yaml: YamlFile, node: Node, part: str) -> None:
    """Reports misspelt placeholders; any other word in braces is the program's own."""
    for name in set(_LIKE_A_PLACEHOLDER.findall(part)) - set(PLACEHOLDERS):
        if meant := nearest(name, PLACEHOLDERS, likeness=_CLOSENESS):
            listed = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
            message = f"there is no {{{name}}}"
            yaml.report(node, message, f"write {{{meant[0]}}}; the placeholders are {listed}")


def _timeout(yaml: YamlFile, node: Node | None, what: str, default: float) -> float:
    seconds = yaml.duration_s(node, what, default)
    if seconds == 0:
        yaml.report(node, f"{what} is nought", "write how long it may last, such as 10m")
    return seconds


def _env(yaml: YamlFile, node: Node | None, what: str) -> dict[str, str]:
    variables = yaml.pairs(node, f"env of {what}")
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name or not name.isprintable():
            yaml.report(value, f"{name!r:.80} is not a variable's name", "write NAME: value")
    return {name: yaml.text(value, name) for name, value in variables.items()}


def _names(
    yaml: YamlFile, node: Node | None, what: str, agents: Mapping[str, AgentConfig]
) -> tuple[str, ...]:
    names: list[str] = []
    for item in yaml.items(node, what):
        name = yaml.text(item, f"a name in {what}")
        if name in names:
            yaml.report(item, f"{name} appears twice in {what}", "name each agent once")
        elif name not in agents:
            hint = f"the agents are {', '.join(agents) or 'none'}"
            yaml.report(item, f"{what} names {name!r:.80}, which is not an agent", hint)
        else:
            names.append(name)
    return tuple(names)


def _gates(yaml: YamlFile, node: Node | None) -> tuple[GateConfig, ...]:
    gates: list[GateConfig] = []
    for item in yaml.items(node, "gates"):
        fields = yaml.fields(item, "a gate", _GATE_KEYS)
        if "type" not in fields:
            yaml.report(item, "a gate has no type", f"add one of {', '.join(GATE_TYPES)}")
            continue
        gate_type = yaml.choice(fields["type"], "type", GATE_TYPES)
        if any(gate.gate_type == gate_type for gate in gates):
            yaml.report(item, f"there are two gates {gate_type}", "make them one command")
        command = _command(yaml, fields.get("command"), item, f"gate {gate_type}")
        timeout_s = _timeout(yaml, fields.get("timeout"), "timeout", GATE_TIMEOUT_S)
        gates.append(GateConfig(gate_type, command, timeout_s))
    return tuple(gates)


def _variables(yaml: YamlFile, node: Node | None) -> tuple[str, ...]:
    names = []
    for item in yaml.items(node, "environment"):
        name = yaml.text(item, "a name in environment")
        if not _VARIABLE.fullmatch(name):
            hint = (
                "write a name such as SOME_API_KEY, or SOME_*; a value goes into `env` of an agent"
            )
            yaml.report(item, f"{name!r:.80} is not a variable's name", hint)
        names.append(name)
    return tuple(names)
