"""What is measured while an experiment runs: workers' metrics, processes, and how far the group has read."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx
import psutil

from hdfs_pipeline.experiments.load.crew import Crew
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import explained
from hdfs_pipeline.sources.ranges import Admin

_ANSWER_S: Final = 10.0
_MESSAGES, _VERDICTS = "hdfs_stream_messages_total", "hdfs_stream_verdicts_total"
_BUCKET = "hdfs_stream_latency_seconds_bucket"


@dataclass(frozen=True)
class Place:
    """A partition as Kafka knows it: what the group has committed (0 where it has nothing yet), and its end."""

    partition: int
    current: int
    end: int

    @property
    def lag(self) -> int:
        """Messages from the committed one to the end, as `kafka-consumer-groups` counts them."""
        return max(self.end - self.current, 0)


@dataclass(frozen=True)
class Worker:
    """What a worker has counted since its start."""

    messages: float
    verdicts: float
    latencies: dict[float, float]
    """Verdicts by the latency in seconds that they took at most, summed from the smallest on."""


@dataclass(frozen=True)
class Sample:
    """One look at everything, at `at` (seconds since 1970)."""

    at: float
    workers: list[Worker]
    places: list[Place]
    cpu_s: dict[str, float]
    """Seconds of CPU since its start, by process."""
    rss: dict[str, int]
    busy_s: float = 0.0
    """Seconds of CPU that all cores of the machine have worked, for whomever."""

    @property
    def sent(self) -> int:
        """Messages that the topic holds or has held."""
        return sum(place.end for place in self.places)

    @property
    def read(self) -> float:
        """Messages that workers have read."""
        return sum(worker.messages for worker in self.workers)

    @property
    def unread(self) -> int:
        """Messages that no worker has read yet."""
        return max(int(self.sent - self.read), 0)


@dataclass
class Sampler:
    """Looks at a running experiment; `cost_s` are the seconds of CPU that its looks took."""

    settings: Settings
    topic: str
    group: str
    crew: Crew
    metrics: Sequence[str]
    cost_s: float = 0.0
    _client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=_ANSWER_S))
    _admin: Admin = field(default_factory=Admin)

    def look(self) -> Sample:
        """What there is now. Raises: SetupError where Kafka or a worker does not answer."""
        began = time.process_time()
        at = time.time()
        workers = [self._worker(address) for address in self.metrics]
        used = {member.name: member.used() for member in self.crew.members}
        sample = Sample(
            at,
            workers,
            self.places(),
            {name: cpu for name, (cpu, _) in used.items()},
            {name: rss for name, (_, rss) in used.items()},
            _busy_s(),
        )
        self.cost_s += time.process_time() - began
        return sample

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _worker(self, address: str) -> Worker:
        from prometheus_client.parser import text_string_to_metric_families

        from hdfs_pipeline.errors import SetupError

        try:
            text = self._client.get(address).raise_for_status().text
        except httpx.HTTPError as error:
            raise SetupError(f"a worker does not tell its metrics ({address}): {error}") from None
        sums: defaultdict[str, float] = defaultdict(float)
        latencies: dict[float, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == _BUCKET:
                    latencies[float(sample.labels["le"])] = sample.value
                else:
                    sums[sample.name] += sample.value
        return Worker(sums[_MESSAGES], sums[_VERDICTS], latencies)

    def places(self) -> list[Place]:
        """Where the partitions of the topic end, and up to where the group has committed."""
        from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
        from confluent_kafka.admin import OffsetSpec

        name = self.settings.topic(self.topic)
        parts = [TopicPartition(name, part) for part in range(self.settings.kafka_partitions)]
        try:
            admin = self._admin.client(self.settings)
            ends = admin.list_offsets(dict.fromkeys(parts, OffsetSpec.latest()), request_timeout=_ANSWER_S)
            asked = admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(self.group, parts)], request_timeout=_ANSWER_S
            )
            end = {place.partition: future.result(_ANSWER_S).offset for place, future in ends.items()}
            committed = asked[self.group].result(_ANSWER_S).topic_partitions
        except KafkaException as error:
            raise explained(error, f"the offsets of {name}", settings=self.settings) from None
        return [Place(each.partition, max(each.offset, 0), end[each.partition]) for each in committed]


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def percentiles(first: Sample, last: Sample, shares: Iterable[float]) -> list[float | None]:
    """Latencies in ms of the verdicts between two samples, of which these shares took less; None without a verdict.

    Between the bounds of a bucket they are spread evenly, as Prometheus assumes.
    """
    bounds = sorted({bound for worker in last.workers for bound in worker.latencies})
    counts = [_below(last, bound) - _below(first, bound) for bound in bounds]
    found: list[float | None] = []
    for share in shares:
        wanted = share * counts[-1] if counts else 0.0
        if not wanted:
            found.append(None)
            continue
        at = next(place for place, count in enumerate(counts) if count >= wanted)
        low, before = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
        if bounds[at] == float("inf"):
            found.append(1000 * low)
        else:
            found.append(1000 * (low + (bounds[at] - low) * (wanted - before) / (counts[at] - before)))
    return found


def _below(sample: Sample, bound: float) -> float:
    return sum(worker.latencies.get(bound, 0.0) for worker in sample.workers)
