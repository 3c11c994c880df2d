"""`SandboxMetrics`: what a sandbox server counts, in the Prometheus text format."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from agentgym.sandbox import ExecResult

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)


class SandboxMetrics:
    """The figures of one server, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "agentgym_requests",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "agentgym_request_seconds",
            "From a request to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.execs = Counter(
            "agentgym_execs",
            "Execs by outcome: ok, error, the limit that ended them, infra or abandoned.",
            ("outcome",),
            registry=self._registry,
        )
        self.exec_seconds = Histogram(
            "agentgym_exec_seconds",
            "Run time of execs.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.wait_seconds = Histogram(
            "agentgym_wait_seconds",
            "Waits for a turn.",
            buckets=_SECONDS,
            registry=self._registry,
        )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a value as it is whenever somebody looks."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def ran(self, result: ExecResult) -> None:
        """Count an exec that came to its end."""
        self.execs.labels(result.limit or ("ok" if result.ok else "error")).inc()
        self.exec_seconds.observe(result.seconds)

    def text(self) -> bytes:
        """Return everything, as Prometheus reads it."""
        return generate_latest(self._registry)
