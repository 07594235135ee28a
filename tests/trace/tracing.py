"""A tracer whose spans a log holds, and what the events of a log are caused by."""

from opentelemetry.sdk.trace import TracerProvider

from thence.otel import SpanProcessor


def traced(log, durable=None, **of_provider):
    """Returns a tracer whose spans a log records, and the processor that does so."""
    provider = TracerProvider(**of_provider)
    processor = SpanProcessor(log, durable=durable)
    provider.add_span_processor(processor)
    return provider.get_tracer("test"), processor


def causes(log):
    """Returns what each event is caused by, all by their types."""
    log.flush()
    events = log.events()
    types = {event.event_id: event.event_type for event in events}
    return {
        event.event_type: [types.get(cause, cause) for cause in event.caused_by] for event in events
    }
