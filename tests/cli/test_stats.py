import pytest
from opentelemetry.sdk.trace import TracerProvider
from tests.cli.installed import thence
from tests.cli.warm import warm

import thence as package
from thence.cli.shared.render import NAMES_SHOWN_MAX
from thence.otel import SpanProcessor


def stats(cwd, *arguments):
    return warm("stats", "--log", "orders", *arguments, cwd=cwd)


@pytest.mark.promise("P6")
def test_json_counts_events_by_type_actor_and_node(tmp_path, orders):
    ended = stats(tmp_path, "--json")
    assert (ended.code, ended.err) == (0, "")
    told = ended.json
    counts = "events failures rejected tokens_in tokens_out cost"
    assert list(told) == f"{counts} by_type by_actor nodes first last bytes".split()
    assert (told["events"], told["failures"], told["rejected"]) == (4, 1, 0)
    assert told["by_type"] == {"note": 1, "order.failed": 1, "order.paid": 1, "order.placed": 1}
    assert told["by_actor"] == {"ada": 1, "ben": 1}
    ((node, count),) = told["nodes"].items()
    assert (len(node), count) == (12, 4)
    assert told["bytes"] == (tmp_path / "orders" / "events.jsonl").stat().st_size
    shown = warm("show", orders[0], "--log", "orders", "--json", cwd=tmp_path).json
    assert told["first"] == {"event_id": orders[0], "timestamp": shown["timestamp"]}
    assert told["last"]["event_id"] == orders[3]


def test_text_tells_the_same_with_bars(tmp_path, orders):
    out = stats(tmp_path).out
    size = (tmp_path / "orders" / "events.jsonl").stat().st_size
    assert out.startswith(f"4 events in orders\n  {size:,} bytes in 1 file\n  first  20")
    for told in ("\nby type\n", "\nby actor\n  ada  1  ▇", "\nby node\n", f"[{orders[3][:18]}]"):
        assert told in out
    assert "\n  1 failure, 0 rejected\n" in out
    assert "rejected" not in stats(tmp_path, "--type", "order.paid").out


def test_many_names_are_cut_and_counted(tmp_path):
    with package.open(tmp_path / "orders") as log:
        for number in range(NAMES_SHOWN_MAX + 2):
            log.emit(f"kind.{number}")
    out = stats(tmp_path).out
    assert "2 more types; -v shows all" in out
    assert out.count("kind.") == NAMES_SHOWN_MAX
    assert stats(tmp_path, "-v").out.count("kind.") == NAMES_SHOWN_MAX + 2


def test_tokens_and_cost_are_added_up(tmp_path, orders):
    with package.open(tmp_path / "orders") as log:
        log.append("ask", {"model": "m", "tokens_in": 1_000, "tokens_out": 20}, actor="ada")
        log.append("ask", {"tokens_in": 1, "cost": 0.25}, actor="ada")
    told = stats(tmp_path, "--json").json
    assert (told["tokens_in"], told["tokens_out"], told["cost"]) == (1_001, 20, 0.25)
    assert "\n  1,001 tokens in, 20 tokens out, cost 0.25\n" in stats(tmp_path).out
    told = stats(tmp_path, "--by", "actor", "--json").json
    assert told["usage"] == {"ada": {"tokens_in": 1_001, "tokens_out": 20, "cost": 0.25}}
    assert stats(tmp_path, "--by", "actor").lines[3:] == [
        "  ada  3  1,001 tokens in, 20 tokens out, cost 0.25", "  ben  1"]  # fmt: skip
    assert stats(tmp_path, "--type", "note", "--json").json["cost"] is None


@pytest.mark.promise("A4b")
def test_spans_are_added_up_by_agent_model_and_tool_each_once(tmp_path):
    provider = TracerProvider()
    with package.open(tmp_path / "log") as log:
        provider.add_span_processor(SpanProcessor(log))
        tracer = provider.get_tracer("test")
        used = {"gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 60}
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "shop"}
        with tracer.start_as_current_span("invoke_agent shop", attributes=agent) as run:
            for _ in range(2):
                asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
                with tracer.start_as_current_span("chat gpt-4o", attributes=asked) as chat:
                    chat.set_attributes({name: count // 2 for name, count in used.items()})
                    chat.set_attribute("operation.cost", 0.25)
                tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pay"}
                with tracer.start_as_current_span("execute_tool pay", attributes=tool):
                    pass
            run.set_attributes(used)  # the sum of its model calls
    took = {"tokens_in": 200, "tokens_out": 60, "cost": 0.5}
    asked = thence("stats", "--log", "log", "--by", "model", "--json", cwd=tmp_path).json
    assert (asked["by_model"], asked["usage"]) == ({"gpt-4o": 2}, {"gpt-4o": took})
    asked = thence("stats", "--log", "log", "--by", "actor", "--json", cwd=tmp_path).json
    assert asked["usage"] == {"shop": took}
    asked = thence("stats", "--log", "log", "--by", "tool", "--json", cwd=tmp_path).json
    assert asked == {"events": 2, "by_tool": {"pay": 2}}
    told = thence("stats", "--log", "log", cwd=tmp_path).out
    assert "200 tokens in, 60 tokens out, cost 0.5" in told
