"""Settings: environment over file over default, and the setting named that cannot be used."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import PREFIX, Settings, load_settings


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
    with pytest.raises(SetupError, match="setting sead: Extra inputs are not permitted"):
        load_settings(write(tmp_path, "sead = 7\n"))


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
