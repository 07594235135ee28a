"""The program that a hook of a coding agent or of git fires: its input becomes one file.

It is run by its path, with `python -I -S`, and imports the standard library alone, of which only
what costs next to nothing: a tool call waits for it. The file is on the device under its last name
when it ends. It ends with 0 and writes nothing to stdout, whatever happens: an agent would take
the one for a refusal and the other for a message. What goes wrong is a line in `errors.log`.

    fired.py claude-code                the hook's JSON on stdin
    fired.py codex                      the same
    fired.py git HOOK NAME=VALUE...     lines of git on stdin

The log is `thence/agents` in the git folder that all worktrees and submodules share, else in the
user's state folder; Claude Code's is by the folder of its session, wherever that moves. The spool
is a folder in it; where that can't be written, one in the user's cache folder.
"""

import os
import stat
import sys
import time

# the parts of json in C: json itself takes longer to load than all else here
from _json import encode_basestring_ascii as quoted
from _json import make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

FORM = 1
LOG = "thence/agents"
SPOOL = "spool"
FIRED = ".fired-"  # and the name of a tool
ERRORS = "errors.log"
ERRORS_BYTES_MAX = 256 * 1024
INPUT_BYTES_MAX = 16 * 1024 * 1024
# a file that is written whole is noted up to this size, as it was before
BEFORE_BYTES_MAX = 1024 * 1024
WHOLE_WRITES = ("Write", "write_file", "write", "create_file")
PATH_MEMBERS = ("file_path", "filePath", "notebook_path", "path")
NEW_MEMBERS = ("new_string", "newString", "new_text", "content", "new_source")
_SESSION_MEMBERS = ("session_id", "sessionId")
_EVENT_MEMBERS = ("hook_event_name", "hookEventName", "hook_name", "hookName", "event")
_TOOL_MEMBERS = ("tool_name", "toolName", "tool")
_PATCH_LEADS = ("*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: ")
_PATHS_MAX = 200
# a longer input is not looked into here
_NOTED_BYTES_MAX = 4 * 1024 * 1024
ANCESTORS_MAX = 64
# the variables that agents set for what they run, also agents without hooks of ours
AGENT_VARIABLES = (
    *("AGENT", "AI_AGENT", "AUGMENT_AGENT", "CLAUDECODE", "CLINE_ACTIVE", "CODEX_SANDBOX"),
    *("COPILOT_CLI", "CURSOR_AGENT", "GEMINI_CLI", "GOOSE_TERMINAL", "OPENCODE", "QWEN_CODE"),
)
# those of them whose values name the session, its folder or the call; of the others a value is not
# kept: it may be a secret
CLAUDE_SESSION, CLAUDE_FOLDER = "CLAUDE_CODE_SESSION_ID", "CLAUDE_PROJECT_DIR"
CODEX_SESSION, CODEX_THREAD = "CODEX_SESSION_ID", "CODEX_THREAD_ID"
CODEX_CALL = "CODEX_TOOL_CALL_ID"
NAMING_VARIABLES = (CLAUDE_SESSION, CLAUDE_FOLDER, CODEX_SESSION, CODEX_THREAD, CODEX_CALL)
_VALUE_CHARACTERS_MAX = 4096
_NAME_CHARACTERS_MAX = 200
_BLOCK_BYTES = 1024 * 1024
_MODULES = "/modules/"
# what a shell between this program and its agent runs
_OWN_WORDS = (
    "thence/agents/hook.sh",
    "thence/trace/agents/fired.py",
    "thence hook event",
    "/.cline/hooks/",  # a script that runs ours
)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Process = tuple[int, str]


class _Form:
    """What the parser of JSON asks for."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int


_read: "Any" = make_scanner(_Form)  # type: ignore[arg-type]
_write = make_encoder(None, str, quoted, None, ":", ",", False, False, True)


def _written(value: object) -> bytes:
    return "".join(_write(value, 0)).encode()


def repository(folder: str) -> "tuple[str, str] | None":
    """Returns the top folder of the worktree that a folder lies in, and its git folder.

    Only files are looked at. A `.git` of another user counts as none, as it does for git: its
    owner would choose where is written.
    """
    while True:
        place = os.path.join(folder, ".git")
        try:
            is_own = os.stat(place).st_uid in (os.geteuid(), 0)
            git_folder = _pointed(place, b"gitdir:", folder) if os.path.isfile(place) else place
            if is_own and git_folder and os.path.exists(os.path.join(git_folder, "HEAD")):
                return folder, git_folder
        except OSError:
            pass
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def common_folder(git_folder: str) -> str:
    """Returns the folder that a git folder shares with those of its other worktrees."""
    return _pointed(os.path.join(git_folder, "commondir"), b"", git_folder) or git_folder


def log_folder(git_folder: str) -> str:
    """Returns the log for a git folder: submodules share that of the repository around them."""
    common = os.path.normpath(common_folder(git_folder))
    at = common.find(_MODULES)
    while at > 0:
        if os.path.exists(os.path.join(common[:at], "HEAD")):
            return os.path.join(common[:at], LOG)
        at = common.find(_MODULES, at + 1)
    return os.path.join(common, LOG)


def _pointed(path: str, lead: bytes, base: str) -> str:
    """Returns the folder that a small file names, "" if it names none or can't be read."""
    content = _content(path)
    name = os.fsdecode(content[len(lead) :].strip()) if content.startswith(lead) else ""
    return os.path.normpath(os.path.join(base, name)) if name else ""


