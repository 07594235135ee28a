"""Traces of OpenTelemetry in OTLP/JSON: a log's steps as spans, spans as a log's steps."""
