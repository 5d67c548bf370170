"""Which versions of a model are kept, and the deletion of those that nobody needs any more."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.models import champion_version, detector_folder, previous_version, saved_versions
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_NAMED = "SELECT DISTINCT version FROM {} WHERE domain = $domain AND detector = $detector"


def forget_versions(store: Store, settings: Settings, domain: str, name: str) -> list[int]:
    """Delete the versions of a detector's model that are not needed, with their rows of `models`. Returns them.

    Kept are the version that serves, the one that served before it, the `models_keep` latest, and all that rows of
    `scores` and `anomalies` name: their explanations need the model.
    """
    saved = sorted(saved_versions(settings, domain, name))
    needed = {champion_version(settings, domain, name), *saved[-settings.models_keep :]}
    with suppress(DataError, NotTrainedError):
        needed.add(previous_version(settings, domain, name))
    about = {"domain": domain, "detector": name}
    with store.write() as con:
        for table in ("scores", "anomalies"):
            needed.update(int(version) for (version,) in con.execute(_NAMED.format(table), about).fetchall())
        forgotten = [version for version in saved if version not in needed]
        for version in forgotten:
            con.execute(
                "DELETE FROM models WHERE domain = $domain AND detector = $detector AND version = $version",
                about | {"version": version},
            )
    folder = detector_folder(settings, domain, name)
    for version in forgotten:
        # Renamed first, so that nobody finds half a version.
        gone = Path(tempfile.mkdtemp(prefix=".staging.", dir=folder))
        (folder / f"{version:04d}").rename(gone / "model")
        shutil.rmtree(gone, ignore_errors=True)
    return forgotten