def log_of(folder: str) -> "tuple[str, str | None]":
    """Returns the log for what is done in a folder, and the top folder of its worktree.

    The log may be missing.
    """
    place = repository(folder)
    if place is not None:
        return log_folder(place[1]), place[0]
    return users_folder("XDG_STATE_HOME", ".local/state", LOG), None


def users_folder(variable: str, default: str, name: str) -> str:
    """Returns a folder of the user's, by a variable of the XDG base directories."""
    base = os.environ.get(variable, "")
    if not os.path.isabs(base):
        base = os.path.join("/", os.path.expanduser("~"), default)
    return os.path.join(base, name)


def spools(log: str) -> "list[str]":
    """Returns the folders in which the files for a log may lie, the one in the log first."""
    digest = 0xCBF29CE484222325  # FNV-1a: hashlib takes longer to load than all else here
    for byte in os.fsencode(os.path.realpath(log)):
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    cached = users_folder("XDG_CACHE_HOME", ".cache", f"thence/spool/{digest:016x}")
    return [os.path.join(log, SPOOL), cached]


def ancestors(pid: int) -> "list[Process]":
    """Returns a process and those above it, each with a text that tells when it began.

    A process id is given to another process one day; id and text together are not, before the
    machine is started again, and then the text says so too. Empty where it can't be told.
    """
    boot = _content("/proc/sys/kernel/random/boot_id").decode().strip()
    rows: dict[int, tuple[int, str]] = {}
    if not boot:  # there is no /proc
        with os.popen("LC_ALL=C /bin/ps -A -o pid=,ppid=,lstart=") as file:
            for line in file:
                number, above, start = line.split(None, 2)
                rows[int(number)] = int(above), start.strip()
    chain: list[Process] = []
    while pid > 0 and len(chain) < ANCESTORS_MAX:
        if boot:
            stat = _content(f"/proc/{pid}/stat")
            fields = stat[stat.rfind(b")") + 2 :].split()
            if len(fields) >= 20:
                rows[pid] = int(fields[1]), f"{boot} {int(fields[19])}"
        if pid not in rows:
            break
        chain.append((pid, rows[pid][1]))
        pid = rows[pid][0]
    return chain


def _is_shell_of_hook(pid: int) -> bool:
    """Reports whether a process only runs this program, as the shell between it and its agent."""
    if os.path.exists("/proc/self/cmdline"):
        words = os.fsdecode(_content(f"/proc/{pid}/cmdline")).replace("\0", " ")
    else:
        with os.popen(f"/bin/ps -o command= -p {pid}") as file:
            words = file.read()
    is_shell = os.path.basename(words.partition(" ")[0]).lstrip("-").endswith("sh")
    return is_shell and any(program in words for program in _OWN_WORDS)


