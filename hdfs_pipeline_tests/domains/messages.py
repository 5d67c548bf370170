"""A message as Kafka's client gives it, for tests of what is made of one."""


class Message:
    """A message of partition 0, without headers and key."""

    def __init__(self, value: bytes, offset: int) -> None:
        self._value, self._offset = value, offset

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def key(self) -> None:
        return None

    def headers(self) -> None:
        return None
