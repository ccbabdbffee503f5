"""Rows and labels reach the data plane as the model wants them, and come back as files."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

import pytest

from kilter.services.collector import Collector
from kilter.services.evaluator import Evaluator
from kilter.services.retrainer import Retrainer
from kilter.settings import load, transfer
from kilter.stores.board import Board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Plane(BaseHTTPRequestHandler):
    """A data plane that says yes to everything."""

    seen: ClassVar[list[Any]] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Plane.seen.append(body)
        if self.path.startswith("/feedback/"):
            answer: dict[str, object] = {"accepted": len(body["feedback"])}
        else:
            start = sum(len(one["rows"]) for one in Plane.seen[:-1])
            rows = [
                {"id": f"p:{start + i}", "label": "yes", "score": 0.75, "probabilities": {"yes": 0.75}}
                for i in range(len(body["rows"]))
            ]
            answer = {"version": 1, "predictions": rows}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def live(run: Callable[..., Any], shop: Path) -> Iterator[Callable[..., Any]]:
    """The first version is live, and somebody answers for it."""
    Plane.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plane)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    path = shop / "kilter.toml"
    path.write_text(
        path.read_text() + f"[deployment]\nmax_batch_rows = 40\n[serving]\nport = {server.server_address[1]}\n"
    )
    assert run("apply", "--yes", "--quiet").code == 0
    yield run
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_is_sent_in_pieces_and_written_as_csv(live: Callable[..., Any], shop: Path) -> None:
    answer = live("predict", "shop", "--in", str(shop / "new.csv"), "--out", str(shop / "out.csv"))
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == f"wrote 100 predictions to {shop / 'out.csv'}\n"
    rows = list(csv.DictReader((shop / "out.csv").read_text().splitlines()))
    assert rows[0] == {"prediction_id": "p:0", "version": "1", "predicted": "yes", "score": "0.75"}
    assert [row["prediction_id"] for row in rows] == [f"p:{i}" for i in range(100)]
    assert [len(body["rows"]) for body in Plane.seen] == [40, 40, 20]
    assert set(Plane.seen[0]["rows"][0]) == {"a", "b"}


def test_a_full_disk_is_told(live: Callable[..., Any], shop: Path) -> None:
    answer = live("predict", "--in", str(shop / "new.csv"), "--out", "/dev/full")
    assert (answer.code, answer.err.splitlines()[0]) == (
        3,
        "error: `/dev/full` cannot be written: No space left on device",
    )


def test_one_row_is_answered_in_one_line_and_many_as_csv(live: Callable[..., Any]) -> None:
    answer = live("predict", "--row", '{"a": 1, "b": 2}')
    assert json.loads(answer.out) == {"prediction_id": "p:0", "version": 1, "label": "yes", "score": 0.75}
    answer = live("predict", "--row", '[{"a": 1, "b": 2}, {"a": null, "b": 2}]')
    assert answer.out.splitlines()[0] == "prediction_id,version,predicted,score"
    assert Plane.seen[-1] == {"rows": [{"a": 1, "b": 2}, {"a": None, "b": 2}]}


def test_missing_numbers_are_null_and_progress_is_json_for_programs(live: Callable[..., Any], shop: Path) -> None:
    (shop / "gaps.csv").write_text("b,a,other\n" + "1,,x\n" * 41)
    answer = live("predict", "--in", str(shop / "gaps.csv"), "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [line["schema"] for line in lines] == ["kilter.progress/1", "kilter.progress/1", "kilter.predict/1"]
    assert len(lines[-1]["data"]["predictions"]) == 41
    assert Plane.seen[0]["rows"][0] in ({"a": None, "b": 1.0}, {"a": None, "b": 1})


def test_rows_come_from_standard_input(live: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"a": 1, "b": 2}\n\n{"a": 3, "b": 4}\n'))
    assert len(live("predict", "--in", "-").out.splitlines()) == 3
    assert Plane.seen == [{"rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}]


def test_labels_are_sent_from_a_file_without_the_unknown_ones(live: Callable[..., Any], shop: Path) -> None:
    (shop / "labels.csv").write_text("id,truth,at\np:0,yes,2026-01-01T00:00:00Z\np:1,,2026-01-01T00:00:00Z\n")
    words = ["feedback", str(shop / "labels.csv"), "--id-col", "id", "--label-col", "truth", "--time-col", "at"]
    answer = live(*words)
    assert (answer.code, answer.out) == (0, "1 label accepted for shop\n")
    assert answer.err == "undo: none, corrected by sending a later label for the same prediction\n"
    (item,) = Plane.seen[0]["feedback"]
    assert (item["prediction_id"], item["label"]) == ("p:0", "yes")
    assert str(item["observed_at"]).startswith("2026-01-01")


def test_labels_may_name_the_entity_or_one_prediction(live: Callable[..., Any], shop: Path) -> None:
    (shop / "labels.csv").write_text("customer,label\n7,yes\n")
    assert live("feedback", str(shop / "labels.csv"), "--entity-col", "customer").code == 0
    assert live("feedback", "--id", "p:1", "--label", "no", "--json").object["data"] == {"model": "shop", "accepted": 1}
    assert [body["feedback"] for body in Plane.seen] == [
        [{"entity_id": "7", "label": "yes"}],
        [{"prediction_id": "p:1", "label": "no"}],
    ]


def test_many_labels_are_sent_in_pieces(live: Callable[..., Any], shop: Path) -> None:
    (shop / "labels.csv").write_text("prediction_id,label\n" + "".join(f"p:{i},yes\n" for i in range(1001)))
    assert live("feedback", str(shop / "labels.csv"), "--json").object["data"]["accepted"] == 1001
    assert [len(body["feedback"]) for body in Plane.seen] == [1000, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\n1,yes\n", "has no column `prediction_id`"),
        ("prediction_id,label\n1,\n2,\n", "no row of the file has a label"),
        ("prediction_id,label\n1,yes\n,no\n", "the label in row 2 belongs to no prediction"),
    ],
    ids=["column", "empty", "nobody"],
)
def test_a_file_without_labels_is_refused(live: Callable[..., Any], shop: Path, content: str, message: str) -> None:
    (shop / "labels.csv").write_text(content)
    answer = live("feedback", str(shop / "labels.csv"))
    assert answer.code == 2
    assert message in answer.err.splitlines()[0]
    assert answer.err.splitlines()[-1].startswith("fix:")


def test_answers_sent_back_are_not_taken_for_the_truth(live: Callable[..., Any], shop: Path) -> None:
    assert live("predict", "--in", str(shop / "new.csv"), "--out", str(shop / "out.csv")).code == 0
    answer = live("feedback", str(shop / "out.csv"))
    assert (answer.code, answer.err.splitlines()[0]) == (2, "error: the file has no column `label`")
    assert not any("feedback" in body for body in Plane.seen)


def test_a_file_without_a_needed_column_is_refused_before_anything_is_sent(
    live: Callable[..., Any], shop: Path
) -> None:
    (shop / "short.csv").write_text("a,other\n1,2\n")
    answer = live("predict", "--in", str(shop / "short.csv"))
    assert (answer.code, Plane.seen) == (2, [])
    assert answer.err.splitlines()[0] == "error: the file has no column `b`"
    assert answer.err.splitlines()[-1] == "fix:   add it under this name; the file has a, other"


def test_the_ports_of_the_running_supervisor_come_before_the_settings(live: Callable[..., Any], shop: Path) -> None:
    path = shop / "kilter.toml"
    text = path.read_text()
    port = int(text.rpartition("port = ")[2])
    path.write_text(text.replace(f"port = {port}", "port = 9"))
    ports = shop / ".kilter" / "run" / "ports.json"
    ports.parent.mkdir(exist_ok=True)
    board = Board(ports.parent)
    board.claim()
    try:
        for content, code in (
            (f'{{"serving": {{"host": "127.0.0.1", "port": {port}}}, "pid": {os.getpid()}}}', 0),
            (f'{{"serving": {{"host": "127.0.0.1", "port": {port}}}, "pid": 1}}', 3),  # of one that has ended
            ("{", 3),
        ):
            ports.write_text(content)
            assert live("predict", "--row", '{"a": 1, "b": 2}').code == code
            assert (f"on http://127.0.0.1:{port if code == 0 else 9}\n" in live("status").out) is True
    finally:
        board.release()


def test_the_dashboard_is_where_kilter_up_put_it(live: Callable[..., Any], shop: Path) -> None:
    settings = load(shop, environment={}, flags={"server.port": 8123})
    run = shop / ".kilter" / "run"
    transfer.write(settings, run / "settings.json")
    board = Board(run)
    board.claim()
    try:
        assert "dashboard      http://127.0.0.1:8123\n" in live("status").out
        assert "control plane  127.0.0.1:8123" in live("doctor").out
    finally:
        board.release()


def test_a_label_that_is_no_class_is_refused_before_any_is_sent(live: Callable[..., Any], shop: Path) -> None:
    (shop / "labels.csv").write_text("prediction_id,label\np:0,yes\np:1,maybe\n")
    answer = live("feedback", str(shop / "labels.csv"))
    assert (answer.code, Plane.seen) == (2, [])
    assert answer.err.splitlines()[0] == "error: `maybe` (label 2) is no class of `shop`, nothing was sent"
    assert answer.err.splitlines()[-1] == "fix:   its classes are no, yes; see `--label-col`"


def test_a_check_compares_with_the_live_version_unless_told_otherwise(live: Callable[..., Any], shop: Path) -> None:
    words = ["add", str(shop / "m2.joblib"), "--name", "shop", "--data", str(shop / "ref.csv"), "--target", "left"]
    assert live(*words, "--positive", "yes", "--trust", "--quiet").code == 0
    with patch.object(Evaluator, "check", autospec=True, side_effect=Evaluator.check) as spy:
        for reference in ("shop@1", "shop@2"):
            assert live("check", reference).code == 0
    baselines = [call.kwargs["baseline"] for call in spy.call_args_list]
    assert [one and one.number for one in baselines] == [None, 1]


def test_labels_sent_a_moment_ago_are_collected_before_a_repair(
    live: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(Collector, "collect", lambda *_: calls.append("collect"))

    def recalibrate(*_: object, **__: object) -> _Reason:
        calls.append("repair")
        return _Reason()

    monkeypatch.setattr(Retrainer, "recalibrate", recalibrate)
    assert live("retrain", "--how", "recalibrate").code == 0
    assert calls == ["collect", "repair"]


class _Reason:
    """A decision, as far as it is printed."""

    reason = "asked for"
