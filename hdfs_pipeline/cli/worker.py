"""The stream worker."""

import logging
from collections.abc import Callable
from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.settings import load_settings

app = typer.Typer()


@app.command()
def stream(
    detector: Annotated[
        str | None, typer.Option(help="This detector alone; by default the champion and those beside it.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            callback=terminal.finite, help="Score from which a block is anomalous; the model's own by default."
        ),
    ] = None,
    begin: Annotated[str, typer.Option("--from", help="Topic of records, such as web_logs.")] = "raw_logs",
    end: Annotated[str, typer.Option("--to", help="anomalies, or aggregated_events to count only.")] = "anomalies",
) -> None:
    """Consume records from Kafka, judge what they tell of, publish the anomalies. Ctrl-C or SIGTERM ends it.

    Workers share the partitions: start as many as you like. With --from and --to each stage can be its own service.
    """
    from hdfs_pipeline.streaming.stream import stream as run

    handler = logging.StreamHandler()
    handler.setFormatter(terminal.PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("hdfs_pipeline.kafka").addFilter(now_and_then())
    run(load_settings(), begin, end, detector=detector, threshold=threshold)


def now_and_then(every_s: float = 10.0) -> Callable[[logging.LogRecord], bool]:
    """A filter that lets equal messages pass now and then: librdkafka repeats them while a broker is away."""
    last: dict[str, float] = {}

    def passes(record: logging.LogRecord) -> bool:
        kind = str(record.args[0] if isinstance(record.args, tuple) and record.args else record.msg)
        if record.created - last.get(kind, 0.0) < every_s:
            return False
        last[kind] = record.created
        return True

    return passes
