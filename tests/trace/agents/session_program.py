"""A program in the place of an agent: it fires hooks and runs commands as its driver tells it.

Each order is a line of JSON on stdin, each answer one on stdout. Hooks run under a shell, as agents
run them, and so do commands: what git fires has this process among those above it.
"""

import json
import subprocess
import sys


def run(order: dict[str, str]) -> dict[str, object]:
    words = ["/bin/sh", "-c", order["shell"]]
    stdin = order.get("stdin", "").encode()
    done = subprocess.run(words, input=stdin, cwd=order["cwd"], capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode(errors="replace")
    return {"code": done.returncode, "out": text}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
