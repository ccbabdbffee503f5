"""``kilter add``: register a model, and write the settings that name it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kilter.contracts.spec import DataSpec, DeploymentSpec, ModelSpec
from kilter.errors import InvalidRequest, NotFound, StoreError
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.contracts.model import ModelVersion
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_INCLUDE = 'include = ["deploy/*.toml"]'


@verb("add")
@click.argument("source", type=click.Path(dir_okay=False))
@click.option("--data", "reference", required=True, help="Table with the model's columns and the target.")
@click.option("--target", required=True, help="Column that holds the truth.")
@click.option("--name", help="Name of the model; default the file's name.")
@click.option("--holdout", default="", help="Table for the gates; default the reference.")
@click.option("--positive", default="", help="Class whose probability is the score; default the rarer.")
@click.option("--id", "entity", default="", help="Column that names the entity.")
@click.option("--trust", is_flag=True, help="Allow a file that runs code on load (joblib, pickle), in a sandbox.")
def command(
    session: Session,
    *,
    source: str,
    reference: str,
    target: str,
    name: str | None,
    holdout: str,
    positive: str,
    entity: str,
    trust: bool,
) -> int:
    """Register the model in SOURCE (.onnx, .skops, .joblib) with its reference data.

    Its signature is inferred, the file is converted to ONNX and compared with the original on your
    data, and the first call writes kilter.toml.
    """
    _require_files(source, reference, holdout)
    app = session.new_app()
    known = session.settings.deployment(name or _name_of(source))
    model = ModelSpec(
        name=name or _name_of(source),
        source=str(Path(source).absolute()),
        target=target,
        positive=positive,
        trust=trust,
        risk=known.model.risk if known else "limited",
    )
    data = DataSpec(
        reference=str(Path(reference).absolute()),
        holdout=str(Path(holdout).absolute()) if holdout else "",
        id=entity,
    )
    before = {one.number for one in app.registry.versions(model.name)} if model.name in _names(session) else set()
    version = app.registry.register(model, data, by=session.who, progress=session.console.progress)
    written = _write(session, DeploymentSpec(model=model, data=data)) if known is None else None
    _tell(session, version, written, is_new=version.number not in before)
    return 0


def _require_files(*paths: str) -> None:
    """Refuse files that are not there, before anything is written."""
    for path in paths:
        if path and not Path(path).is_file():
            msg = f"there is no file `{path}`"
            raise NotFound(msg, where=str(Path.cwd()), hint="check the name; paths are relative to this folder")


def _names(session: Session) -> set[str]:
    """Return the models that are registered."""
    return {model.name for model in session.app.registry.models()}


def _tell(session: Session, version: ModelVersion, written: Path | None, *, is_new: bool) -> None:
    """Print what was registered and what comes next."""
    console, signature, conversion = session.console, version.manifest.signature, version.manifest.conversion
    name = f"{version.model_name}@{version.number} ({version.digest[:19]})"
    console.data(f"added {name}" if is_new else f"{name} was registered before; nothing is new")
    answer = f"{signature.task}, {len(signature.columns)} columns"
    if signature.classes:
        answer += f", classes {', '.join(signature.classes[:6])}"
    if signature.positive:
        answer += f", score = probability of `{signature.positive}`"
    console.data(f"  takes and gives  {answer}")
    if conversion.converted:
        difference = conversion.max_abs_difference or 0.0
        console.data(
            f"  runs as          {version.manifest.runtime}, {conversion.label_flips} of {conversion.rows} decisions "
            f"differ from the original (largest difference {difference:.1e})"
        )
    else:
        console.data(f"  runs as          {version.manifest.runtime}: {conversion.reason}")
    if written is not None:
        console.note(f"wrote {written}")
    live = session.settings.deployment(version.model_name)
    if written is None and live is not None and live.model.source != version.source:
        console.note(
            f"kilter.toml still names {live.model.source}: change `source` there, so that it says what is served"
        )
    check = f"next: `kilter check {version.model_name}` runs its gates, "
    if session.deployed(version.model_name) is None:
        console.data(check + "`kilter up` serves it, and then:")
        console.data(f"  {_curl(session, version)}")
    else:
        console.data(check + f"`kilter apply {version.model_name}` starts its rollout")
    if is_new:
        console.undo("none, an added version stays on record; nothing is served before `kilter up` or `kilter apply`")
    console.finish(
        {
            "model": version.model_name,
            "version": version.number,
            "is_new": is_new,
            "digest": version.digest,
            "runtime": version.manifest.runtime,
            "signature": signature,
            "conversion": conversion,
            "settings": str(written) if written else None,
        }
    )


def _curl(session: Session, version: ModelVersion) -> str:
    """Return a request that can be pasted."""
    import json

    from kilter.contracts.signature import ColumnType

    row: dict[str, object] = {}
    for column in version.manifest.signature.columns:
        if column.type is ColumnType.TEXT:
            row[column.name] = column.levels[0] if column.levels else "text"
        elif column.type is ColumnType.BOOLEAN:
            row[column.name] = True
        elif column.type is ColumnType.INTEGER:
            row[column.name] = int(column.low or 0)
        else:
            row[column.name] = column.low or 0.0
    serving = session.settings.serving
    body = json.dumps({"rows": [row]}).replace("'", "'\\''")
    return f"curl -s http://{serving.host}:{serving.port}/predict/{version.model_name} -d '{body}'"


def _name_of(source: str) -> str:
    """Make a model's name of a file's name."""
    plain = re.sub(r"[^a-z0-9]+", "-", Path(source).name.split(".")[0].lower()).strip("-")
    if not plain or not plain[0].isalpha():
        msg = f"no name can be made of the file name `{Path(source).name}`"
        raise InvalidRequest(msg, hint="add `--name NAME`")
    return plain[:63]


def _write(session: Session, spec: DeploymentSpec) -> Path:
    """Write kilter.toml, or deploy/NAME.toml beside an existing one."""
    root = session.project / "kilter.toml"
    is_first = not root.exists()
    path = root if is_first else session.project / "deploy" / f"{spec.model.name}.toml"
    folder = path.parent.absolute()
    lines = ["schema = 1", *([_INCLUDE] if is_first else []), "", "[model]"]
    lines += [f"name = {_quoted(spec.model.name)}", f"source = {_quoted(_relative(spec.model.source, folder))}"]
    lines += [f"target = {_quoted(spec.model.target)}"]
    lines += [f"positive = {_quoted(spec.model.positive)}"] if spec.model.positive else []
    lines += ["trust = true"] if spec.model.trust else []
    lines += ["", "[data]", f"reference = {_quoted(_relative(spec.data.reference, folder))}"]
    lines += [f"holdout = {_quoted(_relative(spec.data.holdout, folder))}"] if spec.data.holdout else []
    lines += [f"id = {_quoted(spec.data.id)}"] if spec.data.id else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise StoreError(msg, where=str(path), hint="make the folder writable, then run it again") from error
    if not is_first and _INCLUDE not in root.read_text(encoding="utf-8"):
        session.console.warn(f"{root} does not include {path}: add {_INCLUDE} as its first line")
    return path


def _relative(path: str, folder: Path) -> str:
    """Return a path as the settings file should hold it."""
    import os

    relative = os.path.relpath(path, folder)
    return path if relative.startswith("../..") else relative


def _quoted(text: str) -> str:
    """Return text as a TOML string."""
    import json

    return json.dumps(text, ensure_ascii=False)
