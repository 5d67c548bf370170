"""One of our commands as a process of its own, as people type it: its seconds, with its start, and its memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import PREFIX

_LIMIT_S: Final = 3600.0
_LAUNCHER: Final = """import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
told = {"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": peak}
print(json.dumps(told | {"status": done.returncode, "out": done.stdout, "err": done.stderr}))
"""  # a process counts what its parent held when it started it: this parent is small


def command(home: Path, *arguments: str) -> dict[str, Any]:
    """Run `hdfs-pipeline` with arguments in a home.

    Returns `seconds` on the clock, `cpu_s` of all processors, `peak_mb` of 10^6 bytes and what it printed, `out`.
    Raises: SetupError with its last line where it fails.
    """
    return python(home, "-m", "hdfs_pipeline", *arguments)


def python(home: Path, *arguments: str) -> dict[str, Any]:
    """As `command`, of a Python process."""
    environment = os.environ | {f"{PREFIX}HOME": str(home)}
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER]
    try:
        done = subprocess.run(
            [*launcher, sys.executable, "-W", "ignore", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(f"{arguments[-1]} in {home}: not done after {_LIMIT_S:.0f} s") from None
    told: dict[str, Any] = json.loads(done.stdout)
    if told.pop("status"):
        last = told["err"].strip().splitlines()[-1:]
        raise SetupError(f"`{' '.join(arguments)}` failed: {''.join(last) or 'it printed nothing'}")
    return told
