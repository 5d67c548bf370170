"""Code versions of assets: they change with the code or the catalogue that makes a table.

Dagster's page marks assets that an older version made. Comments and line breaks do not count.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from hdfs_pipeline.domains.contract import Domain

_LENGTH = 12


def version_of(*modules: str, data: Iterable[str] = ()) -> str:
    """The version of an asset that these modules (below `hdfs_pipeline`) make with `data`."""
    text = "\n".join([*(_parsed(module) for module in sorted(modules)), *sorted(data)])
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def version_of_detectors(domain: Domain, *modules: str, data: Iterable[str] = ()) -> str:
    """Like `version_of`, with the modules of a domain's detectors too; none of them is imported."""
    own = {domain.row(name).path.partition(":")[0] for name in domain.detectors}
    return version_of(*modules, *(f"detectors.{module}" for module in own), data=data)


@cache
def _parsed(module: str) -> str:
    spec = find_spec(f"hdfs_pipeline.{module}")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"hdfs_pipeline.{module}")
    return ast.dump(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
