"""What injects each fault of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tapehouse.chaos import log_faults, process_faults, reader_faults, store_faults
from tapehouse.chaos.field import Field

INJECTORS: Final[Mapping[str, Callable[[Field], Awaitable[None]]]] = {
    "F1": process_faults.kill_ingest,
    "F2": process_faults.kill_processor,
    "F3": process_faults.kill_matcher,
    "F4": process_faults.kill_recorder,
    "F5": process_faults.kill_market_data,
    "F6": process_faults.freeze_matcher,
    "F7": process_faults.two_matchers,
    "F8": process_faults.kill_kafka,
    "F9": process_faults.freeze_kafka,
    "F13": process_faults.kill_postgres,
    "F14": store_faults.trouble_postgres,
    "F17": store_faults.trouble_redis,
    "F18": store_faults.tamper_with_redis,
    "F19": log_faults.poison,
    "F20": log_faults.repeat_records,
    "F21": log_faults.disorder_records,
    "F22": reader_faults.slow_readers,
    "F25": process_faults.join_and_leave,
    "F27": process_faults.kill_everything,
    "F28": log_faults.corrupt_snapshots,
    "F31": log_faults.lose_offsets,
    "F32": log_faults.cut_log,
}
