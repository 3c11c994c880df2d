"""`agentgym export`: write a run's trajectories in another format."""

from pathlib import Path

import click

from agentgym.store import Format, export


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice([str(f) for f in Format]),
    help="What to write; by default OUT's suffix says.",
)
@click.argument("where", nargs=-1, metavar="[CONDITION]…")
def command(run: Path, out: Path, format_: str | None, where: tuple[str, ...]) -> None:
    """Write RUN's trajectories to the file OUT.

    Conditions choose which, such as 'success=true' 'turns<10'.
    """
    written = export(run, out, format=format_, where=where)
    click.echo(f"{written.path}: {written.trajectories} trajectories ({written.format})")
