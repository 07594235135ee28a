"""What a society of models costs its machine, beside a loop over the same requests by hand.

    python -m bench.society

50 agents decide in 20 turns: 1,000 calls. The endpoint is a process of its own that answers at
once. By hand are the same messages and schemas by the client of OpenAI, one turn after the other;
nothing is recorded there. Both are processor seconds of a process, without its start.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from tests.sim.models.endpoint import Endpoint

from thence.sim import SimulationOrchestrator, open_run

RATIO_MAX = 1.2
AGENTS, TURNS, ROUNDS = 50, 20, 5
_ANSWER = json.dumps({"action": {"do": "give", "amount": 1}})
_AMOUNT = {"type": "int", "min": 0, "max": 5}


def scenario(url: str) -> dict[str, Any]:
    """Returns the society."""
    agent = {
        "type": "llm_agent",
        "prompt": "You may give money to the village.",
        "actions": [{"name": "give", "fields": {"amount": _AMOUNT}}],
    }
    return {
        "simulation": {"name": "society", "max_turns": TURNS},
        "llm": {"endpoints": {"local": {"base_url": url, "model": "m", "concurrency": AGENTS}}},
        "state_variables": {"agent_vars": [{"name": "money", "type": "int", "default": 10}]},
        "agents": [{**agent, "name": f"a-{number}"} for number in range(AGENTS)],
    }


def by_run(url: str, folder: Path) -> float:
    """Returns the processor seconds of a run, and leaves its requests in a file."""
    start_s = time.process_time()
    result: Any = SimulationOrchestrator(scenario(url), output_root=folder).run()
    took_s = time.process_time() - start_s
    (sums,) = result.usage["by_model"].values()  # under the name that the endpoint gives
    assert sums["calls"] == AGENTS * TURNS
    with open_run(result.output_dir) as run:
        calls = [event.payload for event in run.log.read() if "messages" in event.payload]
    requests = [{"messages": call["messages"], "schema": call["schema"]} for call in calls]
    (folder / "requests.json").write_text(json.dumps(requests))
    return took_s


async def by_hand(url: str, folder: Path) -> float:
    """Returns the processor seconds of the same requests by the client of OpenAI."""
    from openai import AsyncOpenAI

    requests = json.loads((folder / "requests.json").read_text())
    client: Any = AsyncOpenAI(base_url=url, api_key="-", max_retries=0)

    async def ask(request: dict[str, Any]) -> Any:
        schema = {"name": "answer", "strict": True, "schema": json.loads(request["schema"])}
        answer = await client.chat.completions.create(
            model="m",
            messages=request["messages"],
            response_format={"type": "json_schema", "json_schema": schema},
        )
        return json.loads(answer.choices[0].message.content)["action"]

    start_s = time.process_time()
    rest = iter(requests)
    while turn := [*islice(rest, AGENTS)]:
        await asyncio.gather(*map(ask, turn))
    return time.process_time() - start_s


def main() -> None:
    """Prints the row."""
    argv = [sys.executable, "-m", "bench.society"]
    seconds: dict[str, list[float]] = {"run": [], "hand": []}
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder,
        subprocess.Popen(
            [*argv, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for _ in range(ROUNDS):
            for way in seconds:
                done = subprocess.run([*argv, way, url, folder], stdout=subprocess.PIPE, check=True)
                seconds[way].append(float(done.stdout.split()[-1]))
        server.communicate("")
    run_s, hand_s = (statistics.median(of) for of in seconds.values())
    ratio = run_s / hand_s
    verdict = "reached" if ratio <= RATIO_MAX else "NOT REACHED"
    print(f"{AGENTS * TURNS:,} calls: a run {run_s:.2f} s, by hand {hand_s:.2f} s of processor")
    print(f"run / by hand {ratio:.2f}, target {RATIO_MAX}: {verdict}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        with Endpoint(lambda body: _ANSWER) as endpoint:
            print(endpoint.base_url, flush=True)
            sys.stdin.read()
    elif sys.argv[1:2] == ["run"]:
        print(by_run(sys.argv[2], Path(sys.argv[3])))
    elif sys.argv[1:2] == ["hand"]:
        print(asyncio.run(by_hand(sys.argv[2], Path(sys.argv[3]))))
    else:
        main()
