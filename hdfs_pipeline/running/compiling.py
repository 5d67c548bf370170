"""The loops that numba compiles, compiled before anything waits for them. The result is cached beside the modules."""

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.store.store import Store


def compile_loops() -> Iterator[tuple[str, float]]:
    """Let each domain read its `examples` in a process and a home of its own; its name and the seconds that took.

    Each domain takes 30 to 60 s of CPU time where nothing is cached, and a few seconds else.
    """
    named = [domain.name for domain in all_domains() if domain.examples]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_read_examples, name) for name in named]):
            yield done.result()


def _read_examples(name: str) -> tuple[str, float]:
    began, domain = time.monotonic(), domain_named(name)
    logging.disable()  # what the reader says of so few lines
    with TemporaryDirectory() as folder:
        settings, log = load_settings(Path(folder, "home")), Path(folder, "examples.log")
        log.write_text("".join(f"{line}\n" for line in domain.examples))
        settings.home.mkdir()
        domain.read(Store.open(settings), settings, [str(log)], propose=False)
    return name, time.monotonic() - began
