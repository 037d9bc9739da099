"""Where a running exchange is: for the line that `tapehouse up` ends with, and for scripts."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.settings import docs_are_public


def addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the public base URL and what is under it, by the environment of the exchange's processes."""
    host, api = environment["TAPEHOUSE_PORTS__HOST"], environment["TAPEHOUSE_PORTS__API"]
    admin = f"http://127.0.0.1:{environment['TAPEHOUSE_PORTS__ADMIN']}"
    url = f"http://{host}:{api}"
    return {
        "url": url,
        "api": f"{url}/api/v3",
        "websocket": f"ws://{host}:{api}/ws",
        "docs": f"{url if docs_are_public(None, host) else f'{admin}/public'}/docs",
        "admin": admin,
    }
