"""Texts of simulated messages: templates filled with values."""

from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hdfs_pipeline.domains.applogs.simulated_services import FATAL, ODD, SERVICES, STRANGERS, USERS, Template

TEMPLATES: Final[tuple[Template, ...]] = (
    *(template for service in SERVICES for template in service.templates),
    *(template for _, templates in STRANGERS for template in templates),
    *ODD,
)
SERVICE_NAMES: Final = (*(service.name for service in SERVICES), *(name for name, _ in STRANGERS))
_SYLLABLES: Final = ("zor", "bli", "quen", "tar", "mup", "fex", "ilk", "dra", "ost", "vee", "gru", "han", "pya", "jed")


@cache
def _values() -> dict[str, pa.Array]:
    """What may stand in each slot."""
    rng = np.random.default_rng(20_261_130)
    hosts = [f"node-{number:02d}.example" for number in range(40)]
    strange = [
        " ".join("".join(rng.choice(_SYLLABLES, 3)) for _ in range(int(rng.integers(4, 14)))).capitalize()
        for _ in range(300)
    ]
    dumps = [
        "request body: " + " ".join(f"{byte:02x}" for byte in rng.integers(0, 256, int(rng.integers(800, 5_000))))
        for _ in range(12)
    ]
    numbers = rng.integers(1, 10_000_000, 20_000)
    texts: dict[str, list[str]] = {
        "id": [str(number) for number in numbers],
        "num": [str(number) for number in range(1, 200)],
        "ms": [str(int(number)) for number in rng.lognormal(5, 1.2, 5_000)],
        "size": [str(int(number)) for number in rng.lognormal(8, 1.3, 5_000)],
        "app": [f"application_1764460800123_{number % 9000:04d}" for number in numbers[:3_000]],
        "container": [f"container_e17_1764460800123_{n % 9000:04d}_01_{n % 300:06d}" for n in numbers[:9_000]],
        "region": [f"events,{number:08x},1764460800.{number * 2_654_435_761 % 2**32:08x}." for number in numbers[:600]],
        "path": [f"/warehouse/{USERS[n % len(USERS)]}/day={n % 365}/{n:07d}" for n in numbers[:4_000]],
        "host": hosts,
        "user": list(USERS),
        "day": [f"2026-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 29)],
        "strange": strange,
        "dump": dumps,
        "short": ["", ".", "x", "??", "0"],
    }
    return {slot: pa.array(values) for slot, values in texts.items()}


def messages(rng: np.random.Generator, templates: NDArray[np.int64], fatal: NDArray[np.int64]) -> pa.Array:
    """Messages of templates (rows of `TEMPLATES`); where `fatal` is n > 0, the n-th of `FATAL` stands at the end."""
    order = np.argsort(templates, kind="stable")
    numbers, counts = np.unique(templates, return_counts=True)
    filled = [_filled(rng, TEMPLATES[number].text, int(count)) for number, count in zip(numbers, counts, strict=True)]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    texts = pa.concat_arrays(filled).take(pa.array(back)) if filled else pa.array([], pa.string())
    return pc.binary_join_element_wise(texts, pa.array(["", *FATAL]).take(pa.array(fatal)), "")


def _filled(rng: np.random.Generator, text: str, count: int) -> pa.Array:
    head, *pieces = text.split("{")
    parts = [pa.scalar(head)]
    for piece in pieces:
        slot, _, rest = piece.partition("}")
        values = _values()[slot]
        parts += [values.take(pa.array(rng.integers(0, len(values), count))), pa.scalar(rest)]
    if not pieces:
        return pa.repeat(text, count)
    return pc.binary_join_element_wise(*parts, "")
