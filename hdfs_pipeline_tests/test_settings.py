"""Settings: environment over file over default, and the setting named that cannot be used."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import PREFIX, PROJECT, SECRETS, Settings, load_settings


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def write(home: Path, text: str | bytes) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    (home / "settings.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return home


def test_every_setting_has_a_default_and_a_meaning() -> None:
    for name, field in Settings.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name
        assert field.description.endswith("."), name


def test_defaults(tmp_path: Path) -> None:
    found = load_settings(tmp_path)
    assert found == Settings(home=tmp_path)
    assert (found.seed, found.dagster_host, found.champion) == (7, "127.0.0.1", "random_forest")


def test_environment_beats_file_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write(tmp_path / "home", 'seed = 11\ncatalogue = "hdfs_3.v2"\n')
    assert (load_settings(home).seed, load_settings(home).test_share) == (11, 0.5)
    monkeypatch.setenv(f"{PREFIX}SEED", "12")
    found = load_settings(home)
    assert (found.seed, found.catalogue) == (12, "hdfs_3.v2")
    monkeypatch.delenv(f"{PREFIX}SEED")
    assert load_settings(home).seed == 11
    assert Settings(home=home, seed=13).seed == 13


def test_each_home_has_a_file_of_its_own(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", "seed = 1\n"), write(tmp_path / "other", "seed = 2\n")
    assert (load_settings(one).seed, load_settings(other).seed, load_settings(tmp_path).seed) == (1, 2, 7)


def test_the_environment_names_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write(tmp_path / "home", "seed = 3\n")
    monkeypatch.setenv(f"{PREFIX}HOME", str(home))
    assert (load_settings().home, load_settings().seed) == (home, 3)
    assert load_settings(tmp_path / "elsewhere").seed == 7, "an argument beats the environment"


def test_an_empty_variable_counts_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data", "seed = 4\n")
    for name in ("HOME", "SEED", "CATALOGUE"):
        monkeypatch.setenv(f"{PREFIX}{name}", "")
    found = load_settings()
    assert (found.home, found.seed, found.catalogue) == (Path("data"), 4, "auto")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "seven"),
        ("max_record_bytes", "12"),
        ("lock_timeout_s", "0"),
        ("random_forest_threshold", "1.5"),
        ("autoencoder_quantile", "1"),
        ("test_share", "0"),
        ("bootstrap_samples", "-1"),
        ("dagster_port", "70000"),
    ],
)
def test_a_wrong_value_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SetupError, match=f"setting {name}: .*hdfs-pipeline settings"):
        load_settings(write(tmp_path / "file", f'{name} = "{value}"\n'))
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    with pytest.raises(SetupError, match=f"setting {name}: "):
        load_settings(tmp_path / "environment")


def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="setting sead: there is no such setting .did you mean seed.."):
        load_settings(write(tmp_path, "sead = 7\n"))


def test_unknown_variables_and_secrets_are_told_with_the_near_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a warning: they may be of another release."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "hdfs_pipeline_kafa").write_text("{}")
    (tmp_path / "secrets" / "others").write_text("x")
    monkeypatch.setenv(f"{PREFIX}SECRETS", str(tmp_path / "secrets"))
    for name in ("SEDE", "ZZZZ", "SHARED", "FAULTS_SEED"):
        monkeypatch.setenv(f"{PREFIX}{name}", "3")
    assert load_settings(tmp_path / "home").seed == 7
    assert [record.getMessage().replace(str(tmp_path), "") for record in caplog.records] == [
        f"{PREFIX}SEDE is no setting; did you mean {PREFIX}SEED?",
        f"{PREFIX}ZZZZ is no setting",
        "/secrets/hdfs_pipeline_kafa is no setting; did you mean hdfs_pipeline_kafka?",
    ]


def test_every_variable_that_the_project_reads_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = [PROJECT / "Makefile", PROJECT / "docker-compose.yml", PROJECT / "deploy" / "Dockerfile"]
    files += [*PROJECT.glob("hdfs_pipeline/**/*.py"), *PROJECT.glob("docs/*.md"), PROJECT / "README.md"]
    text = "".join(path.read_text() for path in files)
    for name in set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", text)):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv(f"{PREFIX}SECRETS")
    load_settings(tmp_path / "home")
    assert not caplog.records


@pytest.mark.parametrize("text", ["seed = \n", "= 7", b"seed = '\xff'\n", "[[["])
def test_a_broken_file_is_named(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(SetupError, match=r"settings\.toml.*cannot be read"):
        load_settings(write(tmp_path, text))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().seed = 8


def test_what_belongs_to_a_home_lies_in_it(tmp_path: Path) -> None:
    found = load_settings(tmp_path)
    for path in (found.store_path, found.models, found.catalogues, found.incoming):
        assert path.parent == tmp_path
    assert found.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("log_timezone", "Mars/Phobos", "no time zone 'Mars/Phobos'; write it like Europe/Berlin"),
        ("log_timezone", "Europe", "no time zone"),
        ("log_timezone", "../../../etc/passwd", "no time zone"),
        ("seed", "-1", "greater than or equal to 0"),
        ("seed", str(2**32), "less than 4294967296"),
        ("dagster_port", "65536", "less than or equal to 65535"),
        ("metrics_port", "-1", "greater than or equal to 0"),
        ("namenode_retrain_cron", "every night", "is no cron expression; write minute hour"),
        ("namenode_retrain_cron", "0 2 * *", "is no cron expression"),
        ("namenode_retrain_cron", "60 2 * * *", "is no cron expression"),
        ("namenode_retrain_cron", "*/0 2 * * *", "is no cron expression"),
        ("namenode_raw_days", "-1", "greater than or equal to 0"),
        ("namenode_raw_days", "1e9", "less than or equal to 3650"),
        ("lock_timeout_s", "nan", "finite"),
        ("stream_idle_s", "inf", "finite"),
        ("stream_idle_s", "1e300", "less than or equal"),
        ("webhook_url", "hook.example/x", "no address of a web server"),
        ("alertmanager_url", "ftp://host:9093", "no address of a web server"),
        ("alertmanager_url", "http://:9093", "no address of a web server"),
        ("pages_url", "https://host:99999", "no address of a web server"),
    ],
)
def test_values_that_would_break_later_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    with pytest.raises(SetupError, match=rf"^setting {name}: .*{why}"):
        load_settings(tmp_path)


@pytest.mark.parametrize("cron", ["0 2 * * *", "*/5 0-6,8 1 1 0", "59 23 31 12 7"])
def test_cron_expressions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cron: str) -> None:
    monkeypatch.setenv(f"{PREFIX}NAMENODE_RETRAIN_CRON", cron)
    assert load_settings(tmp_path).namenode_retrain_cron == cron


def test_secrets_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write(tmp_path / "home", '[kafka]\n"sasl.password" = "of the file"\n')
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "hdfs_pipeline_kafka").write_text('{"sasl.password": "hush-1"}\n')
    (folder / "hdfs_pipeline_namenode_urls").write_text("http://hdfs:hush/2@nn:9870\n")
    (folder / "hdfs_pipeline_webhook_secret").write_text("hush-3\n")
    (folder / "hdfs_pipeline_webhook_url").write_text("https://me:hush-4@host/hush\n")
    monkeypatch.setenv(SECRETS, str(folder))
    found = load_settings(home)
    assert found.kafka == {"sasl.password": "hush-1"}
    assert found.namenode_urls == ("http://hdfs:hush/2@nn:9870",)
    assert found.webhook_secret == "hush-3"
    assert set(found.secrets) == {"hush-1", "hush/2", "hush-3", "hush-4"}
    assert "hush" not in repr(found)
    monkeypatch.setenv(f"{PREFIX}KAFKA", '{"sasl.password": "of the environment"}')
    assert load_settings(home).kafka == {"sasl.password": "of the environment"}
    monkeypatch.setenv(SECRETS, str(tmp_path / "nowhere"))
    with pytest.raises(SetupError, match="nowhere is no folder"):
        load_settings(home)


def test_passwords_that_everybody_can_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = write(tmp_path / "open", '[kafka]\n"sasl.password" = "hush-1"\n')
    (home / "settings.toml").chmod(0o644)
    load_settings(home)
    assert f"chmod 600 {home / 'settings.toml'}" in caplog.text
    assert "hush" not in caplog.text
    caplog.clear()
    for name, text, mode in (
        ("closed", '[kafka]\n"sasl.password" = "hush-1"\n', 0o600),
        ("plain", "seed = 1\n", 0o644),
    ):
        other = write(tmp_path / name, text)
        (other / "settings.toml").chmod(mode)
        load_settings(other)
    assert not caplog.text
