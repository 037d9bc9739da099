"""Run a file of commands through the matcher, without any service.

    python -m matcher.replay FILE [--book] [--instruments FILE]

FILE holds one command of `validated-orders` a line, as JSON ("-" reads standard input). Prints each
record as it would be logged, then for each symbol its sequence, last hash and book hash. The line
number is the input offset. A line that is no command of a known symbol goes to standard error and
makes the exit code 2; the others go on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from matcher.symbol_engine import Input, SymbolEngine
from matcher.text_view import render
from schemas.codec import InvalidMessage, NewerMessage, decoder_for_union
from schemas.commands import VALIDATED_ORDERS
from schemas.instruments import DEFAULT_PATH, Instruments, load_instruments

_decode = decoder_for_union(VALIDATED_ORDERS)


def replay(
    lines: Iterable[bytes], out: IO[bytes], complaints: IO[str], instruments: Instruments
) -> tuple[dict[str, SymbolEngine], int]:
    """Write the records of the commands to `out`; return the engines and how many lines were no command."""
    engines, bad = dict[str, SymbolEngine](), 0
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            command = _decode(line)
            instrument = instruments[command.symbol]
        except (InvalidMessage, NewerMessage, KeyError) as error:
            complaints.write(f"line {number + 1}: {error}\n")
            bad += 1
            continue
        engine = engines.setdefault(command.symbol, SymbolEngine(instrument))
        for matched in engine.apply([Input(0, number, command)]):
            out.write(matched.data + b"\n")
    return engines, bad


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m matcher.replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help="commands, one JSON object a line; - for standard input")
    parser.add_argument("--book", action="store_true", help="show each book at the end")
    parser.add_argument("--instruments", type=Path, default=DEFAULT_PATH, help="another instruments.yaml")
    chosen = parser.parse_args(arguments)
    try:
        instruments = load_instruments(chosen.instruments)
        with sys.stdin.buffer if chosen.file == "-" else Path(chosen.file).open("rb") as source:
            engines, bad = replay(source, sys.stdout.buffer, sys.stderr, instruments)
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    for symbol, engine in sorted(engines.items()):
        hashes = f"last_hash={engine.last_hash} book_hash={engine.book_hash()}"
        sys.stdout.buffer.write(f"{symbol} sequence={engine.sequence} {hashes}\n".encode())
        if chosen.book:
            sys.stdout.buffer.write(f"{render(engine.book)}\n".encode())
    sys.stdout.buffer.flush()
    return 2 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
