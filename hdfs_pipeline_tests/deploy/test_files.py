"""What deploys the project, held to the code: compose file, image, manifests of Kubernetes, units of systemd."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import ValidationError, validate
from typer.main import get_command

from hdfs_pipeline.cli import app
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings

DEPLOY = PROJECT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
ELSEWHERE = ("KAFKA_BOOTSTRAP_SERVERS", "HDFS_PIPELINE_SECRETS")  # variables that are no settings
MANIFESTS = [
    document
    for name in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    for document in yaml.safe_load_all((KUBERNETES / name).read_text())
]


def check_settings(names: list[str]) -> None:
    ours = {name.removeprefix(PREFIX).lower() for name in names if name.startswith(PREFIX) and name not in ELSEWHERE}
    assert ours <= set(Settings.model_fields), ours - set(Settings.model_fields)


def check_command(words: list[str]) -> None:
    """The words name a command of `hdfs-pipeline`, and options that it has."""
    command: Any = get_command(app)
    words = list(words)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_limited_starts_again_and_stops_in_peace(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == "unless-stopped" or service["restart"].startswith("on-failure:")
    assert service["stop_grace_period"] and service["cap_drop"] == ["ALL"]
    assert "healthcheck" in service
    assert not re.search(r":latest$|^[^:]+$", service["image"])
    named = {volume.split(":")[0] for volume in service.get("volumes", [])}
    assert {volume for volume in named if not volume.startswith("./")} <= set(COMPOSE["volumes"])
    for volume in named:
        assert not volume.startswith("./") or (PROJECT / volume).exists(), volume
    for needed, state in service.get("depends_on", {}).items():
        other = SERVICES[needed]
        assert set(other.get("profiles", [])) <= set(service.get("profiles", [])), "it would not be started"
        healthy = state["condition"] == "service_healthy"
        assert not healthy or "test" in other["healthcheck"], f"{needed} says nothing of its health"


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_what_there_is(name: str) -> None:
    service = SERVICES[name]
    check_settings(list(service["environment"]))
    if "command" in service:
        check_command(service["command"])
    else:
        assert service["entrypoint"]
    assert service["image"].split(":")[1] == _version()


def test_every_profile_is_explained() -> None:
    told = (PROJECT / "docker-compose.yml").read_text().split("name:")[0]
    for profile in {profile for service in SERVICES.values() for profile in service.get("profiles", [])}:
        assert re.search(rf"\b{profile}\b", told), profile


def test_the_image_copies_what_there_is_and_what_the_build_may_see() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    seen = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (PROJECT / source).exists(), source
            assert any(source == path or source.startswith(f"{path}/") for path in seen), source
    images = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(images) == 2 and all(re.search(r":\d+\.\d+\.\d+-", image) for image in images), "pinned, two stages"
    assert re.search(r"^USER hdfs$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text


@pytest.mark.parametrize("document", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_is_what_kubernetes_takes(document: dict[str, Any]) -> None:
    validate(document, "1.33", strict=True)
    with pytest.raises(ValidationError):
        validate(document | {"unknown": 1}, "1.33", strict=True)


def test_pods_run_what_there_is_as_nobody_special() -> None:
    pods = [document["spec"]["template"]["spec"] for document in MANIFESTS if "template" in document.get("spec", {})]
    assert len(pods) == 2
    given = dict(line.split("=", 1) for line in (KUBERNETES / "config.env").read_text().split())
    check_settings([*given])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            check_settings([variable["name"] for variable in container.get("env", [])])
            if "args" in container:
                check_command(container["args"])


@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").iterdir()), ids=lambda path: path.name)
def test_a_unit_is_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    text = unit.read_text()
    command = re.search(r"^ExecStart=(\S+) (.*)$", text, re.MULTILINE)
    assert command
    check_command(command[2].split())
    check_settings(re.findall(r"\b(HDFS_PIPELINE_\w+)=", text))
    # The program and its user need not be on this machine.
    text = text.replace(command[1], "/bin/true").replace("User=hdfs-pipeline", "User=daemon")
    copy = tmp_path / unit.name.replace("@.", "@9471.")
    copy.write_text(text.replace("Documentation=file:///opt/hdfs-pipeline/README.md\n", ""))
    found = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in (found.stdout + found.stderr).splitlines() if unit.name.split(".")[0].rstrip("@") in line]
    assert ours == []


def _version() -> str:
    import tomllib

    return str(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"])
