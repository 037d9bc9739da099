"""The page that shows an OpenAPI document: Swagger UI from a wheel, so that it works without the internet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

_STATIC: Final = Path(fastapi_offline.__file__).parent / "static"
_SCRIPT, _STYLE, _ICON = _FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; frame-ancestors 'none'"
)


def paths(page: str) -> tuple[str, ...]:
    """Return the page's path and those of its files."""
    return (page, *(f"{page}/{name}" for name in _FILES))


def add_page(app: FastAPI, path: str, title: str, prefix: str = "") -> None:
    """Serve the page of the application's own document at `path`; `prefix`: where it is mounted."""

    @app.get(path, include_in_schema=False)
    async def page() -> HTMLResponse:
        made = get_swagger_ui_html(
            openapi_url=f"{prefix}{app.openapi_url}",
            title=title,
            swagger_js_url=f"{prefix}{path}/{_SCRIPT}",
            swagger_css_url=f"{prefix}{path}/{_STYLE}",
            swagger_favicon_url=f"{prefix}{path}/{_ICON}",
        )
        made.headers["content-security-policy"] = _POLICY
        return made

    for name in _FILES:
        app.add_api_route(f"{path}/{name}", _file(name), include_in_schema=False)


def _file(name: str) -> Callable[[], Awaitable[FileResponse]]:
    async def serve() -> FileResponse:
        return FileResponse(_STATIC / name, headers={"cache-control": "max-age=86400"})

    return serve
