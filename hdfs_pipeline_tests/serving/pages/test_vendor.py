"""The JavaScript and CSS of others: the very files that were checked in, each with its licence, and nothing else."""

import hashlib
import json
import runpy

from hdfs_pipeline.serving.pages.render import STATIC
from hdfs_pipeline.settings import PROJECT

VENDOR = STATIC / "vendor"
WEB = PROJECT / "deploy" / "web"


def test_the_files_are_what_their_sums_say() -> None:
    sums = dict(line.split("  ")[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    del found["SHA256SUMS"]
    assert found == sums


def test_each_file_is_of_a_package_of_one_version_with_its_licence() -> None:
    files = runpy.run_path(str(WEB / "check.py"))["FILES"]
    assert {*files} == {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS"}
    wanted = json.loads((WEB / "package.json").read_text())["dependencies"]
    locked = json.loads((WEB / "package-lock.json").read_text())["packages"]
    packages = {path.partition("/")[0] for path in files.values()}
    assert packages == {*wanted} == {name for name in packages if f"{name}.LICENSE" in files}
    for name, version in wanted.items():
        entry = locked[f"node_modules/{name}"]
        assert entry["version"] == version and entry["integrity"].startswith("sha512-")
