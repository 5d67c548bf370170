"""Per detector a model, its evaluation and its scores, from one factory; and the anomalies of the one that serves.

A detector that cannot learn in this home (random_forest without labels) is told by its `status` and by a yellow check,
not skipped: Dagster would also skip `anomalies`, for which another detector can stand in.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.blocks import event_matrix, feedback, labels
from hdfs_pipeline.defs.metadata import OWNERS, preview, row_count, table_metadata
from hdfs_pipeline.defs.models import evaluation_metadata, mlflow_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.detectors import DETECTORS, families
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.feedback import feedback_sentence
from hdfs_pipeline.scoring.models import named_champion, trained_detectors
from hdfs_pipeline.verdicts.score import load_scorer, publish_anomalies, score_blocks, serving_detector

_NO_MODEL = "no model in this home: nothing to do"


def _model(name: str) -> dg.AssetsDefinition:
    learned = dg.AssetCheckSpec("learned", asset=f"{name}_model", description="A model of this detector is at hand.")

    @dg.asset(
        name=f"{name}_model",
        deps=[event_matrix, labels, feedback],
        description=f"Model of {name}: {DETECTORS[name].about}. Judged on two splits, then fitted on all blocks; a run "
        "in MLflow and a new version of its registered model, `champion` from then on.",
        check_specs=[learned],
        kinds={*DETECTORS[name].kinds, "mlflow"},
        group_name="models",
        owners=OWNERS,
        metadata=table_metadata("models"),
    )
    def model(context: dg.AssetExecutionContext, home: Home, mlflow: dg.ResourceParam[Any]) -> dg.MaterializeResult:
        # Imported here: what trains and logs brings scikit-learn, torch and MLflow along.
        from hdfs_pipeline.learning.tracking import train_and_track

        settings = home.settings
        data = load_dataset(home.store, settings, families([name]))
        try:
            with home.alone("training"):
                card, run_id = train_and_track(home.store, data, name, settings, context.log.info)
        except DataError as error:
            if DETECTORS[name].cls.learns_from != "labels":
                raise
            context.log.warning(str(error))
            return _result({"status": f"not trained: {error}"}, name in trained_detectors(settings))
        mlflow.set_tag(f"{name}_model", card.version)  # on the Dagster run's own MLflow run
        about = {"version": card.version, "threshold": card.threshold, "blocks": card.blocks, "catalogue": card.source}
        about |= {"feedback": feedback_sentence(card.feedback)} if card.feedback else {}
        return _result({"status": "trained", **about, **mlflow_metadata(settings, run_id)}, learned=True)

    def _result(metadata: dict[str, Any], learned: bool) -> dg.MaterializeResult:
        check = dg.AssetCheckResult(
            check_name="learned",
            passed=learned,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"status": metadata["status"]},
        )
        return dg.MaterializeResult(metadata=metadata, check_results=[check])

    return model


def _evaluation(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{name}_evaluation",
        deps=[f"{name}_model"],
        description=f"How well {name} does on blocks that it was not trained on: half of them drawn at random, and the "
        "later half. Needs labels of both kinds.",
        kinds={"duckdb", "matplotlib"},
        group_name="evaluations",
        owners=OWNERS,
        metadata=table_metadata("evaluations"),
    )
    def evaluation(context: dg.AssetExecutionContext, home: Home) -> dg.MaterializeResult:
        settings = home.settings
        if name not in trained_detectors(settings):
            return dg.MaterializeResult(metadata={"status": _NO_MODEL})
        card = load_scorer(settings, name).card
        from hdfs_pipeline.learning.tracking import publish_evaluations

        publish_evaluations(home.store, card)
        if not card.metrics:
            return dg.MaterializeResult(metadata={"status": "not judged: needs labels of both kinds"})
        model = context.instance.get_latest_materialization_event(dg.AssetKey(f"{name}_model"))
        logged = model.asset_materialization.metadata if model and model.asset_materialization else {}
        return dg.MaterializeResult(metadata={"status": "judged", **evaluation_metadata(card, logged)})

    return evaluation


def _scores(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{name}_scores",
        deps=[event_matrix, f"{name}_model", "champion"],
        description=f"Score of every block by the present model of {name}, and whether it reaches the threshold.",
        kinds={"duckdb", "onnx" if "onnx" in DETECTORS[name].kinds else "numpy"},
        group_name="scores",
        owners=OWNERS,
        metadata=table_metadata("scores"),
    )
    def scores(home: Home) -> dg.MaterializeResult:
        if name not in trained_detectors(home.settings):
            return dg.MaterializeResult(metadata={"status": _NO_MODEL, "dagster/row_count": 0})
        table = score_blocks(home.store, home.settings, name)
        highest = (
            "SELECT 'blk_' || block_id AS block, score, threshold, is_anomaly FROM scores WHERE detector = $name "
            "ORDER BY score DESC, block_id LIMIT 5"
        )
        return dg.MaterializeResult(
            metadata={
                "status": "scored",
                "dagster/row_count": len(table),
                "anomalous blocks": sum(table["is_anomaly"].to_pylist()),
                "highest": preview(home.store, highest, {"name": name}),
            }
        )

    return scores


def _detector_assets() -> Iterator[dg.AssetsDefinition]:
    for make in (_model, _evaluation, _scores):
        yield from map(make, DETECTORS)


detector_assets = list(_detector_assets())


@dg.asset(
    deps=[f"{name}_scores" for name in DETECTORS],
    group_name="anomalies",
    kinds={"duckdb", "python"},
    owners=OWNERS,
    metadata=table_metadata("anomalies"),
)
def anomalies(context: dg.AssetExecutionContext, home: Home) -> dg.MaterializeResult:
    """The anomalous blocks, each with the reason in one sentence: verdicts of the champion.

    Where the champion that the settings name has no model, the next detector that has one stands in, and this says so.
    """
    settings, store = home.settings, home.store
    name, named = serving_detector(settings), named_champion(settings)
    if name != named:
        context.log.warning(f"the champion {named} has no model in this home: {name} stands in")
    found = publish_anomalies(store, settings, name)
    reasons = "SELECT reason, count(*) AS blocks FROM anomalies WHERE detector = $name GROUP BY reason"
    return dg.MaterializeResult(
        metadata={
            **row_count(store, "anomalies"),
            "detector": name if name == named else f"{name}, in place of {named}",
            "anomalous blocks": found,
            "reasons": preview(store, f"{reasons} ORDER BY blocks DESC, reason LIMIT 10", {"name": name}),
        }
    )
