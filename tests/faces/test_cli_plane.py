"""Rows and labels reach the data plane as the model wants them, and come back as files."""

from __future__ import annotations

import csv
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

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
    assert rows[0] == {"prediction_id": "p:0", "version": "1", "label": "yes", "score": "0.75"}
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
    assert answer.out.splitlines()[0] == "prediction_id,version,label,score"
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
