"""Ask an exchange all that /openapi.json shows, and keep its answers as the document's examples.

Usage: python -m tools.record_answers

A broker, a database and every service of its own; writes ingest/answer_examples.json. To be run when a
documented answer gets another shape: until then the tests of the documents fail.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from ingest.documentation import EXAMPLES
from tests.integration.ingest.documented_requests import every_answer
from tests.integration.ingest.exchange import Exchange, running, until

WAITED_FOR = "GET /api/v3/klines"
"""What comes last of all: candles follow their trades after a moment."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tapehouse-record-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL, which never runs as root, must pass
        with running(folder) as exchange:
            candles = exchange.worker(
                "market_data.candles", TAPEHOUSE_CANDLES__DATA_DIR=str(folder / "candles")
            )
            until(candles.start().ready)
            answers = until(lambda: _all(exchange))
    EXAMPLES.write_text(json.dumps(dict(sorted(answers.items())), indent=1) + "\n")
    print(f"{len(answers)} answers in {EXAMPLES}")
    return 0


def _all(exchange: Exchange) -> dict[str, Any] | None:
    """Return the answers once candles have come, too."""
    answers = every_answer(exchange)
    exchange.clear_books()
    return answers if answers[WAITED_FOR] else None


if __name__ == "__main__":
    sys.exit(main())
