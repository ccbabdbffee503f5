"""What every verb is given: its console, the settings and, when asked for, the services."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kilter.errors import InvalidRequest, NotFound, UnknownName

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.contracts.deployment import Deployment
    from kilter.contracts.spec import DeploymentSpec
    from kilter.faces.cli.console import Console
    from kilter.settings import Settings

__all__ = ["Session"]


class Session:
    """One call of the command line.

    Guarantees: nothing is read or opened before it is asked for.
    """

    def __init__(self, console: Console, *, project: str, is_yes: bool) -> None:
        self.console = console
        self.project = Path(project)
        self.is_yes = is_yes
        self.flags: dict[str, object] = {}

    @cached_property
    def settings(self) -> Settings:
        """The effective settings of the project folder."""
        from kilter.settings import load

        return load(self.project, environment=os.environ, flags=self.flags)

    @cached_property
    def app(self) -> App:
        """The services of a project that exists.

        Raises
        ------
        NotFound
            If the folder holds neither ``kilter.toml`` nor a home folder.
        """
        if not (self.project / "kilter.toml").is_file() and not Path(self.settings.project.home).is_dir():
            msg = "there is no kilter project in this folder"
            hint = "run `kilter add MODEL --data REF --target COL`, or name the folder with `--project DIR`"
            raise NotFound(msg, where=str(self.project.absolute()), hint=hint)
        return self.new_app()

    def new_app(self) -> App:
        """Return the services of a project, which need not exist yet."""
        from kilter.app import build

        self.__dict__["app"] = app = build(self.settings)
        return app

    def close(self) -> None:
        """Let go of whatever was opened."""
        app = self.__dict__.pop("app", None)
        if app is not None:
            app.close()

    @property
    def dashboard(self) -> tuple[str, int]:
        """Host and port of the running control plane, whatever ``kilter up`` was told; else those of the settings."""
        from kilter.errors import SettingsError
        from kilter.settings import transfer

        server = self.settings.server
        if Path(self.settings.project.home).is_dir() and self.app.board.supervisor_pid() is not None:
            with contextlib.suppress(SettingsError):
                server = transfer.read(Path(self.settings.project.home) / "run" / "settings.json").server
        return server.host, server.port

    @property
    def who(self) -> str:
        """The person at the keyboard, as the audit log names them."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}"

    def deployed(self, name: str) -> Deployment | None:
        """Return a deployment's live state, or None before its first version."""
        from kilter.contracts.deployment import Deployment

        return self.app.metadata.read(lambda tx: tx.get(Deployment, name))

    def deployment(self, name: str | None) -> str:
        """Return the deployment that is meant: the named one, or the only one there is.

        Raises
        ------
        UnknownName
            If there is none of this name.
        InvalidRequest
            If none is named and there is not exactly one.
        """
        from kilter.contracts.deployment import Deployment

        live = [found.id for found in self.app.metadata.read(lambda tx: tx.list(Deployment))]
        known = sorted({*live, *(spec.model.name for spec in self.settings.deployments)})
        if name is not None:
            plain = name.split("@")[0]
            if plain not in known:
                msg = "model"
                raise UnknownName.among(msg, plain, known)
            return plain
        if len(known) == 1:
            return known[0]
        raise InvalidRequest(
            f"name one of {len(known)} models" if known else "there is no model yet",
            hint="use " + " or ".join(f"`{one}`" for one in known[:5])
            if known
            else "run `kilter add MODEL --data REF --target COL`",
        )

    def spec(self, name: str) -> DeploymentSpec:
        """Return the desired state of a deployment.

        Raises
        ------
        UnknownName
            If ``kilter.toml`` does not name it.
        """
        spec = self.settings.deployment(name)
        if spec is None:
            known = [one.model.name for one in self.settings.deployments]
            msg = "model in kilter.toml"
            raise UnknownName.among(msg, name, known, where=str(self.project / "kilter.toml"))
        return spec

    def confirm(self, question: str) -> None:
        """Ask before a change, unless ``--yes`` was given.

        Raises
        ------
        InvalidRequest
            If nobody can be asked.
        click.Abort
            If the answer is no.
        """
        if self.is_yes:
            return
        if not sys.stdin.isatty() or self.console.is_json:
            msg = "this changes the live state and nobody can be asked"
            raise InvalidRequest(msg, hint="add `--yes`")
        click.confirm(question, abort=True, err=True)
