"""The first run of a new home: it trains a champion on the sample at once, and then runs the main job on it.

`python -m hdfs_pipeline.running.first_run SAMPLE` in the home that the environment names; `hdfs-pipeline up` starts it.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.running.orchestration import dagster_answers, page, run_main_job
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.settings import Settings, load_settings

_PAGE_S: Final = 300.0  # seconds to wait for the web page
Tell = Callable[[str], None]

if TYPE_CHECKING:
    from hdfs_pipeline.domains.contract import Domain


def first_champion(settings: Settings, domain: "Domain", sample: Path, tell: Tell) -> Card:
    """Read the sample and train the champion's detector on all of its items. Returns the model's card.

    The model is not judged and not recorded in MLflow: both take most of the time of a training, and stream workers
    need only the model. The main job does both with the next version, which takes its place.
    """
    from hdfs_pipeline.domains.champions import families, named_champion
    from hdfs_pipeline.domains.following import read_for_all
    from hdfs_pipeline.learning.challenge import PROVISIONAL
    from hdfs_pipeline.learning.tracking import publish_model
    from hdfs_pipeline.learning.training import fit
    from hdfs_pipeline.scoring.models import save_model
    from hdfs_pipeline.store.store import Store

    store = Store.open(settings)
    tell(f"reads the sample {sample.name}")
    read_for_all(store, settings, domain, [str(sample)], sample / "labels.csv", propose=False)
    name = named_champion(settings, domain)
    data = domain.features(store, settings, families(domain, [name]))
    tell(f"{name} learns from {len(data):,} {domain.item.plural}")
    scorer = fit(data, domain, name, settings)
    card = save_model(replace(scorer, card=replace(scorer.card, judgement=PROVISIONAL)), settings).card
    publish_model(store, settings, card)
    tell(f"{card.detector} version {card.version} is ready to serve")
    return card


def first_run(settings: Settings, sample: Path, tell: Tell) -> bool:
    """Train a champion if there is no model, then run the main job once Dagster's page is there.

    Returns whether the main job succeeded.
    """
    from hdfs_pipeline.domains import domain_named

    began, domain = time.monotonic(), domain_named()
    if not trained_detectors(settings, domain.name):
        first_champion(settings, domain, sample, tell)
    # Dagster makes the tables of its history when it starts, and two processes must not do so at once.
    while not dagster_answers(settings) and time.monotonic() - began < _PAGE_S:
        time.sleep(0.5)
    tell(f"the main job trains and judges every detector: {page(settings)}/runs")
    done = run_main_job(
        settings,
        domain.name,
        [str(sample)],
        str(sample / "labels.csv"),
        lambda name, number, of: tell(f"{name} ({number} of {of})"),
    )
    if done:
        tell(
            f"all assets are there, after {time.monotonic() - began:.0f} s; `hdfs-pipeline status` tells what is wrong"
        )
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
