"""The bodies of `/account/v1`, in and out. Unknown fields are refused; ids of accounts are never taken."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ingest.key_desk import KeyKind

_MAX_NS = 2**63 - 1
Login = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{2,63}$", to_lower=True),
    Field(examples=["alice@example.com"], description="Letters, digits and ._@+-; case does not matter."),
]
Password = Annotated[
    str, Field(max_length=256, examples=["correct horse battery staple"], description="10 to 256 bytes.")
]
Code = Annotated[str, Field(pattern=r"^[0-9]{6}$", examples=["123456"], description="Of the authenticator.")]
Label = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["my bot"])]
Networks = Annotated[
    list[Annotated[str, Field(max_length=43)]],
    Field(max_length=30, examples=[["203.0.113.0/24"]], description="From where alone; empty: everywhere."),
]
Expiry = Annotated[int, Field(ge=0, le=_MAX_NS, description="Nanoseconds since 1970.")]
PublicKey = Annotated[str, Field(max_length=8_192, description="PEM, for ED25519 and RSA.")]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Registration(Form):
    login: Login
    password: Password


class Credentials(Form):
    login: Login
    password: Password
    code: Code | None = None


class RefreshToken(Form):
    refresh_token: str = Field(max_length=256)


class PasswordChange(Form):
    password: Password
    new_password: Password
    code: Code | None = None


class PasswordProof(Form):
    password: Password


class CodeProof(Form):
    code: Code


class FullProof(Form):
    password: Password
    code: Code


class NewKey(Form):
    label: Label = ""
    kind: KeyKind = "HMAC"
    public_key: PublicKey | None = None
    can_read: bool = True
    can_trade: bool = True
    can_withdraw: bool = False
    allowed_networks: Networks = []
    expires_at_ns: Expiry | None = None


class KeyChange(Form):
    """What is left out stays as it is; `expires_at_ns` null: never."""

    label: Label = ""
    can_read: bool = True
    can_trade: bool = True
    can_withdraw: bool = False
    allowed_networks: Networks = []
    expires_at_ns: Expiry | None = None

    def named(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return self.model_dump(exclude_unset=True)


class Rotation(Form):
    overlap_s: int = Field(86_400, ge=0, le=7 * 86_400, description="How long the old key lives on.")
    public_key: PublicKey | None = None


class UserView(BaseModel):
    login: str
    account_id: int
    totp_active: bool
    created_at_ns: int


class TokensView(BaseModel):
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str


class SessionView(BaseModel):
    session_id: str
    created_at_ns: int
    used_at_ns: int
    expires_at_ns: int
    current: bool


class EndedView(BaseModel):
    ended: int


class TotpView(BaseModel):
    secret: str
    uri: str


class KeyView(BaseModel):
    api_key: str
    account_id: int
    label: str
    kind: KeyKind
    can_read: bool
    can_trade: bool
    can_withdraw: bool
    allowed_networks: list[str]
    created_at_ns: int
    expires_at_ns: int | None
    revoked_at_ns: int | None
    rotated_from: str | None


class NewKeyView(KeyView):
    secret: str | None = Field(description="Of an HMAC key; it is shown this once.")


class ErrorView(BaseModel):
    code: str
    msg: str
