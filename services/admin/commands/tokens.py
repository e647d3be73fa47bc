"""`tgfleet tokens`: create, list, set the role, revoke. A new token's secret goes to stdout or a private
file, and nowhere else."""

import os
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_OK, WrongUsageError
from services.admin.humanise import ROLES, moment, word
from services.admin.options import AsJson, read_duration
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import cell, emit, say, show, table
from tgfleet.gateway.v1 import token_pb2

app = typer.Typer()

TokenName = Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")]
_PAGE = 1000
_PRIVATE = 0o600


class RoleName(StrEnum):
    """What a bearer may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@app.command("create")
def create(
    context: typer.Context,
    name: TokenName,
    role: Annotated[RoleName, typer.Option("--role", help="What its bearer may do.")] = RoleName.VIEWER,
    expires_in: Annotated[
        timedelta | None,
        typer.Option("--expires-in", metavar="DURATION", parser=read_duration, help="As in 30d; else never."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write the secret to a new private file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. Its secret is shown once."""
    request = token_pb2.CreateTokenRequest(name=name, role=token_pb2.Role.Value(f"ROLE_{role.name}"))
    if expires_in is not None:
        request.expire_time.FromDatetime(datetime.now(UTC) + expires_in)

    async def work(gateway: Gateway) -> int:
        descriptor = _new_private_file(to) if to is not None else None
        answer = await gateway.ask(gateway.tokens.CreateToken, request)
        if descriptor is not None:
            with os.fdopen(descriptor, "w") as file:
                file.write(answer.secret + "\n")
            answer.ClearField("secret")
        if as_json:
            emit(dumps(plain(answer), indent=2))
            return EXIT_OK
        if descriptor is None:
            emit(answer.secret)
            say("This is the only time the secret is shown.", "bright_black")
        say(f"Token {name} made, role {role.value}." + (f" Its secret is in {to}." if to else ""))
        return EXIT_OK

    run(context, work)


@app.command("list")
def list_tokens(context: typer.Context, as_json: AsJson = False) -> None:
    """Show all tokens, without their secrets."""

    async def work(gateway: Gateway) -> int:
        tokens = await _all_tokens(gateway)
        if as_json:
            emit(dumps([plain(token) for token in tokens], indent=2))
            return EXIT_OK
        now = datetime.now(UTC)
        rows = table("Name", "Role", "Made", "Expires", "Last used")
        for token in tokens:
            rows.add_row(
                cell(token.name, "bold"),
                cell(word(ROLES, token.role)),
                cell(moment(token.create_time, now) if token.HasField("create_time") else ""),
                cell(moment(token.expire_time, now) if token.HasField("expire_time") else "never"),
                cell(moment(token.last_use_time, now) if token.HasField("last_use_time") else "never"),
            )
        show(rows)
        return EXIT_OK

    run(context, work)


@app.command("set-role")
def set_role(
    context: typer.Context,
    name: TokenName,
    role: Annotated[RoleName, typer.Argument(help="What its bearer may do from now on.")],
) -> None:
    """Change what a token's bearer may do, within seconds everywhere."""

    async def work(gateway: Gateway) -> int:
        request = token_pb2.UpdateTokenRequest(name=name, role=token_pb2.Role.Value(f"ROLE_{role.name}"))
        await gateway.ask(gateway.tokens.UpdateToken, request)
        show(f"Token {name} now has the role {role.value}.")
        return EXIT_OK

    run(context, work)


@app.command("revoke")
def revoke(context: typer.Context, name: TokenName) -> None:
    """Make a token useless, within seconds everywhere."""

    async def work(gateway: Gateway) -> int:
        request = token_pb2.RevokeTokenRequest(name=name)
        await gateway.ask(gateway.tokens.RevokeToken, request)
        show(f"Token {name} no longer works.")
        return EXIT_OK

    run(context, work)


async def _all_tokens(gateway: Gateway) -> list[token_pb2.ApiToken]:
    request = token_pb2.ListTokensRequest(page_size=_PAGE)
    tokens: list[token_pb2.ApiToken] = []
    while True:
        answer = await gateway.ask(gateway.tokens.ListTokens, request)
        tokens += answer.tokens
        if not answer.next_page_token:
            return tokens
        request.page_token = answer.next_page_token


def _new_private_file(path: Path) -> int:
    """Opened before the token is made, so that no secret is lost to a full disk or a wrong path."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    except OSError as error:
        raise WrongUsageError(f"{path} cannot be made as a new file: {error.strerror}.") from error
