"""The command line says what is wrong in at most four lines, with the exit code that stands for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kilter.faces.cli import main
from kilter.faces.cli.errors import worst
from kilter.faces.cli.main import VERBS

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"numpy", "scipy", "sklearn", "pyarrow", "duckdb", "starlette", "fastapi", "rich", "sqlalchemy", "onnx"}
SETTINGS = '[model]\nname = "churn"\nsource = "churn.onnx"\n'


def call(*words: str) -> int:
    """Run in this process and return the exit code."""
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = call(*words)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, printed.out, printed.err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "--version") == (0, "kilter 0.1.0\n", "")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]], ids=["none", "long", "short"])
def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, _ = called(capsys, *words)
    assert code == 0
    assert all(f"\n  {verb} " in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_is_short_and_fits(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, out, _ = called(capsys, verb, "--help")
    assert code == 0
    assert len(out.splitlines()) <= 40
    assert "--json" in out


@pytest.mark.parametrize("word", ["--version", "--help", "nonsense"])
def test_starting_loads_nothing_heavy(word: str) -> None:
    script = (
        "import sys\nfrom kilter.faces.cli import main\n"
        f"try: main([{word!r}])\nexcept SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["statsu"], ["error: unknown verb `statsu`", "fix:   use `status`"]),
        (["up", "--prot", "1"], ["error: unknown option `--prot`", "fix:   use `--port` or `--project`"]),
        (["up", "--zzz"], ["error: unknown option `--zzz`", "fix:   see `kilter up --help`"]),
        (["up", "--port", "x"], ["error: `--port`: 'x' is not a valid integer", "fix:   see `kilter up --help`"]),
        (["add"], ["error: SOURCE is missing", "fix:   write `kilter add SOURCE`; see `kilter add --help`"]),
        (["rollback"], ["error: `--reason` is missing", "fix:   add `--reason REASON`: why; kept in the audit log"]),
        (["--zzz"], ["error: unknown option `--zzz`", "fix:   see `kilter --help`"]),
        (["plan", "a", "b"], ["error: got unexpected extra argument (b)", "fix:   see `kilter plan --help`"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 4 else None,
)
def test_a_fault_of_usage_is_two_lines(capsys: pytest.CaptureFixture[str], words: list[str], lines: list[str]) -> None:
    code, out, err = called(capsys, *words)
    assert (code, out, err.splitlines()) == (2, "", lines)


@pytest.mark.parametrize(
    "words", [["--json", "up", "--prot"], ["up", "--prot", "--json"], ["nonsense", "--json"]], ids=str
)
def test_a_fault_of_usage_is_one_object_for_programs(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = called(capsys, *words)
    found: dict[str, Any] = json.loads(out)
    assert (code, err) == (2, "")
    assert list(found) == ["schema", "ok", "data", "warnings", "error"]
    assert list(found["error"]) == ["code", "message", "where", "why", "hint", "details", "docs"]
    assert found["error"]["code"] == "input.unknown_name"


def test_global_flags_may_stand_before_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kilter.toml").write_text("")
    code, out, _ = called(capsys, "--json", "--project", str(tmp_path), "plan")
    assert (code, json.loads(out)["data"]) == (0, {"plans": []})


@pytest.mark.parametrize("verb", ["status", "check", "plan", "predict", "feedback", "explain", "export"])
def test_without_a_project_the_first_step_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    words = {
        "predict": ["--row", "{}"],
        "feedback": ["--id", "a", "--label", "b"],
        "explain": ["a"],
        "export": ["audit"],
    }
    code, _, err = called(capsys, verb, *words.get(verb, []), "--project", str(tmp_path))
    if verb == "plan":
        assert code == 0
    else:
        assert code == 2
        assert err.splitlines()[0] == "error: there is no kilter project in this folder"
        assert "`kilter add MODEL" in err
    assert list(tmp_path.iterdir()) == []


def test_a_fault_in_the_settings_has_a_place_and_all_faults_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kilter.toml").write_text(SETTINGS + "[monitor]\nwindw = 1\nevery = 3\n")
    code, _, err = called(capsys, "plan", "--project", str(tmp_path))
    lines = err.splitlines()
    assert code == 2
    assert lines[0] == "error: unknown key `windw` in [monitor] (and 1 more)"
    assert lines[1] == f"where: {tmp_path / 'kilter.toml'}:5:1"
    assert lines[2] == "fix:   use `window`"
    assert lines[3].startswith("also:  ")


def test_an_unknown_model_gets_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kilter.toml").write_text(SETTINGS)
    code, _, err = called(capsys, "status", "chrun", "--project", str(tmp_path))
    assert (code, err.splitlines()) == (2, ["error: unknown model `chrun`", "fix:   use `churn`"])


def test_what_is_wanted_and_not_deployed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kilter.toml").write_text(SETTINGS)
    code, out, _ = called(capsys, "status", "--project", str(tmp_path))
    assert code == 0
    assert "serving        stopped; start it with `kilter up`" in out
    assert "churn  not deployed yet" in out


def test_a_newer_home_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".kilter").mkdir()
    (tmp_path / ".kilter" / "VERSION").write_text("99\n")
    code, _, err = called(capsys, "status", "--project", str(tmp_path))
    assert code == 3
    assert "layout '99'" in err
    assert "fix:" in err


def test_a_damaged_database_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".kilter").mkdir()
    (tmp_path / ".kilter" / "meta.db").write_bytes(b"this is no database" * 300)
    code, out, _ = called(capsys, "status", "--json", "--project", str(tmp_path))
    assert (code, json.loads(out)["error"]["code"]) == (3, "backend.store")


def test_a_rollback_without_database_and_route_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".kilter").mkdir()
    (tmp_path / ".kilter" / "meta.db").write_bytes(b"this is no database" * 300)
    code, _, err = called(capsys, "rollback", "churn", "--reason", "x", "--project", str(tmp_path))
    assert code == 2
    assert "changing the route table alone" in err
    assert "nothing is being served" in err


def test_files_that_are_not_there_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", "r.csv", "--target", "y", "--project", str(tmp_path)]
    code, _, err = called(capsys, "add", "nothing.onnx", *words)
    assert (code, err.splitlines()[0]) == (2, "error: there is no file `nothing.onnx`")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict"], "there are no rows to predict"),
        (["predict", "--in", "a", "--row", "b"], "rows come from `--in` or `--row`, not both"),
        (["predict", "--row", "{"], "the row is no JSON"),
        (["predict", "--row", "3"], "a row is a JSON object of column and value"),
        (["predict", "--row", "{}"], "no data plane answers on 127.0.0.1:1"),
        (["feedback"], "there are no labels to send"),
        (["feedback", "--id", "a"], "`--id` and `--label` go together"),
        (["feedback", "nothing.csv"], "nothing.csv"),
        (["feedback", "--id", "a", "--label", "b"], "no data plane answers on 127.0.0.1:1"),
        (["apply", "--override", "gates"], "an override needs a reason"),
        (["apply", "kilter.toml"], "`kilter.toml` is no saved plan"),
        (["apply", "other.json"], "`other.json` is no saved plan"),
        (["apply", "nobody"], "unknown model in kilter.toml `nobody`"),
        (["apply"], "this changes the live state and nobody can be asked"),
        (["apply", "--wait", "soon"], "`--wait`: expected a duration"),
        (["explain", "a", "b", "c"], "one thing is explained at a time, not 3"),
        (["explain", "weather", "churn"], "nothing of the kind `weather` can be explained"),
        (["explain", "alert", "churn"], "churn has no alert yet"),
        (["explain", "alert_1"], "there is no alert `alert_1`"),
        (["explain", "check_1"], "there is no gate run `check_1`"),
        (["explain", "ro_1"], "there is no rollout `ro_1`"),
        (["explain", "dec_1"], "there is no decision `dec_1`"),
        (["explain", "0198"], "no prediction, alert, gate run, rollout or decision has the id `0198`"),
        (["rollback", "--reason", "x"], "no deployment `churn`"),
        (["promote", "--yes"], "churn"),
        (["retrain"], "churn"),
        (["retrain", "--how", "recalibrate"], "churn"),
        (["check"], "no data to check on"),
        (["export", "audit", "x.jsonl"], "`x.jsonl` can only be verified"),
        (["export", "audit", "x.jsonl", "--verify"], "`x.jsonl` cannot be read"),
        (["export", "audit", "other.json", "--verify"], "line 1 is no audit row"),
        (["export", "audit", "--out", "no/such/folder"], "`no/such/folder` cannot be written"),
        (["plan", "--out", "no/such/folder"], "`no/such/folder` cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    (tmp_path / "kilter.toml").write_text("[serving]\nport = 1\n" + SETTINGS)
    (tmp_path / "other.json").write_text('{"schema": "kilter.plan/9"}')
    monkeypatch.chdir(tmp_path)
    code, _, err = called(capsys, *words)
    lines = err.splitlines()
    assert code in (1, 2, 3)
    assert message in lines[0] or any(message in line for line in lines if line.startswith("error:"))
    assert any(line.startswith("fix:") for line in lines)
    assert len(lines) <= 6


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket  # noqa: PLC0415 - this test alone takes a port

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, err = called(capsys, "up", "--data-port", port, "--project", str(tmp_path))
        assert (code, err.splitlines()[0]) == (1, f"error: port {port} cannot be used: Address already in use")
        assert "`--data-port PORT`" in err
        code, _, err = called(capsys, "up", "--role", "data", "--grpc-port", port, "--project", str(tmp_path))
        assert code == 1
        assert "`--grpc-port PORT`" in err
        code, _, err = called(capsys, "up", "--role", "control", "--port", port, "--project", str(tmp_path))
        assert code == 1
        assert "`--port PORT`" in err


def test_doctor_looks_at_an_empty_folder_and_leaves_it_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    code, out, _ = called(capsys, "doctor", "--json", "--project", str(tmp_path / "empty"))
    found = json.loads(out)["data"]["findings"]
    assert code in (0, 1)
    assert {"python", "settings", "home folder"} <= {finding["what"] for finding in found}
    assert list((tmp_path / "empty").iterdir()) == []


def test_doctor_finds_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kilter.toml").write_text("nonsense = 1\n")
    code, out, _ = called(capsys, "doctor", "--project", str(tmp_path))
    assert code == 1
    assert "fail  settings" in out
    assert "fix:" in out


def test_doctor_looks_at_a_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kilter.toml").write_text(SETTINGS)
    (tmp_path / ".kilter" / "log").mkdir(parents=True)
    (tmp_path / ".kilter" / "log" / "1.bad").write_text("")
    _, out, _ = called(capsys, "doctor", "--project", str(tmp_path))
    assert "set aside as damaged: 1.bad" in out
    assert "0 records logged and compacted, 0 in 0 parts" in out
    assert " us at `disk`, " in out
    assert "0 rows, chain verified" in out


def test_doctor_tells_where_settings_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kilter.toml").write_text(SETTINGS + "[serving]\nbody_max = '1MiB'\n")
    monkeypatch.setenv("KILTER_SERVING__PORT", "9099")
    code, out, _ = called(capsys, "doctor", "--config", "--project", str(tmp_path))
    assert code == 0
    assert "serving.port = 9099  # environment KILTER_SERVING__PORT" in out
    assert f"serving.body_max_bytes = 1048576  # {tmp_path / 'kilter.toml'}:5:1" in out
    assert "control.poll_s = 1.0  # default" in out


def test_the_schema_of_the_settings_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = called(capsys, "export", "schema", "--out", str(tmp_path / "s.json"), "--project", str(tmp_path))
    assert (code, err) == (0, f"wrote {tmp_path / 's.json'}\n")
    assert json.loads((tmp_path / "s.json").read_text())["title"] == "kilter.toml"
    code, out, _ = called(capsys, "export", "schema", "--json")
    assert json.loads(out)["data"]["title"] == "kilter.toml"


def test_a_closed_pipe_ends_quietly() -> None:
    command = [sys.executable, "-m", "kilter", "export", "schema"]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_the_output_is_told() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "kilter", "export", "schema"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        "error: standard output cannot be written: No space left on device",
    )


def test_a_full_disk_behind_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kilter.toml").write_text("")
    for words in (["plan"], ["export", "schema"], ["export", "audit"]):
        code, _, err = called(capsys, *words, "--out", "/dev/full", "--project", str(tmp_path))
        assert code == 3
        assert err.splitlines()[0] == "error: `/dev/full` cannot be written: No space left on device"
        assert err.splitlines()[-1] == "fix:   choose another file with `--out`"


def test_a_fault_of_kilter_itself_is_four_lines_and_a_report(tmp_path: Path) -> None:
    # a folder where a file is expected: nothing in kilter foresees it
    script = (
        "import kilter.plugins, kilter.faces.cli as cli\n"
        "import click\n"
        "import kilter.faces.cli.plan as plan\n"
        "plan.command.callback = lambda **_: 1 / 0\n"
        "cli.main(['plan', *__import__('sys').argv[1:]])"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    for flags in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *flags], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 3
        assert "Traceback" not in done.stderr
        assert "kilter failed: ZeroDivisionError: division by zero" in done.stdout + done.stderr
    (report, _) = sorted(tmp_path.glob("kilter-error-*.txt"))
    assert "ZeroDivisionError" in report.read_text()
    done = subprocess.run(
        [sys.executable, "-c", script, "-v"], env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(("codes", "expected"), [([], 0), ([0, 4], 4), ([3, 4], 3), ([1, 3], 1), ([2, 1], 2)], ids=str)
def test_the_worst_of_several_outcomes_is_the_exit_code(codes: list[int], expected: int) -> None:
    assert worst(codes) == expected
