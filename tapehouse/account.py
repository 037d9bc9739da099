"""`tapehouse account create|deposit|api-key|list|show`, through the admin API of a running exchange.

An account is named by its name or its number. Exit 0: done; 1: it failed; 2: misused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.settings import PortSettings, SecretSettings
from tapehouse.console import JsonOption, answer
from tapehouse.errors import FAILED, USAGE, OperatorError

_TIMEOUT_S = 20.0
app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Open, fund and show accounts; make their API keys."
)

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name or number.")]
PERMISSIONS: Final = ("read", "trade")


class AdminSettings(BaseSettings):
    """Where the admin API is, and what it asks for."""

    model_config = SettingsConfigDict(
        env_prefix="TAPEHOUSE_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    ports: PortSettings = PortSettings()
    secrets: SecretSettings = SecretSettings()
    admin_url: str | None = Field(None, description="`TAPEHOUSE_ADMIN_URL`, instead of the port.")


class AdminClient:
    """The admin API, its refusals as OperatorErrors."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    def find(cls) -> AdminClient:
        """Return a client of the exchange that the settings name. Raises OperatorError when there is none."""
        settings = AdminSettings()
        token_file = settings.secrets.operator_token_file
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise OperatorError(
                f"no operator's token in {token_file} ({error.strerror}): is the exchange started?"
            ) from error
        return cls(settings.admin_url or f"http://127.0.0.1:{settings.ports.admin}", token)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = httpx.request(
                method,
                f"{self._url}/admin/v1/{path}",
                json=body,
                headers=self._headers,
                timeout=_TIMEOUT_S,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            raise OperatorError(
                f"the admin API at {self._url} does not answer ({error}): is the exchange running?"
            ) from error
        if answer.is_success:
            return answer.json()
        raise OperatorError(_message(answer), exit_code=USAGE if answer.status_code == 422 else FAILED)

    def account_id(self, named: str) -> int:
        """Return the number of the account of that name. Raises OperatorError for none and for several."""
        if named.isdecimal():
            return int(named)
        ids = [account["account_id"] for account in self.ask("GET", "accounts") if account["name"] == named]
        if not ids:
            raise OperatorError(f"there is no account {named!r}; `tapehouse account list` shows all")
        if len(ids) > 1:
            numbers = ", ".join(map(str, ids))
            raise OperatorError(f"there are {len(ids)} accounts {named!r}: give the number ({numbers})")
        return int(ids[0])


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["msg"])
    except (ValueError, KeyError, TypeError):
        return f"the admin API answered {answer.status_code}"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it; no other account may be called so.")],
    maker_fee_ppm: Annotated[int | None, typer.Option(help="Instead of the exchange's rate.")] = None,
    taker_fee_ppm: Annotated[int | None, typer.Option(help="Instead of the exchange's rate.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Open an account."""
    if name.isdecimal():
        raise OperatorError(f"a name that is a number, {name}, would name another account", exit_code=USAGE)
    admin = AdminClient.find()
    for known in admin.ask("GET", "accounts"):
        if known["name"] == name:
            raise OperatorError(f"there is an account {name!r} already, number {known['account_id']}")
    body = {"name": name, "maker_fee_ppm": maker_fee_ppm, "taker_fee_ppm": taker_fee_ppm}
    account = admin.ask("POST", "accounts", body)
    answer(as_json, account, f"account {account['account_id']} ({account['name']}) is open")


@app.command()
def deposit(
    account: AccountArgument,
    asset: Annotated[str, typer.Argument(help="BTC, USDT, ...")],
    amount: Annotated[str, typer.Argument(help="A plain decimal.")],
    deposit_id: Annotated[
        str | None, typer.Option("--id", help="The same id never funds twice: give one to try again safely.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fund an account; the answer comes when the money is there."""
    admin = AdminClient.find()
    account_id = admin.account_id(account)
    body = {"asset": asset, "amount": amount, "deposit_id": deposit_id}
    done = admin.ask("POST", f"accounts/{account_id}/deposits", body)
    said = f"account {account_id}: {done['amount']} {done['asset']} deposited ({done['deposit_id']})"
    answer(as_json, done, said)


@app.command("api-key")
def api_key(
    account: AccountArgument,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    permissions: Annotated[
        str, typer.Option(help="What it may do: read, or read,trade. Who may trade may read.")
    ] = ",".join(PERMISSIONS),
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file of an Ed25519 or RSA public key, instead of a secret.")
    ] = None,
    kind: Annotated[str, typer.Option(help="HMAC, ED25519 or RSA.")] = "",
    network: Annotated[
        list[str] | None, typer.Option(help="It works from there alone; repeat it for more: 203.0.113.0/24.")
    ] = None,
    revoke: Annotated[str | None, typer.Option(metavar="KEY", help="Revoke this key instead.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key (its secret is shown once), or revoke one."""
    can_trade = "trade" in permissions_of(permissions)
    admin = AdminClient.find()
    account_id = admin.account_id(account)
    path = f"accounts/{account_id}/api-keys"
    if revoke is not None:
        gone = admin.ask("DELETE", f"{path}/{revoke}")
        answer(as_json, _named(account_id, gone), f"{gone['api_key']} is revoked")
        return
    body: dict[str, Any] = {"label": label, "can_trade": can_trade, "allowed_networks": network or []}
    if public_key is not None:
        body |= {"kind": kind.upper() or "ED25519", "public_key": _read(public_key)}
    elif kind:
        body["kind"] = kind.upper()
    made = admin.ask("POST", path, body)
    secret_key = made.pop("secret")
    shown = f"\nsecret  {secret_key}  (shown this once)" if secret_key else ""
    document = {**_named(account_id, made), "secret_key": secret_key}
    answer(as_json, document, f"key     {made['api_key']}{shown}")


@app.command("list")
def list_accounts(as_json: JsonOption = False) -> None:
    """List the clients' accounts."""
    accounts = AdminClient.find().ask("GET", "accounts")
    if as_json:
        answer(True, {"accounts": accounts})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("account", "name", "status", "maker ppm", "taker ppm")
    for account in accounts:
        table.add_row(
            *(str(account[k]) for k in ("account_id", "name", "status", "maker_fee_ppm", "taker_fee_ppm"))
        )
    Console().print(table)


@app.command()
def show(account: AccountArgument, as_json: JsonOption = False) -> None:
    """Show an account, its balances and its API keys."""
    admin = AdminClient.find()
    account_id = admin.account_id(account)
    shown = admin.ask("GET", f"accounts/{account_id}")
    keys = admin.ask("GET", f"accounts/{account_id}/api-keys")
    if as_json:
        answer(True, {**shown, "api_keys": keys})
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"account {account_id} ({shown['name']}), {shown['status']}, "
        f"fees {shown['maker_fee_ppm']}/{shown['taker_fee_ppm']} ppm",
        markup=False,
    )
    balances = Table("asset", "available", "locked")
    for balance in shown["balances"]:
        balances.add_row(balance["asset"], balance["available"], balance["locked"])
    console.print(balances)
    for key in keys:  # lines, not a table: a key that is cut cannot be copied
        state = "revoked" if key["revoked_at_ns"] is not None else "live"
        rights = "trades" if key["can_trade"] else "reads"
        console.print(
            f"key {key['api_key']}  {key['kind']}, {rights}, {state}  {key['label']}",
            markup=False,
            soft_wrap=True,
        )


def permissions_of(text: str) -> frozenset[str]:
    """Return what `read,trade` names. Raises OperatorError."""
    named = frozenset(word.strip().lower() for word in text.split(",") if word.strip())
    if not named or not named <= frozenset(PERMISSIONS):
        raise OperatorError(
            f"--permissions {text!r}: read or {','.join(PERMISSIONS)} can be given", exit_code=USAGE
        )
    return named


def _named(account_id: int, key: dict[str, Any]) -> dict[str, Any]:
    """Say whose the key is, and its permissions as they are given here."""
    allowed = [name for name in PERMISSIONS if key[f"can_{name}"]]
    return {"account_id": account_id, "permissions": allowed, **key}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}", exit_code=USAGE) from error
