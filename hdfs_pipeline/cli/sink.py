"""The process that stores what comes over Kafka."""

import logging

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.worker import now_and_then
from hdfs_pipeline.settings import load_settings

app = typer.Typer()


@app.command()
def sink() -> None:
    """Store what comes over Kafka within seconds, in place of Dagster's runs; Ctrl-C or SIGTERM ends it.

    Each message is stored once, whoever stores it. A second such process waits for the end of the first.
    """
    from hdfs_pipeline.processes.signals import stop_on_signals
    from hdfs_pipeline.sinks.following import follow
    from hdfs_pipeline.streaming.topics import all_topics

    handler = logging.StreamHandler()
    handler.setFormatter(terminal.PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("hdfs_pipeline.kafka").addFilter(now_and_then())
    sinks = {topic.name: topic.sink for topic in all_topics().values() if topic.sink is not None}
    with stop_on_signals() as stopped:
        follow(
            load_settings(),
            sinks,
            stopped,
            lambda line: terminal.err.print(line, markup=False, highlight=False, soft_wrap=True),
        )
