"""The front door of thence, a durable and causally ordered event log."""

__version__ = "0.1.0"

__all__ = ["__version__"]
