"""What an exchange on this machine consists of; nothing is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tapehouse.exchange import Exchange
from tapehouse.local_stack import ports
from tapehouse.local_stack.data_folder import DataFolder
from tapehouse.service_table import parse_scale
from tapehouse.settings import OperatorSettings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TAPEHOUSE_"):
            monkeypatch.delenv(name)


def exchange(tmp_path: Path, scale: str | None = None, demo: bool = False) -> Exchange:
    folder = DataFolder(tmp_path / "data")
    folder.create(run_as=None)
    return Exchange(OperatorSettings(), folder, parse_scale(scale), None, demo)


def test_each_instance_has_its_number_health_port_and_log(tmp_path: Path) -> None:
    programs = {p.name: p for p in exchange(tmp_path, "matcher=2").services()}
    first, second = programs["matcher-0"], programs["matcher-1"]
    assert (first.env["TAPEHOUSE_INSTANCE"], second.env["TAPEHOUSE_INSTANCE"]) == ("0", "1")
    assert second.env["TAPEHOUSE_HEALTH_PORT"] == str(second.health_port)
    assert second.health_port == (first.health_port or 0) + 1
    assert first.log_file != second.log_file
    assert len({p.health_port for p in programs.values()}) == len(programs)


def test_a_standby_moves_nobodys_port(tmp_path: Path) -> None:
    without = {p.name: p.health_port for p in exchange(tmp_path).services()}
    with_one = {p.name: p for p in exchange(tmp_path, "matcher-standby=1").services()}
    standby = with_one.pop("matcher-standby-0")
    assert {name: program.health_port for name, program in with_one.items()} == without
    assert standby.argv[-2:] == ("-m", "matcher.standby")


def test_a_given_address_takes_the_place_of_the_embedded_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEHOUSE_POSTGRES__DSN", "postgresql://me@db.example/exchange")
    chosen = exchange(tmp_path)
    assert chosen.postgres is None
    assert chosen.kafka is not None
    assert chosen.valkey is not None
    assert chosen.environment()["TAPEHOUSE_POSTGRES__DSN"] == "postgresql://me@db.example/exchange"
    assert {want.wanted_by for want in chosen.wanted_ports()}.isdisjoint({"postgres"})


def test_other_settings_of_a_server_do_not_make_it_a_given_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEHOUSE_KAFKA__SESSION_TIMEOUT_MS", "5000")
    monkeypatch.setenv("TAPEHOUSE_REDIS__TIMEOUT_MS", "100")
    chosen = exchange(tmp_path)
    assert chosen.kafka is not None
    assert chosen.valkey is not None


def test_default_ports_do_not_collide_however_it_is_scaled(tmp_path: Path) -> None:
    wanted = exchange(tmp_path, "market-data=4,ingest=4,matcher=4", demo=True).wanted_ports()
    assert len({want.port for want in wanted}) == len(wanted)


def test_every_wanted_port_names_the_setting_that_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for want in exchange(tmp_path).wanted_ports():
        with monkeypatch.context() as patch:
            patch.setenv(want.setting, "9")
            moved = {w.setting: w.port for w in exchange(tmp_path).wanted_ports()}
        assert moved[want.setting] != want.port, want


def test_gateways_share_out_the_market_data_servers(tmp_path: Path) -> None:
    programs = {p.name: p for p in exchange(tmp_path, "ingest=3,market-data=2").services()}
    own = {
        f"http://{ports.HOST}:{programs[f'market-data-{n}'].env['TAPEHOUSE_MARKET_DATA__PORT']}"
        for n in (0, 1)
    }
    used = [programs[f"ingest-{n}"].env["TAPEHOUSE_GATEWAY__MARKET_DATA_URL"] for n in range(3)]
    assert set(used) == own
    assert used[0] == used[2]


def test_the_demo_comes_after_the_exchange_and_leaves_first(tmp_path: Path) -> None:
    assert exchange(tmp_path).traders() == []
    chosen = exchange(tmp_path, demo=True)
    [fleet] = chosen.traders()
    assert fleet.stage > max(program.stage for program in chosen.services())
    assert fleet.health_port not in {program.health_port for program in chosen.services()}


def test_passwords_are_in_no_command_line(tmp_path: Path) -> None:
    chosen = exchange(tmp_path, demo=True)
    assert chosen.valkey is not None
    assert chosen.postgres is not None
    programs = [*chosen.services(), *chosen.traders(), chosen.valkey.prepare()]
    for program in programs:
        for secret in (chosen.valkey.password, chosen.postgres.password):
            assert secret not in " ".join(program.argv)
