"""The terminal UI of an agent, in a tmux server of its own."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

WAIT_S = 40
_LOOK_S = 0.2


class Terminal:
    """One program in a terminal of 120 columns; its screen is read as text."""

    def __init__(
        self, folder: Path, argv: Sequence[str], cwd: Path, env: Mapping[str, str]
    ) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._env = env
        words = ["new-session", "-d", "-P", "-F", "#{pane_id}", "-x", "120", "-y", "50"]
        self._pane = self._run(*words, "-c", str(cwd), *argv).strip()

    def _run(self, *words: str) -> str:
        argv = [*self._tmux, *words]
        return subprocess.check_output(
            argv, env=dict(self._env), stderr=subprocess.PIPE, text=True, timeout=WAIT_S
        )

    def screen(self) -> str:
        """Returns what the terminal shows; "" when its program has ended."""
        try:
            return self._run("capture-pane", "-p", "-t", self._pane)
        except subprocess.CalledProcessError:
            return ""

    def see(self, pattern: str) -> None:
        """Waits until the screen has a pattern; raises TimeoutError."""
        self._wait(lambda screen: re.search(pattern, screen), f"showed {pattern!r}")

    def press_until(self, key: str, pattern: str) -> None:
        """Presses a key until the screen has a pattern: it may be deaf when it is new."""
        for _ in range(WAIT_S):
            if re.search(pattern, self.screen()):
                return
            self.press(key)
            time.sleep(1)
        self.see(pattern)

    def wait_for_end(self) -> None:
        """Waits until the program has ended; raises TimeoutError."""
        self._wait(lambda screen: not screen, "ended")

    def _wait(self, is_there: Callable[[str], object], words: str) -> None:
        end_s = time.monotonic() + WAIT_S
        while not is_there(screen := self.screen()):
            if time.monotonic() > end_s:
                shown = "\n".join(line for line in screen.splitlines() if line.strip())
                raise TimeoutError(f"the terminal's program never {words}, but shows:\n{shown}")
            time.sleep(_LOOK_S)

    def kill(self) -> None:
        """Kills the program, and all that it started in its session."""
        pid = int(self._run("display-message", "-p", "-t", self._pane, "#{pane_pid}"))
        os.killpg(pid, signal.SIGKILL)
        self.wait_for_end()

    def press(self, *keys: str) -> None:
        """Presses keys, by the names that tmux gives them."""
        self._run("send-keys", "-t", self._pane, *keys)

    def type(self, text: str) -> None:
        """Types a text, and Enter when the program had time to take it as typed."""
        self._run("send-keys", "-t", self._pane, "-l", text)
        time.sleep(3 * _LOOK_S)
        self.press("Enter")
