// An agent with a model call and a tool, whose spans go to the endpoint of its environment.
import { trace, SpanStatusCode } from "@opentelemetry/api";
import { NodeTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-node";

const form = process.argv[2];
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${form}`);
const provider = new NodeTracerProvider({
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
const tracer = trace.getTracer("shop");
const part = { type: "tool_call", id: "c1", name: "pay", arguments: { order: 881 } };
const answer = JSON.stringify([{ role: "assistant", parts: [part] }]);

await tracer.startActiveSpan("agent", async (agent) => {
  tracer.startActiveSpan("chat", (chat) => {
    chat.setAttributes({
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "gpt-4o",
      "gen_ai.usage.input_tokens": 100,
      "gen_ai.output.messages": answer,
    });
    chat.end();
  });
  await provider.forceFlush(); // before its parent
  tracer.startActiveSpan("pay", (pay) => {
    pay.setAttributes({ "gen_ai.tool.name": "pay", "gen_ai.tool.call.id": "c1" });
    pay.recordException(new Error("give an idempotency key"));
    pay.setStatus({ code: SpanStatusCode.ERROR, message: "give an idempotency key" });
    pay.end();
  });
  agent.end();
});
await provider.shutdown();
