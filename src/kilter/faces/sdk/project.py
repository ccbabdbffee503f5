"""A project in Python: the same verbs as on the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kilter.app import App, build
from kilter.contracts.deployment import Deployment
from kilter.contracts.spec import DataSpec, DeploymentSpec, ModelSpec, RolloutSpec
from kilter.contracts.verdict import CheckRun, VerdictState
from kilter.control.lookup import Lookup
from kilter.errors import InvalidRequest, NotFound, UnknownName
from kilter.faces.sdk.frame import Frame, path_of, rows_of
from kilter.settings import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from kilter.contracts.decision import Decision
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.monitor import DeploymentHealth
    from kilter.contracts.plan import Applied
    from kilter.contracts.trigger import Trigger
    from kilter.control.lookup import FoundPrediction

__all__ = ["ModelHandle", "Project", "Report", "open"]


def open(folder: str | Path = ".") -> Project:  # noqa: A001 - `kilter.open` is the word that users look for
    """Open the project in a folder; nothing is written before something is added.

    Parameters
    ----------
    folder : path, default the working folder
        Holds ``kilter.toml`` (if there is one) and the home folder.

    Returns
    -------
    Project
        Closes itself at the end of a ``with`` block.

    Raises
    ------
    SettingsError
        If ``kilter.toml`` or a ``KILTER_*`` variable does not hold.
    """
    return Project(build(load(folder, environment=os.environ)), Path(folder))


@dataclass(frozen=True, slots=True)
class Report:
    """Outcome of the gates."""

    run: CheckRun

    @property
    def ok(self) -> bool:
        """Say whether every blocking gate passed."""
        return self.run.state is VerdictState.PASS

    @property
    def failed(self) -> tuple[str, ...]:
        """Sentences of the gates that did not pass."""
        return tuple(v.reason for v in self.run.verdicts if v.state is not VerdictState.PASS)


class ModelHandle:
    """One registered version, and what can be done with it."""

    def __init__(self, project: Project, version: ModelVersion, spec: DeploymentSpec) -> None:
        self.version = version
        self.spec = spec
        self._project = project

    def __repr__(self) -> str:
        """Show name, number and digest."""
        return f"<kilter model {self.version.model_name}@{self.version.number} {self.version.digest[:19]}>"

    def check(self, holdout: Frame | None = None) -> Report:
        """Run the gates on held-out rows; default the spec's holdout, else the reference.

        Raises
        ------
        SchemaMismatch
            If the rows do not fit the signature.
        """
        project, name = self._project, self.version.model_name
        default = self.spec.data.holdout or self.spec.data.reference
        path = default if holdout is None else path_of(holdout, project.data_file(name, "holdout"))
        run = project.app.evaluator.check(self.version, data_path=path, rules=self.spec.gates, baseline=None, by="sdk")
        return Report(run)

    def deploy(self, *, steps: Sequence[float] | None = None, override: str = "", reason: str = "") -> Applied:
        """Make this version the wanted one: the first goes live if its gates pass, later ones by a rollout.

        Raises
        ------
        GateFailed
            If a blocking gate fails.
        OnHold
            If this version was rejected before.
        Conflict
            If another rollout is open.
        """
        model = replace(self.spec.model, version=str(self.version.number))
        spec = replace(self.spec, model=model)
        if steps is not None:
            spec = replace(spec, rollout=replace(spec.rollout, steps=tuple(float(step) for step in steps)))
        return self._project.app.deployer.apply(spec, by="sdk", override=override, reason=reason)


class Project:
    """A project: models, deployments, predictions, labels and their story.

    Guarantees: not shared between threads; predictions and labels need a running ``kilter up``.
    """

    def __init__(self, app: App, folder: Path) -> None:
        self.app = app
        self._folder = folder

    def __enter__(self) -> Self:
        """Return the project itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything that was opened."""
        self.close()

    def close(self) -> None:
        """Close everything that was opened."""
        self.app.close()

    def data_file(self, name: str, role: str) -> Path:
        """Return where a table given as an object is kept."""
        return Path(self.app.home.folder("data")) / f"{name}-{role}.parquet"

    def add(
        self,
        name: str,
        model: object,
        *,
        data: Frame,
        target: str,
        holdout: Frame | None = None,
        positive: str = "",
        trust: bool = False,
        rollout: RolloutSpec | None = None,
    ) -> ModelHandle:
        """Register a model.

        Parameters
        ----------
        name : str
            Name of the model, also of its deployment.
        model : path or fitted scikit-learn estimator
            A file (.onnx, .skops, .joblib), or an object, which is saved as skops.
        data : table
            Reference rows with the model's columns and the target.
        target : str
            Column that holds the truth.
        holdout : table or None
            Rows for the gates; None uses ``data``.
        positive : str, default the rarer class
            Class whose probability is the score.
        trust : bool, default False
            Allow a file that runs code on load, in a sandbox.
        rollout : RolloutSpec or None
            How later versions take over; None uses ``kilter.toml`` or the defaults.

        Returns
        -------
        ModelHandle
            The registered version; the same bytes give the same version.

        Raises
        ------
        UnsafeArtifact
            If the file would run code and is not trusted.
        FormatError
            If the file is corrupt or of no known kind.
        SchemaMismatch
            If model and data do not fit.
        """
        known = self.app.settings.deployment(name)
        source = str(Path(model).absolute()) if isinstance(model, (str, Path)) else self._saved(name, model)
        data_spec = DataSpec(
            reference=path_of(data, self.data_file(name, "reference")),
            holdout="" if holdout is None else path_of(holdout, self.data_file(name, "holdout")),
        )
        model_spec = ModelSpec(name=name, source=source, target=target, positive=positive, trust=trust)
        spec = replace(known or DeploymentSpec(model=model_spec), model=model_spec, data=data_spec)
        if rollout is not None:
            spec = replace(spec, rollout=rollout)
        return ModelHandle(self, self.app.registry.register(model_spec, data_spec, by="sdk"), spec)

    def predict(self, name: str, rows: Frame, *, routing_key: str | None = None) -> list[dict[str, object]]:
        """Send rows through the deployed model; each answer has an ``id`` for its later label.

        Raises
        ------
        NotReady
            If no data plane answers.
        InvalidRequest
            If the rows do not fit the signature.
        """
        reply = self.app.dataplane.predict(name, rows_of(rows), routing_key=routing_key)
        predictions = reply["predictions"]
        if not isinstance(predictions, list):
            msg = f"the data plane answered without predictions for `{name}`"
            raise InvalidRequest(msg)
        return predictions

    def feedback(self, name: str, labels: Frame) -> int:
        """Send labels: rows with ``prediction_id`` (or ``entity_id``) and ``label``; return how many were accepted.

        Raises
        ------
        NotReady
            If no data plane answers.
        InvalidRequest
            If an item is malformed; nothing is stored then.
        """
        accepted = self.app.dataplane.feedback(name, rows_of(labels)).get("accepted", 0)
        return accepted if isinstance(accepted, int) else 0

    def status(self, name: str) -> DeploymentHealth:
        """Say how a deployment is doing, since when, and what to do.

        Raises
        ------
        UnknownName
            If there is no such deployment.
        """
        self._known(name)
        return self.app.monitor.headline(name)

    def explain(self, prediction_id: str) -> FoundPrediction:
        """Return everything on record of one prediction; personal columns are masked.

        Raises
        ------
        NotFound
            If there is no such prediction.
        """
        lookup = Lookup(metadata=self.app.metadata, table=self.app.table)
        try:
            return lookup.find(prediction_id)
        except NotFound:
            self.app.collector.collect(self.app.clock.now())
        return lookup.find(prediction_id)

    def recalibrate(self, name: str) -> Decision:
        """Correct the probabilities of the live version from its labels, and roll the result out.

        Raises
        ------
        UnknownName
            If there is no such deployment.
        """
        self._known(name)
        self.app.collector.collect(self.app.clock.now())  # labels sent a moment ago count
        return self.app.retrainer.recalibrate(name, by="sdk")

    def retrain(self, name: str, *, reason: str) -> Trigger:
        """Ask for a retraining by the function of ``kilter.toml``.

        Raises
        ------
        UnknownName
            If there is no such deployment.
        InvalidRequest
            If ``kilter.toml`` names no training function.
        """
        self._known(name)
        self.app.collector.collect(self.app.clock.now())  # labels sent a moment ago count
        return self.app.retrainer.retrain(name, by="sdk", reason=reason)

    def rollback(self, name: str, *, reason: str, to: int | None = None) -> Deployment:
        """Go back to the last good version, or to a given one.

        Raises
        ------
        UnknownName
            If there is no such deployment.
        Conflict
            If there is nothing to go back to.
        """
        self._known(name)
        return self.app.deployer.rollback(name, to=to, by="sdk", reason=reason)

    def _known(self, name: str) -> None:
        """Refuse a name that is not deployed."""
        names = [one.id for one in self.app.metadata.read(lambda tx: tx.list(Deployment))]
        if name not in names:
            msg = "deployment"
            raise UnknownName.among(msg, name, names)

    def _saved(self, name: str, model: object) -> str:
        """Save an estimator in the safe format of scikit-learn models."""
        import skops.io  # noqa: PLC0415 - heavy, and only for estimators given as objects

        if not hasattr(model, "predict"):
            msg = f"{type(model).__name__} is no model"
            raise InvalidRequest(msg, hint="pass a fitted estimator or the path of a model file")
        path = self.data_file(name, "model").with_suffix(".skops")
        skops.io.dump(model, path)
        return str(path)
