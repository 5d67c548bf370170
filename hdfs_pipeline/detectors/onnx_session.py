"""Detectors whose model is an ONNX graph, scored by onnxruntime."""

from pathlib import Path
from typing import Any, Self

import numpy as np

from hdfs_pipeline.errors import NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading

OPSETS = {"": 17, "ai.onnx.ml": 3}
"""Operator sets that the models are written in: old enough for every onnxruntime since 1.14 (2023)."""
IR_VERSION = 8
"""Version of the ONNX file format that belongs to these operator sets."""
CHUNK_ROWS = 1 << 12
"""Rows in one run of a session: what lies between the layers then fits a core's cache, which doubles the speed."""


class OnnxDetector(Detector):
    """A detector that scores through onnxruntime only, right after `fit` as well as after `load`.

    The graph reads `values` (n, d) float32. Its metadata names the detector, so that a file of another one is refused.
    """

    model: bytes = b""
    """The ONNX file; empty before `fit`."""
    threads: int = 1
    """Threads of one session. One is fastest for single rows, and leaves the cores to the other processes."""
    chunk_rows: int = CHUNK_ROWS
    """Rows in one run of the session; fewer where a row takes more room between the layers."""
    _session: Any = None

    @property
    def session(self) -> Any:
        """The onnxruntime session, made when it is first asked for. Raises: NotTrainedError before `fit`."""
        if self._session is None:
            if not self.model:
                raise NotTrainedError(f"{self.name} has not learned yet: `hdfs-pipeline train --detector {self.name}`")
            self._session = self._open()
        return self._session

    def _open(self) -> Any:
        """A new session on the model's bytes."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is raised as well; the log would only repeat it
        return onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def score(self, values: np.ndarray) -> np.ndarray:
        """The graph's output `score` (n,) as float64. See `Detector.score`."""
        if not len(values):
            return np.zeros(0)
        return self.run("score", values).astype(np.float64)

    def run(self, output: str, values: np.ndarray) -> np.ndarray:
        """One output of the graph, (n, ...) in the graph's dtype, for `values` (n, d) with n > 0."""
        values = np.ascontiguousarray(values, np.float32)
        session = self.session
        parts = [
            session.run([output], {"values": values[start : start + self.chunk_rows]})[0]
            for start in range(0, len(values), self.chunk_rows)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _keep(self, model: Any, **about: str) -> None:
        """Score with `model` (onnx.ModelProto) from now on. `about` goes into its metadata."""
        from onnx import checker, helper

        helper.set_model_props(model, {**about, "seed": str(self.seed), "detector": self.name})
        checker.check_model(model)
        self.model, self._session = model.SerializeToString(deterministic=True), None

    def save(self, folder: Path) -> None:
        """Write `model.onnx`. Raises: NotTrainedError before `fit`."""
        if self._session is None:
            _ = self.session  # nothing is saved that could not be loaded
        (folder / "model.onnx").write_bytes(self.model)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `model.onnx`. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        detector = cls()
        path = folder / "model.onnx"
        with reading(cls.name, path):
            detector.model = path.read_bytes()
            about = detector.session.get_modelmeta().custom_metadata_map
            # The metadata are the last bytes of the file: a file cut off between two fields lacks them.
            if about.get("detector") != cls.name:
                raise ValueError("not a model of this detector")
            detector.seed = int(about["seed"])
        return detector
