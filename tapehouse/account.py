"""`tapehouse account create|deposit|api-key|list|show`, through the admin API of a running exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console
from rich.table import Table

from ingest.settings import PortSettings, SecretSettings
from tapehouse.console import fail
from tapehouse.errors import NOT_RUNNING, USAGE, OperatorError

_TIMEOUT_S = 20.0
app = typer.Typer(no_args_is_help=True, help="Open, fund and show accounts; make their API keys.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AccountId = Annotated[int, typer.Argument(help="The account's number.", min=1)]


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
                f"no operator's token in {token_file} ({error.strerror}): is the exchange started?",
                exit_code=NOT_RUNNING,
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
                f"the admin API at {self._url} does not answer ({error}): is the exchange running?",
                exit_code=NOT_RUNNING,
            ) from error
        if answer.is_success:
            return answer.json()
        raise OperatorError(_message(answer), exit_code=USAGE if answer.status_code in (404, 422) else 1)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["msg"])
    except (ValueError, KeyError, TypeError):
        return f"the admin API answered {answer.status_code}"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    maker_fee_ppm: Annotated[int | None, typer.Option(help="Instead of the exchange's rate.")] = None,
    taker_fee_ppm: Annotated[int | None, typer.Option(help="Instead of the exchange's rate.")] = None,
    json: Json = False,
) -> None:
    """Open an account."""
    body = {"name": name, "maker_fee_ppm": maker_fee_ppm, "taker_fee_ppm": taker_fee_ppm}
    account = _ask("create", "POST", "accounts", body)
    _show(account, json, f"account {account['account_id']} ({account['name']}) is open")


@app.command()
def deposit(
    account_id: AccountId,
    asset: Annotated[str, typer.Argument(help="BTC, USDT, ...")],
    amount: Annotated[str, typer.Argument(help="A plain decimal.")],
    deposit_id: Annotated[
        str | None, typer.Option("--id", help="The same id never funds twice: give one to try again safely.")
    ] = None,
    json: Json = False,
) -> None:
    """Fund an account; the answer comes when the money is there."""
    body = {"asset": asset, "amount": amount, "deposit_id": deposit_id}
    done = _ask("deposit", "POST", f"accounts/{account_id}/deposits", body)
    _show(
        done, json, f"account {account_id}: {done['amount']} {done['asset']} deposited ({done['deposit_id']})"
    )


@app.command("api-key")
def api_key(
    account_id: AccountId,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="It may not trade.")] = False,
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file of an Ed25519 or RSA public key, instead of a secret.")
    ] = None,
    kind: Annotated[str, typer.Option(help="HMAC, ED25519 or RSA.")] = "",
    network: Annotated[
        list[str] | None, typer.Option(help="It works from there alone; repeat it for more: 203.0.113.0/24.")
    ] = None,
    revoke: Annotated[str | None, typer.Option(metavar="KEY", help="Revoke this key instead.")] = None,
    json: Json = False,
) -> None:
    """Make an API key (its secret is shown once), or revoke one."""
    path = f"accounts/{account_id}/api-keys"
    if revoke is not None:
        gone = _ask("api-key", "DELETE", f"{path}/{revoke}")
        _show(gone, json, f"{gone['api_key']} is revoked")
        return
    body: dict[str, Any] = {"label": label, "can_trade": not read_only, "allowed_networks": network or []}
    if public_key is not None:
        body |= {"kind": kind.upper() or "ED25519", "public_key": _read(public_key)}
    elif kind:
        body["kind"] = kind.upper()
    made = _ask("api-key", "POST", path, body)
    secret = f"\nsecret  {made['secret']}  (shown this once)" if made["secret"] else ""
    _show(made, json, f"key     {made['api_key']}{secret}")


@app.command("list")
def list_accounts(json: Json = False) -> None:
    """List the clients' accounts."""
    accounts = _ask("list", "GET", "accounts")
    if json:
        _show(accounts, json, "")
        return
    table = Table("account", "name", "status", "maker ppm", "taker ppm")
    for account in accounts:
        table.add_row(
            *(str(account[k]) for k in ("account_id", "name", "status", "maker_fee_ppm", "taker_fee_ppm"))
        )
    Console().print(table)


@app.command()
def show(account_id: AccountId, json: Json = False) -> None:
    """Show an account, its balances and its API keys."""
    account = _ask("show", "GET", f"accounts/{account_id}")
    keys = _ask("show", "GET", f"accounts/{account_id}/api-keys")
    if json:
        _show({**account, "api_keys": keys}, json, "")
        return
    console = Console(highlight=False)
    console.print(
        f"account {account_id} ({account['name']}), {account['status']}, "
        f"fees {account['maker_fee_ppm']}/{account['taker_fee_ppm']} ppm",
        markup=False,
    )
    balances = Table("asset", "available", "locked")
    for balance in account["balances"]:
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


def _ask(command: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    try:
        return AdminClient.find().ask(method, path, body)
    except OperatorError as error:
        raise fail(f"account {command}", error) from error


def _show(body: Any, json: bool, text: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if json:
        console.print_json(data=body)
    else:
        console.print(text, markup=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise fail("account api-key", OperatorError(f"{path}: {error.strerror}", exit_code=USAGE)) from error
