"""A repository with hooks of thence in it, and real agents that work there.

Each stage has a HOME, a repository and a log of its own. What is done there is data: scripts for
the model, and acts, each the name of a method of `Stage` with its arguments, or of one of
`Terminal` with a terminal's label before them.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.trace.agents.real.model import Model
from tests.trace.agents.real.scenarios import Scenario, prompt
from tests.trace.agents.real.terminal import WAIT_S, Terminal

THENCE = Path(sys.executable).parent / "thence"
RUN_S = 120
_KEY = "sk-ant-api03-of-no-use"
_WHO = ("AUTHOR", "COMMITTER")
_SET = (
    *("DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING"),
    *("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "CLINE_NO_AUTO_UPDATE"),
    *("OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_MODELS_FETCH"),
    *("OPENCODE_DISABLE_LSP_DOWNLOAD", "OPENCODE_DISABLE_DEFAULT_PLUGINS"),
)
_CODEX_CONFIG = """\
model = "gpt-5.5"
model_provider = "stub"
check_for_update_on_startup = false
[model_providers.stub]
name = "stub"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "STUB_KEY"
[notice.model_migrations]
"gpt-5.5" = "gpt-6-sol"
[features]
multi_agent = true
"""
# what each other agent reads in the home: it asks nothing, and calls nobody but the model
_SETTINGS = json.loads(Path(__file__).with_name("settings.json").read_text())
# keeps the input of a hook, and hands it on
_KEEP = """
if [ "$1" != git ] && [ "$1" != --check ]; then
    f={folder}/$1-$(date +%s%N) && cat >$f.json && exec <$f.json
    env | grep -E '^(AGENT|AI_AGENT|CLAUDE|CODEX)' >$f.env
