"""The webhook: each event of an incident is posted as JSON, with a key, and signed where there is a secret."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from hdfs_pipeline.alerting.messages import Letter, News, envelope
from hdfs_pipeline.alerting.post import Poster
from hdfs_pipeline.settings import Settings

KEY_HEADER: Final = "Idempotency-Key"
EVENT_HEADER: Final = "X-Hdfs-Pipeline-Event"
SIGNATURE_HEADER: Final = "X-Hdfs-Pipeline-Signature"


class Webhook:
    """The receiver at `webhook_url`."""

    name = "webhook"
    batch = 1
    forgets = False

    def __init__(self, settings: Settings) -> None:
        self._pages_url, self._secret = settings.pages_url, settings.webhook_secret.encode()
        self._poster = Poster(settings.webhook_url, settings.notify_timeout_s, settings.secrets)

    def place(self) -> str:
        """Its name: nothing tells one receiver from another."""
        return self.name

    def body(self, news: News, last: str) -> str:
        """The documented JSON."""
        return envelope(news, last, self._pages_url)

    def send(self, letters: Sequence[Letter]) -> list[str]:
        """Post a message; see `Target.send`."""
        return [self._poster.post(letter.body.encode(), self._headers(letter)) for letter in letters]

    def _headers(self, letter: Letter) -> dict[str, str]:
        headers = {KEY_HEADER: letter.key, EVENT_HEADER: letter.event}
        if self._secret:
            headers[SIGNATURE_HEADER] = signature(self._secret, letter.body.encode())
        return headers

    def close(self) -> None:
        """Close its connections."""
        self._poster.close()


def signature(secret: bytes, body: bytes) -> str:
    """What a message is signed with: `sha256=` and the HMAC-SHA256 of its bytes, hexadecimal."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
