"""An answer that costs much is made once for all who ask within some seconds."""

import threading
import time

import pytest

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.serving.kept import Kept


def test_all_who_ask_at_once_get_one_answer_and_later_ones_another() -> None:
    made: list[int] = []

    def make() -> int:
        time.sleep(0.02)
        made.append(1)
        return len(made)

    kept, answers = Kept(make, 0.2), list[int]()
    threads = [threading.Thread(target=lambda: answers.append(kept())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [1] * 20
    until = time.monotonic() + 10
    while kept() == 1:
        assert time.monotonic() < until
    assert len(made) == 2


def test_what_could_not_be_made_is_tried_again() -> None:
    tries: list[int] = []

    def make() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise SetupError("away")
        return 7

    kept = Kept(make)
    with pytest.raises(SetupError, match="away"):
        kept()
    assert kept() == 7
