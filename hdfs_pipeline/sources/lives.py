"""Lives of a topic: one that is deleted and made anew has the same name, other messages and another id.

Offsets of one life mean nothing in the next. So whoever commits offsets to a consumer group notes the life beside them.
"""

import time
from typing import Final

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import client_config

EVERY_S: Final = 5.0
"""Seconds between two looks at a topic that is being read."""
_ANSWER_S: Final = 5.0
_MARK: Final = "@"


class Life:
    """Which life of a topic is being read. `id` is "" until the broker has told it."""

    def __init__(self, settings: Settings, topic: str) -> None:
        from confluent_kafka.admin import AdminClient

        config = client_config(settings)
        config.pop("partitioner", None)  # a producer's; librdkafka would warn of it
        self._admin, self._topic = AdminClient(config), settings.topic(topic)
        self._looked = 0.0
        self.id = ""

    def look(self) -> str:
        """Ask the broker. Where it does not answer, or has no such topic at present, the last known life counts on."""
        from confluent_kafka import KafkaException, TopicCollection

        self._looked = time.monotonic()
        try:
            asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=_ANSWER_S)
            self.id = str(asked[self._topic].result(_ANSWER_S).topic_id)
        except (KafkaException, TimeoutError):
            pass
        return self.id

    def is_over(self, every_s: float = EVERY_S) -> bool:
        """Whether another life has begun since the last look, which is asked again after `every_s` seconds."""
        if time.monotonic() - self._looked < every_s:
            return False
        before = self.id
        return self.look() != before and bool(before)

    def mark(self, note: str) -> str:
        """What to commit beside an offset: a note of one's own, and the life."""
        return f"{note}{_MARK}{self.id}"

    def note(self, metadata: str | None) -> str | None:
        """One's own note of a commit; None where the commit is of another life, so that its offset means nothing.

        Commits of older releases name no life and are believed.
        """
        note, _, life = (metadata or "").partition(_MARK)
        return None if life and self.id and life != self.id else note
