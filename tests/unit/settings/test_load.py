"""Settings come from flag, environment, file and default, in that order; every fault has a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.contracts.verdict import OnFail
from kilter.errors import NotFound, SettingsError
from kilter.settings import load

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
schema = 1
[project]
home = "state"
[serving]
port = 9001
body_max = "2MiB"
[model]
name = "churn"
source = "models/churn.joblib"
[data]
reference = "ref.csv"
label_delay = "2d"
[monitor]
window = "14d"
pages = "2/90d"
[rollout]
steps = [5, 50, 100]
margins = { loss = 0.03 }
[[gates]]
metric = "log_loss"
max = 0.4
[[gates]]
metric = "roc_auc_score"
min = 0.6
on_fail = "review"
"""


def write(folder: Path, text: str, name: str = "kilter.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def faults(folder: Path, text: str) -> list[dict[str, str]]:
    write(folder, text)
    with pytest.raises(SettingsError) as caught:
        load(folder)
    errors = caught.value.details["errors"]
    assert isinstance(errors, list)
    return errors  # type: ignore[return-value]


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.serving.port == 8080
    assert settings.project.home == str(tmp_path / ".kilter")
    assert settings.project.name == tmp_path.name
    assert settings.deployments == ()


def test_a_whole_file_is_read_with_units_and_paths(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    settings = load(tmp_path)
    spec = settings.deployment("churn")
    assert spec is not None
    assert settings.deployment("other") is None
    assert settings.project.home == str(tmp_path / "state")
    assert settings.serving.body_max_bytes == 2 * 1024 * 1024
    assert spec.model.source == str(tmp_path / "models/churn.joblib")
    assert spec.data.label_delay_s == 172_800.0
    assert spec.monitor.pages_period_s == 45 * 86_400.0
    assert spec.rollout.steps == (5.0, 50.0, 100.0)
    assert spec.rollout.margins == (("loss", 0.03),)
    assert [(rule.metric, rule.on_fail) for rule in spec.gates] == [
        ("log_loss", OnFail.BLOCK),
        ("roc_auc_score", OnFail.REVIEW),
    ]


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    environment = {"KILTER_SERVING__PORT": "9002", "KILTER_SERVER__HOST": "localhost", "HOME": "/", "KILTER_DEBUG": "1"}
    settings = load(tmp_path, environment=environment, flags={"serving.workers": 2, "server.host": "127.0.0.1"})
    assert (settings.serving.port, settings.serving.workers, settings.server.host) == (9002, 2, "127.0.0.1")
    assert settings.origins["serving.port"] == "environment KILTER_SERVING__PORT"
    assert settings.origins["serving.body_max"] == f"{tmp_path / 'kilter.toml'}:7:1"


def test_an_unknown_key_has_a_position_and_the_nearest_name(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, '[model]\nname = "a"\nsource = "b"\n\n[monitor]\n  windw = "7d"\n')
    assert fault["where"].endswith("kilter.toml:6:3")
    assert fault["message"] == "unknown key `windw` in [monitor]"
    assert fault["hint"] == "use `window`"


def test_a_key_in_the_wrong_table_is_sent_to_its_own(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, '[model]\nname = "a"\nsource = "b"\n[data]\nstrategy = "canary"\n')
    assert fault["hint"] == "move it to [rollout]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[serving]\nport = 0", "expected a whole number from 1 to 65535, got 0"),
        ("[serving]\nport = true", "expected a whole number"),
        ('[serving]\nhost = "0.0.0.0"', "expected a loopback address"),
        ('[serving]\nbody_max = "5 apples"', "expected a size such as"),
        ('[control]\npoll_s = "1"', "expected a number from 0.01 to 60"),
        ("[project]\nname = 3", "expected text in quotes"),
        ('[server]\nallowed_hosts = "a"', "expected a list of texts"),
        ("[project]\nname = " + '"' + "x" * 9 + '"\nhome = []', "expected text in quotes, got []"),
    ],
)
def test_a_wrong_value_says_what_was_expected(tmp_path: Path, line: str, message: str) -> None:
    (fault,) = faults(tmp_path, line)
    assert message in fault["message"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('[monitor]\nwindow = "7 parsecs"', "expected a duration"),
        ('[monitor]\npages = "90d"', "expected a budget"),
        ('[monitor]\npages = "1/soon"', "expected a budget"),
        ("[rollout]\nsteps = [50, 5]", "expected a rising list of per cent"),
        ("[rollout]\nsteps = 5", "expected a rising list of per cent"),
        ("[rollout]\nmargins = 5", "expected a table"),
        ("[retrain]\nauto_recalibrate = 1", "expected true or false"),
        ('[log]\ndurable = "paper"', 'expected one of "memory", "process", "disk"'),
    ],
)
def test_a_wrong_value_of_a_deployment_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (fault,) = faults(tmp_path, f'[model]\nname = "a"\nsource = "b"\n{line}')
    assert message in fault["message"]