fi
"""
_NO_SANDBOX = "--dangerously-bypass-approvals-and-sandbox"
_EDITS = ("--permission-mode", "acceptEdits")
WORDS = {
    "claude": ("claude", *_EDITS, "--allowedTools=Bash"),
    "claude -p": ("claude", "-p", *_EDITS, "--allowedTools=Bash"),
    "claude -p strict": ("claude", "-p", *_EDITS),
    "codex": ("codex", _NO_SANDBOX),
    "codex exec": ("codex", "exec", _NO_SANDBOX),
    "codex exec resume": ("codex", "exec", "resume", "--last", _NO_SANDBOX),
    "gemini -p": ("gemini", "--yolo", "-m", "gemini-2.5-flash", "-p"),
    "qwen -p": ("qwen", "--yolo", "-p"),
    # it would put quotation marks around a text of several words
    "opencode run": ("sh", "-c", "exec opencode run $1", "sh"),
    "cline": ("cline",),
}
_READY = r"\? for shortcuts|⏵⏵"


class Stage:
    """One scenario's place; `asked` are the prompts that its user gave."""

    def __init__(self, folder: Path, programs: Path, model: Model) -> None:
        self.folder, self.home, self.repo = folder, folder / "home", folder / "shop"
        self.model = model
        self.asked: list[str] = []
        self._terminals: dict[str, Terminal] = {}
        self._is_trusted = False
        self.env = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join((str(programs), str(THENCE.parent), os.environ["PATH"])),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": _KEY,
            **dict.fromkeys(("STUB_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"), "of-no-use"),
            "GOOGLE_GEMINI_BASE_URL": model.url,
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "OPENAI_MODEL": "stub",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
            "npm_config_offline": "true",  # opencode fetches its plugins' types, for a minute
            **dict.fromkeys(_SET, "1"),
            **{f"GIT_{who}_NAME": "Ada" for who in _WHO},
            **{f"GIT_{who}_EMAIL": "ada@example.com" for who in _WHO},
        }
        (self.home / ".claude").mkdir(parents=True)
        (self.home / ".codex").mkdir()
        self._settings()
        for name, settings in _SETTINGS.items():
            path = self.home / name
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(settings).replace("{url}", model.url))

    def _settings(self) -> None:
        approved = {"approved": [_KEY[-20:]], "rejected": []}
        trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        folders = (self.repo, self.folder / "tree")
        state = {"hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": approved}
        state["projects"] = {str(folder): trusted for folder in folders}
        (self.home / ".claude.json").write_text(json.dumps(state))
        lines = [f'[projects."{folder}"]\ntrust_level = "trusted"\n' for folder in folders]
        config = _CODEX_CONFIG.format(url=self.model.url) + "".join(lines)
        (self.home / ".codex/config.toml").write_text(config)

    def record(self, folder: Path) -> None:
        """Has each hook also keep its input in a folder, with what its agent tells by variables."""
        folder.mkdir(parents=True, exist_ok=True)
        for log in (self.repo / ".git/thence/agents", self.home / ".local/state/thence/agents"):
            if (path := log / "hook.sh").exists():
                text = path.read_text()
                path.write_text(text.replace("\n", _KEEP.format(folder=folder), 1))

    def keep(self, folder: Path) -> None:
        """Copies the transcripts, what hooks left before it is taken in, and the commits."""
        agents = {name: self.home / name for name in (".claude/projects", ".codex/sessions")}
        for name, place in {**agents, "spool": self.repo / ".git/thence/agents/spool"}.items():
            if place.exists():
                shutil.copytree(place, folder / name)
        shutil.copy(self.repo / ".git/logs/HEAD", folder / "reflog")
        (folder / "commits").write_text(self.sh("git fast-export --all"))

    def play(self, scenario: Scenario) -> None:
        """Plays the acts of a scenario; `@/` in its scripts is the repository's folder."""
        text = json.dumps(scenario.scripts).replace("@/", f"{self.repo}/")
        self.model.scripts |= json.loads(text)
        for act, *words in scenario.acts:
            if hasattr(self, act):
                getattr(self, act)(*words)
            else:
                getattr(self._terminals[words[0]], act)(*words[1:])

    def sh(self, command: str, where: str = "shop") -> str:
        """Runs a command as a person does."""
        argv, cwd = ["/bin/sh", "-ec", command], self.folder / where
        done = subprocess.run(
            argv, cwd=cwd, env=self.env, capture_output=True, text=True, timeout=RUN_S
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}{done.stdout}")
        return done.stdout

    def ask(self, program: str, script: str, *options: str) -> None:
        """Runs an agent without a terminal, until it has answered."""
        argv = (*WORDS[program], *options, self.given(script))
        self.sh(f"{shlex.join(argv)} </dev/null")

    def given(self, script: str) -> str:
        """Notes that a prompt is given, and returns it; no hook of cline has it."""
        self.asked += [] if script.startswith("l") else [prompt(script)]
        return prompt(script)

    def trust(self) -> None:
        """Has Codex run the hooks, which it does when its user has agreed in a terminal."""
        self.open("trust", "codex")
        self.leave("trust")

    def open(self, label: str, program: str, where: str = "shop") -> None:
        """Starts the terminal UI of an agent, and trusts the hooks as its user does."""
        terminal = Terminal(self.folder, WORDS[program], self.folder / where, self.env)
        self._terminals[label] = terminal
        if program == "codex" and not self._is_trusted:
            terminal.see("Trust all and continue")  # it is ready for a moment before
            terminal.press_until("Down", "› 2. Trust all")
            terminal.press_until("Enter", "› Ask Codex")
            self._is_trusted = True
        terminal.see(_READY)

    def say(self, label: str, script: str) -> None:
        """Types a prompt."""
        self._terminals[label].type(self.given(script))

    def leave(self, label: str) -> None:
        """Ends an agent in a terminal as its user does."""
        self._terminals[label].type("/exit")
        self._terminals[label].wait_for_end()

    def wait_for(self, name: str) -> None:
        """Waits until a file of the repository is there."""
        end_s = time.monotonic() + WAIT_S
        while not (self.repo / name).exists():
            if time.monotonic() > end_s:
                raise TimeoutError(f"nobody wrote {name}")
            time.sleep(0.1)

    def close(self) -> None:
        """Ends what still runs with this HOME, as the daemon of Codex does."""
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it has ended, or is another user's
                if f"HOME={self.home}\0".encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
