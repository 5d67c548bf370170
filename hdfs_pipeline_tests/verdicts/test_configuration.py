"""The settings in force, each with where it came from, and none with a secret."""

from pathlib import Path

import pytest

from hdfs_pipeline.settings import BOOTSTRAP, PREFIX, SECRETS, Settings, load_settings
from hdfs_pipeline.verdicts.configuration import settings_in_force

SECRET = "hunter2"


def test_each_setting_says_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, secrets = tmp_path / "home", tmp_path / "secrets"
    home.mkdir()
    secrets.mkdir()
    (home / "settings.toml").write_text('seed = 8\nserve_rate = 7.0\nlog_timezone = "Europe/Berlin"\n')
    (secrets / "hdfs_pipeline_webhook_secret").write_text(SECRET)
    monkeypatch.setenv(f"{PREFIX}SEED", "9")
    monkeypatch.setenv(SECRETS, str(secrets))
    monkeypatch.setenv(BOOTSTRAP, "kafka:9092")
    monkeypatch.setenv(f"{PREFIX}HOME", str(tmp_path / "another"))
    settings = load_settings(home)
    found = {each["name"]: each for each in settings_in_force(settings)}
    assert [*found] == [*Settings.model_fields]
    assert (found["seed"]["value"], found["seed"]["origin"]) == (9, f"{PREFIX}SEED")
    assert (found["serve_rate"]["value"], found["serve_rate"]["origin"]) == (7.0, str(home / "settings.toml"))
    assert found["webhook_secret"]["origin"] == f"file in {SECRETS}" and found["webhook_secret"]["value"] == "…"
    assert (found["kafka_bootstrap_servers"]["value"], found["kafka_bootstrap_servers"]["origin"]) == (
        "kafka:9092",
        BOOTSTRAP,
    )
    assert found["serve_port"]["origin"] == "default" and found["home"]["origin"] == "given"
    assert all(each["about"] for each in found.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"namenode_urls": (f"http://ops:{SECRET}@nn1:9870", f"ops:{SECRET}@nn2:9870")},
        {"datanode_urls": (f"https://ops:{SECRET}@dn1:9865",)},
        {"alertmanager_url": f"http://ops:{SECRET}@am:9093"},
        {"webhook_url": f"https://hooks.example/T0/{SECRET}"},
        {"webhook_secret": SECRET},
        {"kafka": {"sasl.password": SECRET, "ssl.key.password": SECRET}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_no_secret_is_shown(changes: dict[str, object], tmp_path: Path) -> None:
    settings = load_settings(tmp_path).model_copy(update=changes)
    assert SECRET in str(changes) and SECRET not in str(settings_in_force(settings))
