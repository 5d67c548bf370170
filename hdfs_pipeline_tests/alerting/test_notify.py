"""Delivering for long: targets that go and come, processes that are killed at random moments, one turn at a time."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from hdfs_pipeline.alerting.messages import Letter, News
from hdfs_pipeline.alerting.notify import Told, deliver, notify_once, turn
from hdfs_pipeline.alerting.target import OutageError
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline_tests.alerting.conftest import (
    Post,
    Receiver,
    alertmanager,
    alerts,
    command_of,
    following,
    free_port,
    put,
    receiving,
)
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import wait_for

SOME = 12
"""Incidents that a round of the tests with kills opens, and that it changes."""


def run(home: Home, *arguments: str) -> "subprocess.CompletedProcess[str]":
    line, environment = command_of(home, "notify", *arguments)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_without_a_target_it_says_what_to_set(new_home: Callable[..., Home]) -> None:
    home = new_home(kafka_bootstrap_servers="")
    with pytest.raises(SetupError, match="set alertmanager_url or webhook_url"):
        notify_once(home.store, home.settings, turn_s=0, patience_s=0)


def test_one_process_delivers_at_a_time(hooked: Home, receiver: Receiver) -> None:
    put(hooked, "a1")
    with turn(hooked.settings, 0), pytest.raises(Timeout):
        notify_once(hooked.store, hooked.settings, turn_s=0, patience_s=0)
    assert receiver.posts == []


def test_the_command_tells_once_and_says_what_it_told(hooked: Home, receiver: Receiver) -> None:
    put(hooked, "a1", "b2")
    done = run(hooked)
    assert (done.returncode, done.stdout) == (0, "webhook: told of 2 opened\n"), done.stderr
    assert run(hooked).stdout == "webhook: nothing new\n"
    receiver.answer = lambda *_: 404
    put(hooked, "a1", status="resolved")
    done = run(hooked, "--json")
    assert done.returncode == 3 and "HTTP 404" in done.stdout
    receiver.answer = lambda *_: 200
    done = run(hooked, "--refused")
    assert done.returncode == 0 and "1 messages that were refused wait" in done.stderr
    assert receiver.events("a1") == ["opened", "resolved", "resolved"]


def test_the_settings_show_neither_secret_nor_path(new_home: Callable[..., Home]) -> None:
    address = "https://me:hush-1@hook.example/services/hush-2"
    home = new_home(webhook_url=address, webhook_secret="hush-3", alertmanager_url="http://me:hush-4@am:9093")
    line, environment = command_of(home, "settings", "--json")
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "hush" not in done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["webhook_url"] == "https://hook.example/…" and shown["alertmanager_url"] == "http://***@am:9093"


def test_a_home_without_a_store_is_an_error(new_home: Callable[..., Home], receiver: Receiver) -> None:
    done = run(new_home(bare=True, webhook_url=receiver.url, kafka_bootstrap_servers=""))
    assert done.returncode == 3 and "there is no store" in done.stderr


def test_a_target_that_is_away_delays_no_other(new_home: Callable[..., Home], tmp_path: Path) -> None:
    def hang(*_: object) -> None:
        threading.Event().wait(20)

    with receiving() as slow, receiving() as well:
        slow.answer = hang
        home = new_home(
            alertmanager_url=slow.url,
            webhook_url=well.url,
            kafka_bootstrap_servers="127.0.0.1:9",
            notify_timeout_s=10.0,
        )
        log = tmp_path / "log"
        with following(home, log):
            put(home, "a1")
            wait_for(lambda: well.events("a1") == ["opened"] and slow.posts, 15)
            began = time.monotonic()
            put(home, "a1", status="resolved")
            wait_for(lambda: well.events("a1") == ["opened", "resolved"], 15)
            assert time.monotonic() - began < 8, "the webhook waits for nobody"
            wait_for(lambda: "no Kafka broker answers" in log.read_text(), 15)


class HalfDeaf:
    """A target that takes the first half of the first messages, and then says that it is away."""

    name, batch, forgets = "half deaf", 100, False

    def __init__(self) -> None:
        self.heard: list[str] = []

    def place(self) -> str:
        return self.name

    def body(self, news: News, last: str) -> str:
        return news.event

    def send(self, letters: Sequence[Letter]) -> list[str]:
        first = not self.heard
        taken = letters[: len(letters) // 2] if first else letters
        self.heard += [letter.incident for letter in taken]
        if first:
            raise OutageError("away", taken=taken)
        return [""] * len(letters)

    def close(self) -> None:
        pass


def test_of_messages_that_go_together_those_that_arrived_are_not_sent_again(home: Home) -> None:
    put(home, "a1", "b2", "c3", "d4")
    target, told = HalfDeaf(), Told("half deaf")
    with pytest.raises(OutageError):
        deliver(home.store, target, told, datetime.now(UTC), lambda: False)
    deliver(home.store, target, told, datetime.now(UTC), lambda: False)
    assert sorted(target.heard) == ["a1", "b2", "c3", "d4"] and told.events == {"opened": 4}


def test_it_follows_through_an_outage_and_ends_at_a_signal(hooked: Home, tmp_path: Path) -> None:
    port = free_port()
    home = Home(hooked.settings.model_copy(update={"webhook_url": f"http://127.0.0.1:{port}/"}), hooked.store)
    log = tmp_path / "log"
    put(home, "a1")
    with following(home, log) as process:
        wait_for(lambda: "cannot be reached" in log.read_text())
        put(home, "a1", status="resolved")
        put(home, "b2")
        with receiving(port) as receiver:
            wait_for(lambda: len(receiver.posts) == 3)
            assert receiver.events("a1") == ["opened", "resolved"] and receiver.events("b2") == ["opened"]
        put(home, "b2", status="acknowledged")
        wait_for(lambda: log.read_text().count("cannot be reached") == 2, 12, what=log.read_text())
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0 and time.monotonic() - began < 5
    assert "Traceback" not in log.read_text()
    with receiving(port) as receiver:
        assert run(home).returncode == 0
        assert receiver.events() == ["acknowledged"]


def test_what_else_changes_is_told_now_and_then(
    new_home: Callable[..., Home], receiver: Receiver, tmp_path: Path
) -> None:
    home = new_home(webhook_url=receiver.url, kafka_bootstrap_servers="", notify_repeat_s=3.0)
    put(home, "a1", items=1)
    with following(home, tmp_path / "log"):
        wait_for(lambda: receiver.posts)
        for items in range(2, 40):
            put(home, "a1", items=items)
        wait_for(lambda: receiver.posts[-1].json["incident"]["items"] == 39, 20)
        put(home, "a1", severity="critical")
        wait_for(lambda: receiver.posts[-1].json["incident"]["severity"] == "critical", 2.9)
    assert receiver.events()[0] == "opened" and set(receiver.events()[1:]) == {"changed"}
    assert len(receiver.posts) <= 6


def test_alerts_that_go_on_are_held_while_it_follows(new_home: Callable[..., Home], tmp_path: Path) -> None:
    with alertmanager(tmp_path / "am", free_port()) as url:
        home = new_home(alertmanager_url=url, kafka_bootstrap_servers="", notify_repeat_s=1.0)
        put(home, "a1")
        with following(home, tmp_path / "log"):
            wait_for(lambda: alerts(url))
            first = alerts(url)[0]["endsAt"]
            wait_for(lambda: alerts(url)[0]["endsAt"] > first, 15)
            put(home, "a1", status="resolved")
            wait_for(lambda: not alerts(url), 15)


@pytest.mark.slow
def test_killed_before_it_heard_the_answer_it_sends_the_same_again_and_nothing_else_twice(
    patient: Home, receiver: Receiver, tmp_path: Path
) -> None:
    seed = int(os.environ.get("HDFS_PIPELINE_FAULTS_SEED", "11"))
    draw = random.Random(seed)
    expected: dict[str, str] = {}
    killed: list[str] = []
    for round_ in range(5):
        open_some(patient, expected, round_)
        with following(patient, tmp_path / "log") as process:
            enough = len(receiver.posts) + draw.randrange(1, SOME)
            receiver.answer = partial(kill_at, process, receiver, enough, killed)
            wait_for(lambda p=process: p.poll() is not None, what=f"seed {seed}")
        change_some(patient, expected, draw)
    receiver.answer = lambda *_: 200
    assert run(patient).returncode == 0
    keys = [post.key for post in receiver.posts]
    assert sorted(keys) == sorted([*set(keys), *killed]), f"seed {seed}: what may have arrived came again, nothing else"
    assert_whole(receiver.posts, expected, f"seed {seed}")


def open_some(home: Home, expected: dict[str, str], round_: int) -> None:
    """New incidents in each round: so much is due in it, whatever an earlier one left untold."""
    new = [f"i{round_}.{number}" for number in range(SOME)]
    put(home, *new)
    expected |= dict.fromkeys(new, "open")


def change_some(home: Home, expected: dict[str, str], draw: random.Random) -> None:
    chosen, status = draw.sample(sorted(expected), SOME), draw.choice(["open", "acknowledged", "resolved"])
    put(home, *chosen, status=status, title=f"after {len(expected)}")
    expected |= dict.fromkeys(chosen, status)


def kill_at(
    process: "subprocess.Popen[bytes]", receiver: Receiver, enough: int, killed: list[str], post: Post, _: Any
) -> int | None:
    """So many messages have arrived, and their sender is killed before it hears of the last one."""
    if process.poll() is None and len(receiver.posts) >= enough:
        process.kill()
        process.wait()
        killed.append(post.key)
        return None
    return 200


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost(patient: Home, receiver: Receiver, tmp_path: Path) -> None:
    seed = int(os.environ.get("HDFS_PIPELINE_FAULTS_SEED", "12"))
    draw = random.Random(seed)
    expected: dict[str, str] = {}
    for round_ in range(5):
        open_some(patient, expected, round_)
        with following(patient, tmp_path / "log") as process:
            enough = len(receiver.posts) + draw.randrange(1, SOME)
            wait_for(lambda n=enough: len(receiver.posts) >= n, what=f"seed {seed}")
            threading.Event().wait(draw.random() * 0.05)
            process.kill()
        change_some(patient, expected, draw)
    assert run(patient).returncode == 0
    assert_whole(receiver.posts, expected, f"seed {seed}")
    assert len(receiver.posts) - len({post.key for post in receiver.posts}) <= 5, f"seed {seed}"


def assert_whole(posts: Sequence[Post], expected: Mapping[str, str], seed: str) -> None:
    """The same key means the same message, no message of an incident is lost or out of order, the last one is true."""
    bodies: dict[str, bytes] = {}
    for post in posts:
        assert bodies.setdefault(post.key, post.body) == post.body, f"{seed}: another message under the same key"
    for each, status in expected.items():
        own = [post.json for post in posts if post.json["incident"]["id"] == each]
        numbers = [message["number"] for message in own]
        assert numbers == sorted(numbers) and set(numbers) == set(range(1, max(numbers) + 1)), f"{seed}: {each}"
        assert own[-1]["incident"]["status"] == status, f"{seed}: {each}"
