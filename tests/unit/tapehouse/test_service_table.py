from __future__ import annotations

import importlib.util

import pytest

from tapehouse.errors import USAGE, OperatorError
from tapehouse.service_table import DEMO, SERVICES, parse_scale


def test_one_instance_of_each_is_the_default() -> None:
    assert parse_scale(None) == {service.name: service.fewest for service in SERVICES}
    assert [service.name for service in SERVICES if not service.fewest] == ["matcher-standby"]
    assert parse_scale("") == parse_scale(None)


def test_named_services_are_scaled_the_others_not() -> None:
    scale = parse_scale("processor=2, matcher=3,market_data=2")
    assert (scale["processor"], scale["matcher"], scale["market-data"], scale["recorder"]) == (2, 3, 2, 1)


def test_standby_is_there_when_asked_for() -> None:
    assert parse_scale(None)["matcher-standby"] == 0
    assert parse_scale("matcher-standby=2")["matcher-standby"] == 2
    assert parse_scale("matcher=2", "matcher")["matcher-standby"] == 1
    assert parse_scale(",".join(f"{name}={n}" for name, n in parse_scale(None).items())) == parse_scale(None)
    with pytest.raises(OperatorError, match="--standby: 'recorder' has none; matcher has") as caught:
        parse_scale(None, "recorder")
    assert caught.value.exit_code == USAGE


@pytest.mark.parametrize(
    "text", ["matcher", "matcher=", "matcher=0", "matcher=17", "matcher=two", "matcher=-1", "kafka=2", "=2"]
)
def test_what_is_no_scale_is_refused_as_wrong_use(text: str) -> None:
    with pytest.raises(OperatorError, match="--scale") as caught:
        parse_scale(text)
    assert caught.value.exit_code == USAGE


def test_every_service_can_be_run_as_a_module() -> None:
    for service in (*SERVICES, DEMO):
        spec = importlib.util.find_spec(service.module)
        assert spec is not None, service.module
        if spec.submodule_search_locations:
            assert importlib.util.find_spec(f"{service.module}.__main__") is not None, service.module
