"""The resources of assets: the home with its settings and store, and the MLflow run that a Dagster run logs into."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from filelock import FileLock, Timeout

from hdfs_pipeline.defs.common.beta import beta
from hdfs_pipeline.domains import DOMAINS
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store.store import Store

_TURN_S = 3600.0  # seconds that a run waits for its turn: longer than any ingest or training should take
_TICK_S = 3.0  # seconds that a sensor waits for the store: it comes again soon


class Home(dg.ConfigurableResource):
    """One cluster's folder; by default the one that the environment names (HDFS_PIPELINE_HOME)."""

    path: str = ""

    @property
    def settings(self) -> Settings:
        """Settings of the home."""
        return load_settings(self.path or None)

    @property
    def store(self) -> Store:
        """Store of the home."""
        return Store.open(self.settings)

    @property
    def store_for_ticks(self) -> Store:
        """The store for sensors, which come again soon and should not wait: it gives up sooner than `store`."""
        settings = self.settings
        return Store.open(settings.model_copy(update={"lock_timeout_s": min(_TICK_S, settings.lock_timeout_s)}))

    @contextmanager
    def alone(self, work: str) -> Iterator[None]:
        """Keep all other runs of this home from doing the same `work` inside the block.

        Reading, parsing and saving models first look at what is there and then add to it. A file lock is released when
        its process ends; a slot of a Dagster pool would stay taken after a run that was killed.
        """
        folder = self.settings.home / "dagster"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{work}.lock", timeout=_TURN_S)
        try:
            turn = lock.acquire()
        except Timeout:
            raise SetupError(
                f"another run of {self.settings.home} has been busy with {work} for {_TURN_S / 3600:g} h: end it, or "
                "start this run again once it has ended"
            ) from None
        with turn:
            yield


class MlflowRun(dg.ConfigurableResource):
    """dagster-mlflow's resource: one MLflow run per Dagster run, in which each training is a nested run.

    This resource ends the run: `end_mlflow_on_run_finished` ends it with the job's last step, and so never if only some
    assets are materialized. Every job runs in one process, so there is one such run at a time.
    """

    home: dg.ResourceDependency[Home]

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Any]:
        """Open the run; end it as finished, or as failed if a step failed."""
        import mlflow

        from hdfs_pipeline.learning.tracking import experiment_of, start_tracking

        settings = self.home.settings
        # First our own call: dagster-mlflow would make the experiment without a folder of its own for artifacts.
        domain = _domain(context)
        start_tracking(settings, domain)
        config = {"experiment_name": experiment_of(domain), "mlflow_tracking_uri": settings.tracking_uri}
        status = "FAILED"
        try:
            yield _dagster_mlflow(context.replace_config(config))
            status = "FAILED" if _step_failed(context) else "FINISHED"
        finally:
            mlflow.end_run(status)


def _dagster_mlflow(context: dg.InitResourceContext) -> Any:
    with beta():
        from dagster_mlflow.resources import MlFlow

        return MlFlow(context)


def _domain(context: dg.InitResourceContext) -> str:
    """The domain of a run by its job's tag; the first domain if there is no tag."""
    tags = context.run.tags if context.run is not None else {}
    return tags.get("domain", next(iter(DOMAINS)))


def _step_failed(context: dg.InitResourceContext) -> bool:
    if context.instance is None or context.run is None:
        return False
    kinds = {dg.DagsterEventType.STEP_FAILURE}
    return bool(context.instance.all_logs(context.run.run_id, of_type=kinds))


@dg.definitions
def resources() -> dg.Definitions:
    """The resources, and one process per run: DuckDB has one writer, and models are small beside an interpreter."""
    home = Home()
    return dg.Definitions(
        resources={"home": home, "mlflow": MlflowRun(home=home)},
        executor=dg.in_process_executor,
    )