def test_a_bad_model_name_is_refused(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, '[model]\nname = "Churn Model"\nsource = "b"')
    assert "starting with a letter" in fault["message"]


def test_all_faults_are_told_at_once_in_order(tmp_path: Path) -> None:
    found = faults(tmp_path, '[model]\nname = "a"\n[[gates]]\nmetrc = "x"\n[nonsense]\nx = 1\n')
    assert [fault["message"] for fault in found] == [
        "[model] needs the key `source`",
        "[gates] needs the key `metric`",
        "unknown key `metrc` in [gates]",
        "unknown table or key `nonsense`",
    ]


def test_tables_without_a_model_are_refused(tmp_path: Path) -> None:
    found = faults(tmp_path, '[monitor]\nwindow = "1d"\n[[gates]]\nmetric = "log_loss"\n')
    assert {fault["message"] for fault in found} == {
        "`[monitor]` needs a `[model]` in the same file",
        "`[gates]` needs a `[model]` in the same file",
    }


@pytest.mark.parametrize("text", ["gates = 1", "model = 1", "include = 3", "schema = 2"])
def test_wrong_shapes_at_the_top_are_refused(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text)[0]["where"].endswith("kilter.toml:1:1")


def test_broken_toml_names_the_place(tmp_path: Path) -> None:
    write(tmp_path, "[model\n")
    with pytest.raises(SettingsError, match=r"not valid TOML: .*line 1"):
        load(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kilter.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "kilter.toml").write_bytes(b'\xef\xbb\xbf[model]\nname = "a"\nsource = "b"\n')
    assert load(tmp_path).deployment("a") is not None


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kilter.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no settings file"):
        load(tmp_path, file=tmp_path / "other.toml")


def test_included_files_add_deployments(tmp_path: Path) -> None:
    write(tmp_path, 'include = ["deploy/*.toml"]\n[model]\nname = "a"\nsource = "a.onnx"\n')
    write(tmp_path, '[model]\nname = "b"\nsource = "b.onnx"\n', "deploy/b.toml")
    settings = load(tmp_path)
    assert [spec.model.name for spec in settings.deployments] == ["a", "b"]
    assert settings.deployments[1].model.source == str(tmp_path / "deploy/b.onnx")


def test_an_included_file_may_not_set_the_root_nor_repeat_a_name(tmp_path: Path) -> None:
    write(tmp_path, '[model]\nname = "a"\nsource = "a"\n[serving]\nport = 1\n', "deploy/a.toml")
    found = faults(tmp_path, 'include = ["deploy/*.toml"]\n')
    assert found[0]["message"] == "`[serving]` belongs into the root file"
    write(tmp_path, '[model]\nname = "a"\nsource = "a"\n', "deploy/a.toml")
    found = faults(tmp_path, 'include = ["deploy/*.toml"]\n[model]\nname = "a"\nsource = "a"\n')
    assert found[0]["message"] == "two files name the model `a`"


def test_an_unknown_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown setting `serving.prt`") as caught:
        load(tmp_path, environment={"KILTER_SERVING__PRT": "1"})
    assert caught.value.hint is not None
    assert "serving.port" in caught.value.hint


def test_a_wrong_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a whole number"):
        load(tmp_path, environment={"KILTER_SERVING__PORT": "eighty"})


@pytest.mark.parametrize("promise", ['on_overload = "fallback"', 'on_error = "open"'])
def test_a_promised_answer_needs_somebody_to_give_it(tmp_path: Path, promise: str) -> None:
    text = f'[model]\nname = "m"\nsource = "m.onnx"\n[deployment]\n{promise}\n'
    (fault,) = faults(tmp_path, text)
    assert "needs the key `fallback`" in fault["message"]
    write(tmp_path, text + 'fallback = "constant:0.5"\n')
    spec = load(tmp_path).deployment("m")
    assert spec is not None
    assert spec.deployment.fallback == "constant:0.5"
