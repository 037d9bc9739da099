"""`/account/v1`, documented by OpenAPI: registering, sessions, and one's own API keys."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import orjson
from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException

from ingest import offline_docs
from ingest.accounts import forms
from ingest.accounts.sign_in_desk import SignInDesk
from ingest.accounts.tokens import Access, invalid_token
from ingest.accounts.users import User
from ingest.key_desk import KeyDesk, KeyInfo
from ingest.management_refusal import ManagementRefusal

PREFIX = "/account/v1"
_BEARER = HTTPBearer(auto_error=False, description="The access token of a session.")
_REFUSED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": forms.ErrorView, "description": "Refused"},
    422: {"model": forms.ErrorView, "description": "Not as described here"},
    503: {"model": forms.ErrorView, "description": "Try again in a moment"},
    504: {"model": forms.ErrorView, "description": "Not known yet"},
}


async def _signed_in(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Access:
    if credentials is None:
        raise ManagementRefusal(
            401, "auth_required", "an access token is needed", {"WWW-Authenticate": "Bearer"}
        )
    desk: SignInDesk = request.app.state.desk
    return await desk.access(credentials.credentials)


SignedIn = Annotated[Access, Depends(_signed_in)]
ApiKeyName = Annotated[str, Path(pattern=r"^[A-Za-z0-9]{64}$")]


def account_app(desk: SignInDesk, keys: KeyDesk, document: bool) -> FastAPI:
    """Return the application; `document`: whether it serves its own OpenAPI document."""
    app = FastAPI(
        title="Tapehouse accounts",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_url=f"{PREFIX}/openapi.json" if document else None,
    )

    app.state.desk = desk
    if document:
        offline_docs.add_page(app, f"{PREFIX}/docs", "Tapehouse accounts")
    for router in (_sessions(desk), _own_user(desk), _keys(keys)):
        app.include_router(router, prefix=PREFIX, responses=_REFUSED)
    _add_error_handlers(app)
    return app


def _sessions(desk: SignInDesk) -> APIRouter:
    router = APIRouter(tags=["sessions"])

    @router.post("/users", status_code=201, summary="Register: an account and a sign-in for it")
    async def register(form: forms.Registration, request: Request) -> forms.UserView:
        return _user_view(await desk.register(form.login, form.password, _address(request)))

    @router.post("/sessions", status_code=201, summary="Sign in")
    async def sign_in(form: forms.Credentials, request: Request) -> forms.TokensView:
        tokens = await desk.sign_in(form.login, form.password, form.code, _address(request))
        return forms.TokensView(**_fields(tokens))

    @router.post("/sessions/renewal", summary="New tokens for a refresh token, which is used up")
    async def renew(form: forms.RefreshToken) -> forms.TokensView:
        return forms.TokensView(**_fields(await desk.renew(form.refresh_token)))

    @router.get("/sessions", summary="Where the account is signed in")
    async def sessions(access: SignedIn) -> list[forms.SessionView]:
        current = access.session_id.hex
        return [
            forms.SessionView(**_fields(session), current=session.session_id == current)
            for session in await desk.sessions(access.account_id)
        ]

    @router.delete("/sessions/current", summary="Sign out")
    async def sign_out(access: SignedIn) -> forms.EndedView:
        return forms.EndedView(ended=await desk.sign_out(access.account_id, access.session_id))

    @router.delete("/sessions", summary="Sign out everywhere")
    async def sign_out_everywhere(access: SignedIn) -> forms.EndedView:
        return forms.EndedView(ended=await desk.sign_out(access.account_id))

    return router


def _own_user(desk: SignInDesk) -> APIRouter:
    router = APIRouter(tags=["user"])

    @router.get("/user", summary="Who is signed in")
    async def user(access: SignedIn) -> forms.UserView:
        return _user_view(await desk.user(access.account_id))

    @router.put("/user/password", summary="Change the password; other sessions end")
    async def change(form: forms.PasswordChange, access: SignedIn, request: Request) -> forms.EndedView:
        ended = await desk.change_password(
            access, form.password, form.new_password, form.code, _address(request)
        )
        return forms.EndedView(ended=ended)

    @router.post("/user/totp", status_code=201, summary="Propose codes of an authenticator")
    async def propose(form: forms.PasswordProof, access: SignedIn, request: Request) -> forms.TotpView:
        secret, uri = await desk.propose_totp(access.account_id, form.password, _address(request))
        return forms.TotpView(secret=secret, uri=uri)

    @router.post("/user/totp/confirmation", summary="Ask for codes from now on")
    async def confirm(form: forms.CodeProof, access: SignedIn, request: Request) -> forms.UserView:
        await desk.confirm_totp(access.account_id, form.code, _address(request))
        return _user_view(await desk.user(access.account_id))

    @router.post("/user/totp/removal", summary="Ask for codes no more")
    async def remove(form: forms.FullProof, access: SignedIn, request: Request) -> forms.UserView:
        await desk.remove_totp(access.account_id, form.password, form.code, _address(request))
        return _user_view(await desk.user(access.account_id))

    return router


def _keys(keys: KeyDesk) -> APIRouter:
    router = APIRouter(tags=["API keys"])

    @router.get("/api-keys", summary="One's API keys, without their secrets")
    async def list_keys(access: SignedIn) -> list[forms.KeyView]:
        return [forms.KeyView(**_fields(key)) for key in await keys.keys(access.account_id)]

    @router.post("/api-keys", status_code=201, summary="Make an API key")
    async def create(form: forms.NewKey, access: SignedIn) -> forms.NewKeyView:
        return _new_key_view(await keys.create(access.account_id, **form.model_dump()))

    @router.patch("/api-keys/{api_key}", summary="Change what a key may, and from where")
    async def change(api_key: ApiKeyName, form: forms.KeyChange, access: SignedIn) -> forms.KeyView:
        return forms.KeyView(**_fields(await keys.change(access.account_id, api_key, **form.named())))

    @router.post("/api-keys/{api_key}/rotation", status_code=201, summary="Make a key's successor")
    async def rotate(api_key: ApiKeyName, form: forms.Rotation, access: SignedIn) -> forms.NewKeyView:
        made = await keys.rotate(access.account_id, api_key, form.overlap_s, form.public_key)
        return _new_key_view(made)

    @router.delete("/api-keys/{api_key}", summary="Revoke a key, for ever")
    async def revoke(api_key: ApiKeyName, access: SignedIn) -> forms.KeyView:
        return forms.KeyView(**_fields(await keys.revoke(access.account_id, api_key)))

    return router


def _add_error_handlers(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ManagementRefusal)
        return _error(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid" or first["loc"] == ("body",):
            return _error(ManagementRefusal(400, "body_invalid", "the body must be one JSON object"))
        place = ".".join(str(part)[:64] for part in first["loc"][1:])
        code = "unknown_field" if first["type"] == "extra_forbidden" else "field_invalid"
        return _error(ManagementRefusal(422, code, f"{place}: {first['msg']}"))

    async def unknown(_: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "refused")
        refusal = ManagementRefusal(error.status_code, code, "this operation is not supported", error.headers)
        return _error(invalid_token() if error.status_code == 401 else refusal)

    app.add_exception_handler(ManagementRefusal, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(StarletteHTTPException, unknown)


def _error(refusal: ManagementRefusal) -> Response:
    body = orjson.dumps({"code": refusal.code, "msg": refusal.msg})
    return Response(body, refusal.status, refusal.headers, "application/json")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(struct)


def _user_view(user: User) -> forms.UserView:
    return forms.UserView(
        login=user.login,
        account_id=user.account_id,
        totp_active=user.totp_active,
        created_at_ns=user.created_at_ns,
    )


def _new_key_view(made: tuple[KeyInfo, str | None]) -> forms.NewKeyView:
    key, secret = made
    return forms.NewKeyView(**_fields(key), secret=secret)
