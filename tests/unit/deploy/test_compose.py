"""The compose file against the code: no Docker is needed to see that they agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from ingest.settings import IngestSettings
from ingest.user_data.settings import UserDataSettings
from market_data.settings import MarketDataSettings
from matcher.settings import MatcherSettings, StandbySettings
from processor.settings import ProcessorSettings
from recorder.settings import RecorderSettings
from service_runtime.settings import ServiceSettings
from tapehouse.gateway import GatewaySettings
from tapehouse.local_stack import kafka, postgres
from tapehouse.service_table import SERVICES

REPOSITORY = Path(__file__).resolve().parents[3]
SETTINGS: dict[str, type[ServiceSettings]] = {
    "processor": ProcessorSettings,
    "matcher": MatcherSettings,
    "matcher-standby": StandbySettings,
    "recorder": RecorderSettings,
    "market-data": MarketDataSettings,
    "candles": MarketDataSettings,
    "user-data": UserDataSettings,
    "ingest": GatewaySettings,
    "prepare": ServiceSettings,
}
OFFICIAL = {
    "kafka": f"apache/kafka:{kafka.VERSION}",
    "postgres": "postgres:18",
    "valkey": "valkey/valkey:9",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())
    assert isinstance(document, dict)
    return document


def test_every_service_of_the_table_runs_as_its_module(compose: dict[str, Any]) -> None:
    commands = {service.name: ["python", "-m", service.module] for service in SERVICES}
    assert {name: compose["services"][name]["command"] for name in commands} == commands


def test_there_is_nothing_else_but_the_servers_and_the_preparation(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {service.name for service in SERVICES} | {*OFFICIAL, "prepare"}


def test_only_what_is_not_run_by_default_waits_for_a_profile(compose: dict[str, Any]) -> None:
    profiles = {name: body["profiles"] for name, body in compose["services"].items() if "profiles" in body}
    assert profiles == {"matcher-standby": ["standby"]}
    assert profiles.keys() == {service.name for service in SERVICES if not service.fewest}


def test_servers_are_the_official_images(compose: dict[str, Any]) -> None:
    assert {name: compose["services"][name]["image"] for name in OFFICIAL} == OFFICIAL


def test_postgres_keeps_its_memory_as_it_does_without_containers(compose: dict[str, Any]) -> None:
    assert compose["services"]["postgres"]["environment"].items() >= postgres.MEMORY.items()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_of_its_service(compose: dict[str, Any], name: str) -> None:
    for variable in compose["services"][name]["environment"]:
        assert setting_exists(SETTINGS[name], variable), variable


@pytest.mark.parametrize("name", SETTINGS)
def test_values_are_ones_the_service_accepts(
    compose: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in compose["services"][name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{[^}]*\}", "given", value))
    settings = SETTINGS[name]()
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.postgres.dsn == "postgresql://tapehouse:given@postgres:5432/tapehouse"
    if isinstance(settings, IngestSettings):
        assert settings.ports.host == "0.0.0.0"


def test_the_broker_is_set_as_the_embedded_one(compose: dict[str, Any]) -> None:
    given = compose["services"]["kafka"]["environment"]
    for key, value in kafka.BROKER.items():
        variable = "KAFKA_" + key.upper().replace(".", "_")
        assert given[variable] == str(value), variable


def test_services_wait_for_the_preparation_and_it_for_the_servers(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in SERVICES:
        assert services[service.name]["depends_on"] == {
            "prepare": {"condition": "service_completed_successfully"}
        }
    assert services["prepare"]["depends_on"] == {name: {"condition": "service_healthy"} for name in OFFICIAL}
    assert all("healthcheck" in services[name] for name in OFFICIAL)


def test_only_the_public_port_is_published_and_only_here(compose: dict[str, Any]) -> None:
    published = {name: body["ports"] for name, body in compose["services"].items() if "ports" in body}
    assert published == {"ingest": ["127.0.0.1:8080:8080"]}


def test_no_password_is_written_down(compose: dict[str, Any]) -> None:
    text = (REPOSITORY / "deploy" / "compose.yaml").read_text()
    for line in text.splitlines():
        if re.search(r"PASSWORD:|requirepass (?!/)|://\w*:[^/@]+@", line) and "sed -n" not in line:
            assert ":?" in line, line


def test_our_image_runs_unprivileged_from_the_lock() -> None:
    text = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001"]
    assert "--require-hashes" in text
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for path in source.split():
            assert (REPOSITORY / path).exists(), path


def test_the_image_holds_every_package_and_no_more() -> None:
    lines = (REPOSITORY / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    kept = {line[1:].rstrip("/") for line in lines if line.startswith("!")}
    assert all((REPOSITORY / name).exists() for name in kept)
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert packages <= kept


def setting_exists(settings: type[BaseModel], variable: str) -> bool:
    model: Any = settings
    for part in variable.removeprefix("TAPEHOUSE_").lower().split("__"):
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return False
        model = fields[part].annotation
    return True