def _content(path: str) -> bytes:
    """Returns the first bytes of a small file, b"" if it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_BLOCK_BYTES)
    except OSError:
        return b""


def read_input() -> "tuple[bytes, int]":
    """Returns the beginning of stdin and the number of its bytes."""
    blocks: list[bytes] = []
    size = 0
    try:
        if os.isatty(0):
            return b"", 0
        while block := os.read(0, _BLOCK_BYTES):
            if size < INPUT_BYTES_MAX:
                blocks.append(block)
            size += len(block)
    except OSError:
        pass  # what was read is kept; whether it is whole is found out when it is taken in
    return b"".join(blocks), size


def record(head: "dict[str, object]", data: bytes) -> bytes:
    """Returns the content of a spool file; the input stands in it as it came, from line 2 on."""
    return b'%b,"input":\n%b\n}' % (_written(head)[:-1], data.strip() or b"null")


def head_of(bridge: str, cwd: str, root: "str | None", data: bytes) -> "dict[str, Any]":
    """Returns what a spool file has beside the input."""
    chain = ancestors(os.getppid())
    agent = next((process for process in chain if not _is_shell_of_hook(process[0])), None)
    values = {name: "" for name in AGENT_VARIABLES if os.environ.get(name)}
    values |= {name: os.environ[name] for name in NAMING_VARIABLES if os.environ.get(name)}
    head = {"v": FORM, "bridge": bridge, "time_ns": time.time_ns(), "cwd": cwd, "root": root}
    head |= {"agent_process": agent if bridge != "git" else None, "chain": chain}
    head["variables"] = {name: value[:_VALUE_CHARACTERS_MAX] for name, value in values.items()}
    if bridge != "git":
        head |= _noted(bridge, cwd, root, data)
    return head


def _noted(bridge: str, cwd: str, root: "str | None", data: bytes) -> "dict[str, object]":
    """Returns the members of a spool file that nobody can find out later."""
    noted: dict[str, object] = {}
    if bridge == "claude-code" and not os.environ.get(CLAUDE_FOLDER):
        name = os.environ.get("AI_AGENT", "")
        is_name = len(name) <= 40 and name.isascii() and name.replace("-", "").isalnum()
        noted["runner"] = name if is_name else ""
    if len(data) > _NOTED_BYTES_MAX:
        return noted
    try:
        value, _ = _read(data.decode("utf-8", "replace").lstrip(), 0)
    except (StopIteration, ValueError, RecursionError):
        return noted
    members = [("", value)]  # the outer ones first
    for name, inner in members:
        if isinstance(inner, dict):
            members += inner.items()
        elif isinstance(inner, list):
            members += [(name, one) for one in inner]
    texts = [(name, one) for name, one in members if isinstance(one, str)]
    lines = [line for _, one in texts if "*** " in one for line in one.splitlines()]
    paths = [one for name, one in texts if name in PATH_MEMBERS]
    paths += [line[len(lead) :] for line in lines for lead in _PATCH_LEADS if line.startswith(lead)]
    paths = [path for path in paths if "\0" not in path and len(path) <= _VALUE_CHARACTERS_MAX]
    reals = {path: os.path.realpath(os.path.join(cwd, path)) for path in paths[:_PATHS_MAX]}
    links = {told: real for told, real in reals.items() if real != os.path.join(cwd, told)}
    event, tool, session = (
        next((one for name, one in texts if name in members), "")
        for members in (_EVENT_MEMBERS, _TOOL_MEMBERS, _SESSION_MEMBERS)
    )
    is_before = event in ("PreToolUse", "BeforeTool")
    is_whole = is_before and tool in WHOLE_WRITES
    before = _text_before(*next(iter(reals.items())), cwd, root) if is_whole and reals else None
    noted |= {"session": session} | ({"real": links} if links else {})
    if is_before and (lines or any(name in NEW_MEMBERS for name, _ in texts)):
        noted["edits_in"] = sorted({os.path.dirname(real) for real in reals.values()})
    return noted | ({"before": before} if before is not None else {})


def _text_before(told: str, real: str, cwd: str, root: "str | None") -> "str | None":
    """Returns the text of a file that will be written, "" of none, None of what is no text.

    No link that leads out of the working tree is followed.
    """
    is_inside = root is not None and real.startswith(f"{os.path.realpath(root)}/")
    if not is_inside and real != os.path.normpath(os.path.join(cwd, told)):
        return None
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(real, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > BEFORE_BYTES_MAX:
                return None
            text = file.read(BEFORE_BYTES_MAX).decode()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        return None
    return None if "\0" in text else text


def keep(folder: str, name: str, data: bytes) -> None:
    """Writes a spool file, durable under its name on return; raises OSError.

    Folders that are missing are made for this user alone. No link is followed in them.
    """
    for place in (os.path.dirname(os.path.dirname(folder)), os.path.dirname(folder), folder):
        if os.path.islink(place):
            raise OSError(40, "it is a symbolic link", place)
        if not os.path.isdir(place):
            os.makedirs(place, 0o700, exist_ok=True)
            sync_folder(os.path.dirname(place))
    spool = os.open(folder, _FOLDER)
    draft = f".{name}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(draft, flags, 0o600, dir_fd=spool)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
            os.rename(draft, name, src_dir_fd=spool, dst_dir_fd=spool)
        except OSError:
            os.unlink(draft, dir_fd=spool)
            raise
        finally:
            os.close(file)
        os.fsync(spool)
    finally:
        os.close(spool)


def sync_folder(folder: str) -> None:
    """Puts the names in a folder on the device; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def note_error(folders: "list[str]", text: str) -> None:
    """Writes a line into `errors.log` of the first folder that takes it, for `thence doctor`."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = f"{moment} {text}".encode("utf-8", "replace").replace(b"\n", b" ")[:1000]
    for folder in folders:
        path = os.path.join(folder, ERRORS)
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(path, flags, 0o600), "wb", 0) as file:
                file.write(line + b"\n")
                if os.fstat(file.fileno()).st_size > ERRORS_BYTES_MAX:
                    os.replace(path, f"{path}.1")
            return
        except OSError:
            continue


def fire(arguments: "list[str]") -> None:
    """Keeps what one hook hands over."""
    bridge = arguments[0] if arguments else "unknown"
    cwd = _cwd()
    log, root = log_of(cwd)
    data, size = b"", 0
    folder = os.environ.get(CLAUDE_FOLDER, "") if bridge == "claude-code" else ""
    if os.path.isabs(folder) and os.path.isdir(folder):
        log = log_of(folder)[0]
    if bridge == "git":
        if git_folder := os.environ.get("GIT_DIR"):
            root, log = cwd, log_folder(os.path.join(cwd, git_folder))
        told: dict[str, object] = {"hook": "".join(arguments[1:2])}
        told |= {name: value for name, _, value in (text.partition("=") for text in arguments[2:])}
        if arguments[1:2] == ["post-rewrite"]:
            lines = read_input()[0].decode("ascii", "replace").splitlines()
            told["pairs"] = [words[:2] for words in map(str.split, lines) if len(words) >= 2]
        data = _written(told)
    else:
        data, size = read_input()
    folders = spools(log)
    if not data.strip():
        note_error(folders, f"{bridge}: the hook gave no input")
        return
    if size > INPUT_BYTES_MAX:
        note_error(folders, f"{bridge}: lost the input of a hook: it has {size} bytes")
        return
    name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(3).hex()}.json"
    head = head_of(bridge, cwd, root, data)
    edits_in, failures = head.pop("edits_in", ()), []
    content = record(head, data)
    for folder in folders:
        try:
            keep(folder, name, content)
            if "runner" not in head:
                _note_firing(folder, bridge, head["time_ns"])
            break
        except OSError as error:
            failures.append(f"{folder}: {error.strerror or error}")
    else:
        note_error(folders, f"{bridge}: lost the input of a hook: {'; '.join(failures)}")
    for other in _others(os.path.realpath(log), head.get("session", ""), edits_in):
        keep(os.path.join(other, SPOOL), name, record({**head, "log": log}, data))


def _note_firing(folder: str, bridge: str, time_ns: int) -> None:
    """Gives a file of a tool in a spool the time at which its hook fired last."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        mark = os.open(os.path.join(folder, f"{FIRED}{bridge}"), flags, 0o600)
        os.utime(mark, ns=(time_ns, time_ns))
        os.close(mark)
    except OSError:  # as where somebody's name of an agent is no name of a file
        pass


