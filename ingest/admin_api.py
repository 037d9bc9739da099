"""The operator's API, on a port of its own: /admin/v1/accounts... Asks for the operator's token."""

from __future__ import annotations

import hmac
from typing import Annotated, Any

import msgspec
import orjson
from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from ingest import offline_docs
from ingest.key_desk import KeyDesk, KeyInfo, KeyKind
from ingest.management_refusal import ManagementRefusal
from ingest.operator_desk import OperatorDesk

_ID = r"^[A-Za-z0-9_.:/-]{1,64}$"
_BEARER = HTTPBearer(auto_error=False)
_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "msg": {"type": "string"}},
    "required": ["code", "msg"],
    "additionalProperties": False,
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
    for status, text in (
        ("4XX", "Refused"),
        (422, "Not as described here"),
        (503, "Try again in a moment"),
        (504, "In the log, and not applied yet"),
    )
}
AccountId = Annotated[int, Path(ge=1, le=2**53)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewAccount(_Form):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["alice"])
    maker_fee_ppm: int | None = Field(None, ge=0, le=100_000, description="Parts per million.")
    taker_fee_ppm: int | None = Field(None, ge=0, le=100_000)


class NewDeposit(_Form):
    asset: str = Field(max_length=20, examples=["USDT"])
    amount: str = Field(max_length=41, examples=["1000.5"])
    deposit_id: str | None = Field(None, pattern=_ID, description="The same id never funds twice.")


class NewKey(_Form):
    label: str = Field("", max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
    kind: KeyKind = "HMAC"
    public_key: str | None = Field(None, max_length=8_192, description="PEM, for ED25519 and RSA.")
    can_read: bool = True
    can_trade: bool = True
    can_withdraw: bool = False
    allowed_networks: list[str] = Field([], max_length=30, examples=[["203.0.113.0/24"]])
    expires_at_ns: int | None = Field(None, ge=0, le=2**63 - 1)


def admin_app(desk: OperatorDesk, keys: KeyDesk, token: str) -> FastAPI:
    """Return the application; every path but its documentation asks for `Authorization: Bearer TOKEN`."""
    app = FastAPI(
        title="Tapehouse operator API",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=_REFUSED,
        redirect_slashes=False,
    )
    offline_docs.add_page(app, "/docs", "Tapehouse operator API")

    def operator(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        given = credentials.credentials if credentials else ""
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(401, "the operator's token is needed", {"WWW-Authenticate": "Bearer"})

    only_operator = [Depends(operator)]

    @app.post("/admin/v1/accounts", dependencies=only_operator, status_code=201, summary="Open an account")
    async def create(form: NewAccount) -> Response:
        account = await desk.open_account(form.name, form.maker_fee_ppm, form.taker_fee_ppm)
        return _json(account, 201)

    @app.get("/admin/v1/accounts", dependencies=only_operator, summary="List accounts")
    async def list_accounts() -> Response:
        return _json(await desk.accounts())

    @app.get("/admin/v1/accounts/{account_id}", dependencies=only_operator, summary="Show an account")
    async def show(account_id: AccountId) -> Response:
        return _json(await desk.account(account_id))

    @app.post(
        "/admin/v1/accounts/{account_id}/deposits", dependencies=only_operator, summary="Fund an account"
    )
    async def deposit(account_id: AccountId, form: NewDeposit) -> Response:
        return _json(await desk.deposit(account_id, form.asset, form.amount, form.deposit_id))

    _add_keys(app, desk, keys, only_operator)
    _add_error_handlers(app)
    return app


def _add_keys(app: FastAPI, desk: OperatorDesk, keys: KeyDesk, only_operator: list[Any]) -> None:
    path = "/admin/v1/accounts/{account_id}/api-keys"

    @app.post(
        path, dependencies=only_operator, status_code=201, summary="Make an API key: its secret shows once"
    )
    async def create_key(account_id: AccountId, form: NewKey) -> Response:
        await desk.require_account(account_id)
        key, secret = await keys.create(account_id, **form.model_dump())
        return _json({**_fields(key), "secret": secret}, 201)

    @app.get(path, dependencies=only_operator, summary="List API keys, without their secrets")
    async def list_keys(account_id: AccountId) -> Response:
        await desk.require_account(account_id)
        return _json(await keys.keys(account_id))

    @app.delete(path + "/{api_key}", dependencies=only_operator, summary="Revoke an API key")
    async def revoke(account_id: AccountId, api_key: Annotated[str, Path(pattern=_ID)]) -> Response:
        return _json(await keys.revoke(account_id, api_key))


def _add_error_handlers(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ManagementRefusal)
        answer = _error(error.status, error.code, error.msg)
        answer.headers.update(error.headers)
        return answer

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return _error(422, "invalid_request", f"{place}: {first['msg']}")

    async def unknown(_: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        codes = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}
        answer = _error(error.status_code, codes.get(error.status_code, "refused"), str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(ManagementRefusal, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(StarletteHTTPException, unknown)


def _fields(info: KeyInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__struct_fields__}


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _error(status: int, code: str, msg: str) -> Response:
    return Response(orjson.dumps({"code": code, "msg": msg}), status, media_type="application/json")
