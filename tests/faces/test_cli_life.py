"""A model's life on the command line, with no process running: each step says what was done and how to undo it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from kilter.app import build
from kilter.contracts.decision import Decision
from kilter.contracts.ids import AlertId, DecisionId
from kilter.contracts.monitor import Alert, Severity
from kilter.settings import load

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


class Answer(Protocol):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]: ...


class Run(Protocol):
    """Runs a command."""

    def __call__(self, *words: str) -> Answer: ...


@pytest.fixture
def live(run: Run) -> Run:
    """The first version is live."""
    assert run("apply", "--yes", "--quiet").code == 0
    return run


def add_second(run: Run, shop: Path, *flags: str) -> Answer:
    words = ["--name", "shop", "--data", str(shop / "ref.csv"), "--holdout", str(shop / "holdout.csv")]
    return run("add", str(shop / "m2.joblib"), *words, "--target", "left", "--positive", "yes", "--trust", *flags)


def test_adding_writes_a_file_that_people_can_read(shop: Path) -> None:
    assert (shop / "kilter.toml").read_text() == (
        'schema = 1\ninclude = ["deploy/*.toml"]\n\n[model]\nname = "shop"\nsource = "m1.joblib"\ntarget = "left"\n'
        'positive = "yes"\ntrust = true\n\n[data]\nreference = "ref.csv"\nholdout = "holdout.csv"\n'
    )


def test_a_check_tells_every_gate_and_answers_by_its_code(run: Run) -> None:
    answer = run("check")
    assert answer.code == 0
    assert "pass          log_loss.no_worse_than: " in answer.out
    assert answer.out.splitlines()[-1].startswith("shop@1 passes its gates on holdout.csv (400 rows, ")
    found = run("check", "shop@1", "--json", "--baseline", "shop@1").object
    assert {"id", "state", "verdicts", "rows", "model_name"} <= set(found["data"])
    again = run("explain", "gate", "shop")
    assert "log_loss.no_worse_than" in again.out
    assert run("explain", found["data"]["id"]).code == 0


def test_a_failing_gate_is_exit_code_one_and_keeps_the_version_out(run: Run, shop: Path) -> None:
    path = shop / "kilter.toml"
    path.write_text(path.read_text() + '[[gates]]\nmetric = "log_loss"\nmax = 0.001\n')
    answer = run("check")
    assert answer.code == 1
    assert answer.out.splitlines()[0].startswith("fail          log_loss.limit: ")
    assert answer.out.splitlines()[-1].startswith("shop@1 fails on holdout.csv")
    refused = run("apply", "--yes", "--json")
    assert (refused.code, refused.object["error"]["code"]) == (1, "gate.failed")
    overridden = run("apply", "--yes", "--override", "gates", "--reason", "a drill")
    assert (overridden.code, overridden.out.splitlines()[-1][:27]) == (0, "shop: deployed, version 1: ")


def test_a_gate_for_review_waits_for_a_person(run: Run, shop: Path) -> None:
    path = shop / "kilter.toml"
    path.write_text(path.read_text() + '[[gates]]\nmetric = "log_loss"\nmax = 0.001\non_fail = "review"\n')
    answer = run("check")
    assert answer.code == 4
    assert answer.out.startswith("review        log_loss.limit: ")
    assert run("apply", "--yes").code == 4


def test_too_little_data_is_not_a_pass(run: Run, shop: Path) -> None:
    lines = (shop / "holdout.csv").read_text().splitlines()
    (shop / "few.csv").write_text("\n".join(lines[:12]) + "\n")
    answer = run("check", "--data", str(shop / "few.csv"))
    assert answer.code in (1, 3)
    assert "passes" not in answer.out.splitlines()[-1]


def test_a_plan_can_be_saved_and_carried_out_once(run: Run, shop: Path) -> None:
    saved = str(shop / "p.plan")
    planned = run("plan", "--exit-code", "--out", saved)
    assert planned.code == 1
    assert planned.out.startswith("shop 1. deploy shop@1\n     because  ")
    applied = run("apply", saved)
    assert (applied.code, applied.out[:27]) == (0, "shop: deployed, version 1: ")
    assert applied.err.splitlines()[-1].startswith("undo: none")
    assert run("plan").out == "shop: no difference\n"
    assert run("apply").out == "shop: no difference\n"
    again = run("apply", saved, "--json")
    assert (again.code, again.object["error"]["code"]) == (1, "state.world_moved")


def test_changed_settings_are_applied_without_a_rollout(live: Run, shop: Path) -> None:
    path = shop / "kilter.toml"
    path.write_text(path.read_text() + '[monitor]\nwindow = "2h"\n')
    answer = live("apply", "--yes")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "shop: configured, version 1")
    assert answer.err.splitlines()[-1].startswith("undo: put the old settings back")


def test_several_models_go_their_own_ways(live: Run, shop: Path) -> None:
    (shop / "deploy").mkdir()
    (shop / "deploy" / "other.toml").write_text('[model]\nname = "other"\nsource = "none.onnx"\n')
    answer = live("apply", "--yes", "--json")
    assert answer.code != 0
    assert [one["deployment"] for one in answer.object["data"]["applied"]] == ["shop"]
    assert answer.object["warnings"][0].startswith("other: ")
    status = live("status")
    assert "other  not deployed yet" in status.out
    ambiguous = live("check")
    assert (ambiguous.code, ambiguous.err.splitlines()[0]) == (2, "error: name one of 2 models")


def test_a_rollout_that_is_rolled_back_can_be_tried_again(live: Run, shop: Path) -> None:
    added = add_second(live, shop)
    assert "added shop@2" in added.out
    assert added.out.splitlines()[-1] == (
        "next: `kilter check shop` runs its gates, `kilter apply shop` starts its rollout"
    )
    assert "kilter.toml still names" in added.err
    assert add_second(live, shop, "--json").object["data"]["is_new"] is False
    started = live("apply", "shop", "--yes", "--wait", "0")
    assert started.code == 3
    assert "undo: kilter rollback shop --reason TEXT" in started.err
    assert "  rollout      version 2 " in live("status", "shop").out
    story = live("explain", "rollout", "shop")
    assert story.out.startswith("shop: version 2 against 1, ")
    back = live("rollback", "--reason", "enough")
    assert back.code == 0
    assert back.out.startswith("shop: version 1 will answer (generation ")
    undo = back.err.splitlines()[-1]
    assert undo.startswith("undo: kilter apply shop --override hold_")
    held = live("apply", "--yes")
    assert (held.code, held.err.splitlines()[0]) == (1, "error: version 2 of `shop` is on hold")
    assert "  on hold      version 2: enough (hold_" in live("status").out
    decision = live("explain", "decision", "shop")
    assert "enough" in decision.out
    words = undo.removeprefix("undo: kilter ").replace("TEXT", "again").split()
    assert live(*words, "--yes").out.splitlines()[-1].startswith("shop: rollout started, version 2")


def test_a_promoted_version_can_be_rolled_back_and_taken_up_again(live: Run, shop: Path) -> None:
    add_second(live, shop)
    assert live("apply", "--yes").code == 0
    assert live("promote", "--reason", "x").code == 2
    moved = live("promote", "--yes", "--reason", "by hand")
    assert moved.code == 0
    assert moved.err.splitlines()[-1] == "undo: kilter rollback shop --reason TEXT"
    assert live("status", "--json").object["data"]["items"][0]["champion"] == 2
    back = live("rollback", "--reason", "enough")
    assert back.err.splitlines()[-1] == "undo: kilter rollback shop --to 2 --reason TEXT"
    again = live("rollback", "--to", "2", "--reason", "after all")
    assert again.out.startswith("shop: version 2 will answer")


def test_a_rollback_works_on_the_route_table_alone(live: Run, shop: Path) -> None:
    add_second(live, shop)
    assert live("apply", "--yes").code == 0
    assert live("promote", "--yes", "--reason", "x").code == 0
    for name in ("meta.db", "meta.db-wal", "meta.db-shm"):
        (shop / ".kilter" / name).unlink(missing_ok=True)
    (shop / ".kilter" / "meta.db").write_bytes(b"no database" * 500)
    wrong = live("rollback", "--to", "7", "--reason", "x")
    assert (wrong.code, "only version 1 can answer, not 7" in wrong.err) == (1, True)
    back = live("rollback", "--reason", "x")
    assert back.code == 0
    assert "changing the route table alone" in back.err
    assert back.out.startswith("shop: version 1 answers (generation ")
    assert live("rollback", "nobody", "--reason", "x").code == 2


def test_the_audit_log_is_exported_and_verified(live: Run, shop: Path) -> None:
    path = shop / "audit.jsonl"
    assert live("export", "audit", "--out", str(path)).code == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"{number:012d}" for number in range(1, len(rows) + 1)]
    verified = live("export", "audit", str(path), "--verify")
    assert verified.out.startswith(f"verified: {len(rows)} rows, last digest ")
    path.write_text(path.read_text().replace('"subject":"shop"', '"subject":"shed"'))
    broken = live("export", "audit", str(path), "--verify")
    assert (broken.code, broken.err.splitlines()[0][:17]) == (1, "error: audit row ")
    assert len(live("export", "audit", "--json").object["data"]["items"]) >= len(rows)
    assert live("export", "audit", "--verify", "--json").object["data"]["verified"] is True


def test_an_alert_is_explained_with_what_was_done(live: Run, shop: Path) -> None:
    app = build(load(shop))
    alert = Alert(
        id=AlertId("alert_1"), deployment="shop", number=1, family="performance", severity=Severity.PAGE,
        headline="shop@1 is less often right", window=3, since=NOW, log_evidence=9.0, log_threshold=7.0,
        causes=("a moved up",), suggestion="refit", opened_at=NOW, updated_at=NOW,
    )  # fmt: skip
    decision = Decision(
        id=DecisionId("dec_1"), key="k", deployment="shop", kind="refit", reason="accuracy fell", command="retrain",
        evidence=("alert_1",), by="kilter", at=NOW,
    )  # fmt: skip

    def write(tx: object) -> None:
        tx.add(alert)  # type: ignore[attr-defined]
        tx.add(decision)  # type: ignore[attr-defined]

    app.metadata.write(write)
    app.close()
    told = live("explain", "alert", "shop").out
    assert told.splitlines()[0] == "page: shop@1 is less often right"
    assert "  evidence     8.1e+03, above the limit 1.1e+03" in told
    assert "  moved        a moved up" in told
    assert "  kilter did   accuracy fell" in told
    assert "(`kilter explain alert_1`)" in live("status").out
    assert live("explain", "alert", "alert_1").code == 0


def test_a_retraining_that_cannot_be_is_refused_with_a_way_out(live: Run) -> None:
    for how in ("refit", "recalibrate"):
        answer = live("retrain", "--how", how)
        assert answer.code in (0, 1, 2, 3)
        if answer.code:
            assert answer.err.startswith("error: ")


def test_doctor_loads_the_live_model(live: Run) -> None:
    assert "shop@1 loads and runs as onnx" in live("doctor").out


def test_a_name_is_made_of_the_file_and_a_bad_one_is_refused(run: Run, shop: Path) -> None:
    (shop / "9.onnx").write_bytes(b"x")
    bad = run("add", str(shop / "9.onnx"), "--data", str(shop / "ref.csv"), "--target", "left")
    assert (bad.code, bad.err.splitlines()[-1]) == (2, "fix:   add `--name NAME`")
    (shop / "My Model.v2.onnx").write_bytes(b"no onnx at all")
    corrupt = run("add", str(shop / "My Model.v2.onnx"), "--data", str(shop / "ref.csv"), "--target", "left")
    assert corrupt.code in (1, 3)
    assert corrupt.err.splitlines()[0].startswith("error: ")


def test_a_pickle_needs_consent(run: Run, shop: Path) -> None:
    words = ["--name", "fresh", "--data", str(shop / "ref.csv"), "--target", "left"]
    answer = run("add", str(shop / "m2.joblib"), *words, "--json")
    assert (answer.code, answer.object["error"]["code"]) == (1, "artifact.unsafe")
    assert "--trust" in answer.object["error"]["hint"]
