"""Where the milliseconds go from a record that closes an item to its verdict."""

import itertools
from dataclasses import dataclass
from typing import Final

PARTS: Final = {
    "way": "from the producer's stamp to the worker: the producer's gathering, the broker, the client's queue",
    "gather": "until the batch is complete",
    "count": "reading the batch and counting it",
    "close": "finding what it closes",
    "score": "judging, with reasons",
    "send": "handing the verdict over",
    "acknowledge": "until the brokers have the verdict",
}
"""The parts of the way, in this order; they add up to the latency."""


@dataclass
class Course:
    """When a batch was where, in seconds since 1970; `stamps` tells when the first record of a partition was sent."""

    stamps: dict[int, float]
    arrived: float
    gathered: float
    counted: float = 0.0
    closed: float = 0.0
    scored: float = 0.0

    def parts(self, partition: int, sent: float) -> list[float] | None:
        """Seconds of all parts but the last for a verdict handed over at `sent`; None where no stamp is known."""
        stamp = self.stamps.get(partition)
        if stamp is None:
            return None
        times = min(stamp, self.arrived), self.arrived, self.gathered, self.counted, self.closed, self.scored, sent
        return [later - before for before, later in itertools.pairwise(times)]
