"""Hold the pages' JavaScript and CSS against the packages that package-lock.json names, which npm fetches anew.

Run it where npm and its registry can be reached: python deploy/web/check.py
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDOR = HERE.parents[1] / "hdfs_pipeline" / "serving" / "pages" / "static" / "vendor"
FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "sse.min.js": "htmx-ext-sse/dist/sse.min.js",
    "idiomorph-ext.min.js": "idiomorph/dist/idiomorph-ext.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "htmx.org.LICENSE": "htmx.org/LICENSE",
    "htmx-ext-sse.LICENSE": "htmx-ext-sse/LICENSE",
    "idiomorph.LICENSE": "idiomorph/LICENSE",
    "uplot.LICENSE": "uplot/LICENSE",
}
"""Each file that is shipped, and where it lies among the packages."""


def main() -> int:
    """Compare them; 1 where one differs, 0 also where npm or its registry cannot be asked."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not there: the pages' JavaScript was not held against its packages.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(command, cwd=folder, check=True, timeout=300, stdout=subprocess.DEVNULL)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"npm cannot fetch the packages ({error}): the pages' JavaScript was not held against them.")
            return 0
        wrong = [
            name for name, path in FILES.items() if _sum(VENDOR / name) != _sum(Path(folder, "node_modules", path))
        ]
    for name in wrong:
        print(f"{VENDOR / name} is not what its package holds: copy it from there, and bring SHA256SUMS up to date")
    if not wrong:
        print(f"{len(FILES)} files of the pages are what their packages hold")
    return 1 if wrong else 0


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
