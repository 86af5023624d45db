"""`babysea`: the command line. One module per group of commands; this one puts them together."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from cli import programs
from cli.account_commands import accounts_commands
from cli.adjustments import adjust, adjustments, approve, reject
from cli.alerts import alerts_commands
from cli.audit import audit
from cli.checks import check_commands
from cli.costs import costs_commands
from cli.credits import credits_commands
from cli.demo import demo
from cli.errors import CommandFailed
from cli.generate import generate
from cli.keys import keys_commands
from cli.ledger import ledger_commands
from cli.limits import limits_commands
from cli.listing import list_generations
from cli.models import models_commands
from cli.operator_api import API_URL_VARIABLE, GIVEN, OPERATOR_KEY_VARIABLE, Given
from cli.operators import operators_commands
from cli.output import err, out
from cli.plans import plans
from cli.providers import providers_commands
from cli.replay import replay
from cli.show import show
from cli.statement import statement
from cli.stripe import stripe_commands
from cli.up import up
from cli.webhook_deliveries import deliveries, drain, replay_delivery, send_test
from cli.webhooks import webhooks_commands
from domain.errors import ControlPlaneError
from embedded.errors import StackError


class Commands(TyperGroup):
    """Failures that have a name are one line on standard error and exit code 1; a traceback is a bug of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (CommandFailed, StackError) as failed:
            _say(str(failed))
        except ControlPlaneError as failed:
            _say(f"{failed.message} ({failed.code}, {failed.type})")
        raise typer.Exit(1)


def _say(message: str) -> None:
    for line in message.splitlines():
        err.print(f"[red]error:[/] {escape(line)}")


app = typer.Typer(
    name="babysea",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Execution control plane for generative media: one API, many providers, every generation durable.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(version("babysea-control-plane"))
        raise typer.Exit


@app.callback()
def _options(
    api_url: Annotated[
        str | None,
        typer.Option(envvar=API_URL_VARIABLE, help="Address of the API to manage; the embedded stack's by default."),
    ] = None,
    operator_key: Annotated[
        str | None,
        typer.Option(envvar=OPERATOR_KEY_VARIABLE, help="Key of an operator; better given in the environment."),
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The options of `babysea` itself."""
    GIVEN.set(Given(api_url, operator_key))


app.command()(up)
app.command()(demo)
app.add_typer(accounts_commands, name="accounts")
app.add_typer(keys_commands, name="keys")
credits_commands.command()(adjust)
credits_commands.command()(adjustments)
credits_commands.command()(approve)
credits_commands.command()(reject)
app.add_typer(credits_commands, name="credits")
app.command()(statement)
app.add_typer(alerts_commands, name="alerts")
app.add_typer(limits_commands, name="limits")
app.add_typer(ledger_commands, name="ledger")
app.add_typer(costs_commands, name="costs")
app.command()(generate)
app.command()(show)
app.command("list")(list_generations)
app.command()(replay)
app.add_typer(models_commands, name="models")
app.command()(plans)
webhooks_commands.command("test")(send_test)
webhooks_commands.command()(deliveries)
webhooks_commands.command("replay")(replay_delivery)
webhooks_commands.command()(drain)
app.add_typer(webhooks_commands, name="webhooks")
app.add_typer(providers_commands, name="providers")
app.add_typer(check_commands, name="check")
app.add_typer(stripe_commands, name="stripe")
app.add_typer(operators_commands, name="operators")
app.command()(audit)
app.command()(programs.migrate)
app.command()(programs.worker)
app.command()(programs.api)
app.command()(programs.sandbox)


def main() -> None:
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # an unreachable database is said once, by us
    code: int | str | None = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    sys.stderr.flush()
    if "temporalio" in sys.modules:  # a process that held its client may abort while the interpreter is torn down
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
    sys.exit(code)


if __name__ == "__main__":
    main()
