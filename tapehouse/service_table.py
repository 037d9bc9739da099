"""The services of an exchange: what they are called, how they are run, how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tapehouse.errors import USAGE, OperatorError

TRADERS: Final = 3
EDGE: Final = 2
CORE: Final = 1
SERVERS: Final = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    name: str
    module: str
    stage: int
    """The edge stops first, so that nothing is accepted that nobody will handle."""
    group: str
    """Its consumer group: what its lag is read from."""
    stop_timeout_s: float
    fewest: int = 1
    """As many run unless more are asked for."""


SERVICES: Final = (
    Service(name="processor", module="processor", stage=CORE, group="processor", stop_timeout_s=1.3),
    Service(name="matcher", module="matcher", stage=CORE, group="matcher", stop_timeout_s=1.3),
    Service(name="recorder", module="recorder", stage=CORE, group="recorder", stop_timeout_s=1.3),
    Service(
        name="market-data",
        module="market_data",
        stage=CORE,
        group="market-data-bars",
        stop_timeout_s=1.3,
    ),
    Service(
        name="candles",
        module="market_data.candles",
        stage=CORE,
        group="market-data",
        stop_timeout_s=1.3,
    ),
    Service(name="user-data", module="ingest.user_data", stage=CORE, group="", stop_timeout_s=1.2),
    Service(name="ingest", module="tapehouse.gateway", stage=EDGE, group="ingest", stop_timeout_s=1.2),
    Service(
        name="matcher-standby",
        module="matcher.standby",
        stage=CORE,
        group="matcher-standby",
        stop_timeout_s=1.3,
        fewest=0,
    ),
)

DEMO: Final = Service(name="demo", module="tapehouse.demo", stage=TRADERS, group="", stop_timeout_s=0.5)
"""The demo's traders: they come after the exchange and leave before it."""

MOST_INSTANCES: Final = 16


def parse_scale(text: str | None, standby: str | None = None) -> Mapping[str, int]:
    """`processor=2,matcher=2` as instances of each service, the fewest where nothing is said.

    `standby` names a service that gets a standby. Raises OperatorError (exit code 2) for what cannot be.
    """
    fewest = {service.name: service.fewest for service in SERVICES}
    scale = dict(fewest)
    if standby is not None:
        if fewest.get(f"{standby}-standby") is None:
            raise OperatorError(f"--standby: {standby!r} has none; matcher has", exit_code=USAGE)
        scale[f"{standby}-standby"] = 1
    for part in filter(None, (text or "").split(",")):
        name, _, count = (piece.strip() for piece in part.partition("="))
        name = name.replace("_", "-")
        if name not in scale:
            known = ", ".join(scale)
            raise OperatorError(f"--scale: no service {name!r}; there are {known}", exit_code=USAGE)
        least = fewest[name]
        if not (count.isascii() and count.isdigit() and least <= int(count) <= MOST_INSTANCES):
            raise OperatorError(
                f"--scale: {part!r} is not SERVICE=N with N from {least} to {MOST_INSTANCES}",
                exit_code=USAGE,
            )
        scale[name] = int(count)
    return scale
