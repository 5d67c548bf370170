"""What a new home lacks: a champion, as soon as it goes, and then all that the main job makes of the sample.

`python -m hdfs_pipeline.running.first_run SAMPLE` in the home that the environment names; `hdfs-pipeline up` starts it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.running.orchestration import dagster_answers, page, run_blocks_job
from hdfs_pipeline.scoring.models import named_champion, trained_detectors
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.settings import Settings, load_settings

_PAGE_S: Final = 300.0  # seconds that the web page is waited for
Tell = Callable[[str], None]


def first_champion(settings: Settings, sample: Path, tell: Tell) -> Card:
    """Read the sample and train the champion's detector on all of its blocks; its card.

    It is judged on nothing and not recorded in MLflow: the main job, which trains the next version, does both. That
    takes most of its time, and stream workers need only the model.
    """
    from hdfs_pipeline.detectors import families
    from hdfs_pipeline.domains.blocks.features import build_matrix, load_dataset
    from hdfs_pipeline.domains.blocks.ingest import ingest
    from hdfs_pipeline.domains.blocks.labels import load_labels
    from hdfs_pipeline.domains.blocks.parse import parse
    from hdfs_pipeline.learning.tracking import publish_model
    from hdfs_pipeline.learning.training import fit
    from hdfs_pipeline.scoring.models import save_model
    from hdfs_pipeline.store.store import Store

    store = Store.open(settings)
    tell(f"reads the sample {sample.name}")
    ingest(store, settings, [str(sample)])
    parse(store, settings)
    load_labels(store, sample / "labels.csv")
    build_matrix(store, settings)
    name = named_champion(settings)
    data = load_dataset(store, settings, families([name]))
    tell(f"{name} learns from {len(data):,} blocks")
    card = save_model(fit(data, name, settings), settings).card
    publish_model(store, settings, card)
    tell(f"{card.detector} version {card.version} is ready to serve")
    return card


def first_run(settings: Settings, sample: Path, tell: Tell) -> bool:
    """A champion where there is no model; then, once Dagster's page is there, the main job; whether it succeeded."""
    began = time.monotonic()
    if not trained_detectors(settings):
        first_champion(settings, sample, tell)
    # Dagster makes its history's tables when it starts, which is no work for two; and the stream comes first.
    while not dagster_answers(settings) and time.monotonic() - began < _PAGE_S:
        time.sleep(0.5)
    tell(f"the main job trains and judges every detector: {page(settings)}/runs")
    done = run_blocks_job(
        settings,
        [str(sample)],
        str(sample / "labels.csv"),
        lambda name, number, of: tell(f"{name} ({number} of {of})"),
    )
    if done:
        tell(f"all assets are there, after {time.monotonic() - began:.0f} s")
    return done


def _main() -> int:
    def tell(text: str) -> None:
        print(text, flush=True)

    try:
        return int(not first_run(load_settings(), Path(sys.argv[1]), tell))
    except PipelineError as error:
        tell(str(error))
        return error.exit_code


if __name__ == "__main__":
    code = _main()
    sys.stdout.flush()
    os._exit(code)  # an orderly shutdown would let DuckDB's bindings print pages about objects that caches hold
