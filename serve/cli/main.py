"""`automodel-serve up | apply | build | check | plan | parity | models | key | render | top`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deployments.checkpoints.files import EMBEDDED_PREFIX
from deployments.errors import LoadError
from serve.cli.apply.command import apply
from serve.cli.build.command import build
from serve.cli.embedded import build_embedded
from serve.cli.parity.command import parity
from serve.cli.plan.command import plan
from serve.cli.render import render
from serve.cli.terminal import configure_logging, console, error_console, fail
from serve.cli.top.command import top
from serve.cli.up import Listening, Up
from serve.cluster.launch import StartError
from serve.config.file import ConfigError, describe, read_config_file
from serve.config.service import Grpc, ServiceConfig, config_from_models, embedded_config
from serve.middleware.api_keys import check_keys, entry_of, new_key
from serve.routes import route_table, unserved_models

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Serve any Hugging Face AutoModel checkpoint over HTTP, with dynamic batching, on Ray.",
)
app.add_typer(render, name="render")

ConfigArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="YAML file; default: the embedded models.", show_default=False),
]


@app.command()
def up(
    config: ConfigArgument = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="PATH_OR_ID", help="Serve this checkpoint, without a file; repeatable."),
    ] = None,
    added: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME", help="Also serve this opt-in embedded model; repeatable."),
    ] = None,
    excluded: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NAME", help="Do not serve this embedded model; repeatable."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of the Open Inference Protocol over gRPC; default: from the file, else none."
        ),
    ] = None,
    num_cpus: Annotated[
        int | None, typer.Option(min=1, help="Logical CPUs of the local Ray cluster; default: all cores.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="RAY_ADDRESS", help="Join this running Ray cluster, do not start one.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End if a model cannot be served; default: serve the others without it.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of Ray and the models.")] = False,
) -> None:
    """Start the service; Ctrl-C stops it."""
    configure_logging(verbose)
    if (added or excluded) and (config is not None or model):
        fail("--with and --without apply to the embedded models only; use neither a file nor --model")
    service = _config(config, model or [], added or [], excluded or [])
    if grpc_port is not None:
        service = service.model_copy(update={"grpc": Grpc(port=grpc_port)})
    try:
        Up(_with_log_format(service), Listening(host, port, num_cpus, address, verbose), strict=strict).run()
    except (StartError, LoadError) as error:
        fail(str(error))


@app.command()
def check(config: Annotated[Path, typer.Argument(help="YAML file.", show_default=False)]) -> None:
    """Check a configuration and the models' files, without starting or loading anything."""
    configure_logging(verbose=False)
    service = _config(config)
    unserved = unserved_models(service)
    for name, reason in unserved.items():
        error_console.print(f"[red]error:[/] {escape(name)} cannot be served: {escape(reason)}", soft_wrap=True)
    if unserved:
        raise typer.Exit(1)
    routes = route_table(service).routes
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "task", "source"):
        table.add_column(column, overflow="fold")
    for entry, route in zip(service.models, routes, strict=True):
        table.add_row(entry.name, route.task, entry.model)
    console.print(table)
    console.print(f"[green]✓[/] {config} is valid")


@app.command()
def key(name: Annotated[str, typer.Argument(help="Name of the key's owner.", show_default=False)]) -> None:
    """Create an API key; prints the key and its entry for `auth.api_keys_file`."""
    created = new_key()
    error_console.print("[dim]the key, shown only once:[/]")
    console.print(created, soft_wrap=True)
    error_console.print("[dim]its entry for `keys:` in the file:[/]")
    console.print(entry_of(name, created), soft_wrap=True)


@app.command()
def models(
    build: Annotated[bool, typer.Option("--build", help="Download and build the default models now.")] = False,
) -> None:
    """List the embedded models."""
    configure_logging(verbose=False)
    from deployments.zoo.embedded import DEFAULT, EMBEDDED

    if build:
        build_embedded(console, [EMBEDDED_PREFIX + name for name in DEFAULT])
        return
    for entry in EMBEDDED.values():
        opt_in = f", opt-in: --with {entry.name}" if entry.opt_in else ""
        facts = f"{entry.task}, {entry.size_mb:.0f} MB, {entry.licence}{opt_in}"
        console.print(f"[bold]embedded:{entry.name}[/]  {facts}")
        console.print(Padding(Text(entry.summary, "dim"), (0, 0, 0, 2)))


app.command()(build)
app.command()(apply)
app.command()(top)
app.command()(plan)
app.command()(parity)


def _config(
    path: Path | None, models: Sequence[str] = (), added: Sequence[str] = (), excluded: Sequence[str] = ()
) -> ServiceConfig:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    if path is not None and models:
        fail("use either a configuration file or --model, not both")
    try:
        if path is not None:
            service = read_config_file(path)
            check_keys(service.auth.api_keys_file)
            return service
        return config_from_models(models) if models else embedded_config(added, excluded)
    except (ConfigError, SettingsError, LoadError) as error:
        fail(str(error))
    except ValidationError as error:
        fail("\n".join(describe(problem) for problem in error.errors(include_url=False)))


def _with_log_format(service: ServiceConfig) -> ServiceConfig:
    """The service with readable log lines if the output is a terminal."""
    if service.logging.format != "auto" or not console.is_terminal:
        return service
    return service.model_copy(update={"logging": service.logging.model_copy(update={"format": "text"})})


def main() -> None:
    app()


if __name__ == "__main__":
    main()
