"""Write schemas/released/ for every message as it is today. Run at a release; refuses what breaks.

Usage: python tools/release_schemas.py
"""

from __future__ import annotations

import sys

from schemas import commands, events, released


def main() -> int:
    """Return 0 when all is written, 1 when a type no longer fits what was released."""
    known = released.load()
    released.FOLDER.mkdir(exist_ok=True)
    broken = 0
    for tag, message_type in sorted(released.released_types(commands, events).items()):
        fields = released.describe(message_type)
        for problem in released.incompatibilities(known.get(tag, {}), fields) if tag in known else []:
            print(f"{tag}: {problem}", file=sys.stderr)
            broken += 1
        if not broken:
            (released.FOLDER / f"{tag}.json").write_text(released.encode(fields), encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