def _others(log: str, session: str, edits_in: "Iterable[str]") -> "list[str]":
    """Returns the logs of other repositories in which a session has edited, or is about to.

    They are noted in the spool, as what follows names no path there; one that is missing is not
    made. Raises OSError.
    """
    plain = session.replace("-", "").replace("_", "")
    if not (plain.isalnum() and plain.isascii() and len(session) <= _NAME_CHARACTERS_MAX):
        return []
    place = os.path.join(log, SPOOL, f".also-{session}")
    others = [*filter(None, os.fsdecode(_content(place)).split("\0"))]
    places = (found for folder in edits_in if (found := repository(folder)))
    logs = {os.path.realpath(log_folder(git_folder)) for _, git_folder in places}
    for other in logs.difference(others, [log]):
        if os.path.isdir(other):
            others.append(other)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(place, flags, 0o600), "wb", 0) as file:
                file.write(os.fsencode(f"{other}\0"))
    return [other for other in others if os.path.isdir(other)]


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:  # the folder was removed
        return os.environ.get("PWD", "/")


def main() -> None:
    """Fires once; the process ends here, with 0."""
    try:
        fire(sys.argv[1:])
    except BaseException as error:  # boundary: a hook may never stop or disturb its agent
        try:
            note_error(spools(log_of(_cwd())[0]), f"a hook failed: {error!r}")
        finally:  # else nobody can be told
            os._exit(0)
    os._exit(0)


if __name__ == "__main__":
    main()
