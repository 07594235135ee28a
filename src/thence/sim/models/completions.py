"""The answer in a completion and in its text, in the forms that endpoints and models give it.

Nothing is guessed: a text that is none of these forms is left as it is.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import msgspec

from thence.sim.models.vectors import packed

# the ends of a whole answer; an endpoint that names another one calls the answer unfinished
_END = re.compile(r"stop\w*|end\w*|eos\w*|completed?|finished|done|(tool|function)_?(call|use)s?")
_FENCE = re.compile(r"(`{3,}|~{3,})\s*([^\s`]*)[^`]*")
# what tokenizers leave at the ends of a text: a byte order mark, tokens of the end
_BLANK, _TOKEN_CHARACTERS = "\ufeff \t\r\n", 40
_TURN_END = re.compile(r"(<\|\w+\|>|</s>|<eos>|<end_of_turn>)\Z")
# thoughts come before an answer, once or several times, as <think> or <seed:think>
_THINK = r"<(?:\w+:)?think(?:ing)?>"
_THOUGHTS = re.compile(rf".*?</{_THINK[1:]}(?:\s*{_THINK}.*?</{_THINK[1:]})*\s*", re.DOTALL)
_OPEN_THOUGHTS = re.compile(rf"\s*{_THINK}")
# where the answer begins in the channels of harmony
_FINAL = "<|channel|>final<|message|>"


class Message(msgspec.Struct):
    """The message of a choice; `content` is a text or a list of parts."""

    content: Any = None
    refusal: Any = None
    tool_calls: Any = None
    reasoning: Any = None
    reasoning_content: Any = None


class Choice(msgspec.Struct):
    """One choice."""

    message: Message
    finish_reason: Any = None


class Completion(msgspec.Struct):
    """The body of an answer, of which the first choice is taken."""

    choices: Annotated[list[Choice], msgspec.Meta(min_length=1)]
    model: Any = None
    usage: Any = None

    @property
    def text(self) -> str:
        """The text of the answer: its content, or else the arguments of its only call of a tool."""
        message = self.choices[0].message
        text = "".join(_texts(message.content, "text"))
        return text if text.strip() else _arguments(message)

    @property
    def refusal(self) -> str:
        """The words by which the model refused to answer, "" for none."""
        message = self.choices[0].message
        return str(message.refusal or "".join(_texts(message.content, "refusal")))

    @property
    def reasoning(self) -> str:
        """The thoughts beside the answer, which are none of it."""
        message = self.choices[0].message
        return "".join(_texts(message.reasoning_content or message.reasoning, "text"))

    @property
    def unfinished(self) -> str:
        """The endpoint's own word for an answer that is not finished, "" for one that is."""
        reason = self.choices[0].finish_reason
        is_open = isinstance(reason, str) and reason.strip() and not _END.fullmatch(reason.lower())
        return str(reason) if is_open else ""


class Embedding(msgspec.Struct):
    """The vector of one text."""

    embedding: list[float]

    def __post_init__(self) -> None:
        packed(self.embedding)


class Embeddings(msgspec.Struct):
    """The body of an answer of /embeddings to one text; its `text` is the packed vector."""

    refusal: ClassVar[str] = ""
    unfinished: ClassVar[str] = ""
    reasoning: ClassVar[str] = ""
    data: Annotated[list[Embedding], msgspec.Meta(min_length=1)]
    model: Any = None
    usage: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.usage, dict):  # which names no tokens of an answer
            self.usage.setdefault("completion_tokens", 0)

    @property
    def text(self) -> str:
        """The vector as text."""
        return packed(self.data[0].embedding)


def readings(text: str) -> Iterator[str]:
    """Yields a text as it is, without its edges and thoughts, and without its only code fence."""
    yield text
    answer = text.rpartition(_FINAL)[2].strip(_BLANK)
    while token := _TURN_END.search(answer, max(0, len(answer) - _TOKEN_CHARACTERS)):
        answer = answer[: token.start()].rstrip()
    if thoughts := _THOUGHTS.match(answer):
        answer = answer[thoughts.end() :].strip()
    elif _OPEN_THOUGHTS.match(answer):
        return  # it ends amid the thoughts
    if answer != text:
        yield answer
    if (content := _fenced(answer)) is not None:
        yield content


def _fenced(text: str) -> str | None:
    """Returns the content of the only fence for JSON; None if there are more, or one is open."""
    contents: list[str] = []
    fence, word, lines = "", "", list[str]()
    for line in text.split("\n"):
        if fence and {*line.strip()} == {fence[0]} and len(line.strip()) >= len(fence):
            contents += ["\n".join(lines)] if word in ("", "json") else []
            fence = ""
        elif fence:
            lines.append(line)
        elif opening := _FENCE.fullmatch(line.strip()):
            fence, word, lines = opening[1], opening[2].lower(), []
    return contents[0] if len(contents) == 1 and not fence else None


def _texts(content: object, kind: str) -> Iterator[str]:
    """Yields the texts of one kind in a content: a text itself, or the parts of a list."""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str) and kind == "text":
            yield part
        elif isinstance(part, dict) and part.get("type", kind) in (kind, f"output_{kind}"):
            yield part[kind] if isinstance(part.get(kind), str) else ""


def _arguments(message: Message) -> str:
    """Returns the arguments of the only call of a tool, "" without such."""
    calls = message.tool_calls if isinstance(message.tool_calls, list) else []
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    (function, *others) = functions or [None]
    if others or not isinstance(function, dict):
        return ""
    arguments = function.get("arguments") or ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
