"""MLflow's scoring client, and its other formats by plain HTTP, against a running kilter."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # noqa: TID251 - what this client is fed with
import requests
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from tests.conformance.cell import Cells, close

ROW = "MLflow ScoringServerClient: ping, version, four JSON forms; CSV and parquet"
_TIMEOUT_S = 30


def _scores(predictions: Any) -> list[list[float]]:  # noqa: ANN401 - any frame or list
    """Return the probabilities of an answer's records."""
    return [
        [record["probabilities"][name] for name in sorted(record["probabilities"])]
        if isinstance(record.get("probabilities"), dict)
        else [1 - record["score"], record["score"]]
        for record in predictions
    ]


def _post(cells: Cells, path: str, body: bytes, kind: str) -> list[dict[str, Any]]:
    """Post and return the predictions."""
    answer = requests.post(cells.url + path, data=body, headers={"content-type": kind}, timeout=_TIMEOUT_S)
    if answer.status_code != requests.codes.ok:
        message = f"{answer.status_code}: {answer.text[:300]}"
        raise ValueError(message)
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


def main() -> None:
    """Run all cells."""
    cells = Cells(sys.argv[1])
    client = ScoringServerClient("127.0.0.1", cells.http)
    matrix = cells.matrix
    frame = pd.DataFrame(matrix["rows"], columns=matrix["columns"])
    with cells.cell(ROW, "ping, wait until ready"):
        client.wait_server_ready(timeout=10)
        client.ping()
    with cells.cell(ROW, "version"):
        if not client.get_version().strip():
            message = "an empty version came back"
            raise ValueError(message)
    with cells.cell(ROW, "invoke: data frame (dataframe_split)"):
        close(_scores(client.invoke(frame)["predictions"]), matrix["probabilities"])
    with cells.cell(ROW, "invoke: data frame, answer as a data frame"):
        if len(client.invoke(frame).get_predictions()) != len(frame):
            message = "another number of rows came back"
            raise ValueError(message)
    with cells.cell(ROW, "invoke: array (inputs)"):
        close(_scores(client.invoke(np.array(matrix["rows"]))["predictions"]), matrix["probabilities"])
    documents = {
        "dataframe_split": {"columns": matrix["columns"], "data": matrix["rows"]},
        "dataframe_records": frame.to_dict(orient="records"),
        "instances": matrix["rows"],
        "inputs": matrix["rows"],
    }
    for form, document in documents.items():
        with cells.cell(ROW, f"invoke: {form} as text"):
            close(_scores(client.invoke(json.dumps({form: document}))["predictions"]), matrix["probabilities"])
    with cells.cell(ROW, "invoke with params"):
        client.invoke(frame, params={"temperature": 1})
    with cells.cell(ROW, "CSV"):
        body = frame.to_csv(index=False).encode()
        close(_scores(_post(cells, "/invocations", body, "text/csv")), matrix["probabilities"])
    with cells.cell(ROW, "parquet"):
        sink = io.BytesIO()
        frame.to_parquet(sink, index=False)
        found = _post(cells, "/invocations", sink.getvalue(), "application/vnd.apache.parquet")
        close(_scores(found), matrix["probabilities"])
    _mixed(cells)
    with cells.cell(ROW, "an error has MLflow's form"):
        answer = requests.post(cells.url + "/invocations", json={"nothing": []}, timeout=_TIMEOUT_S)
        if answer.status_code != requests.codes.bad_request or answer.json()["error_code"] != "BAD_REQUEST":
            message = f"{answer.status_code}: {answer.text[:300]}"
            raise ValueError(message)


def _mixed(cells: Cells) -> None:
    """Send the deployment with columns of every type."""
    mixed = cells.mixed
    other = pd.DataFrame(mixed["rows"])
    for form, document in {
        "dataframe_split": other.to_dict(orient="split", index=False),
        "dataframe_records": other.to_dict(orient="records"),
        "instances": other.to_dict(orient="records"),
        "inputs": other.to_dict(orient="list"),
    }.items():
        with cells.cell(ROW, f"mixed types: {form}"):
            body = json.dumps({form: document}).encode()
            close(_scores(_post(cells, "/invocations/mixed", body, "application/json")), mixed["probabilities"])
    with cells.cell(ROW, "mixed types: CSV"):
        found = _post(cells, "/invocations/mixed", other.to_csv(index=False).encode(), "text/csv")
        close(_scores(found), mixed["probabilities"])
    with cells.cell(ROW, "mixed types: parquet"):
        sink = io.BytesIO()
        other.to_parquet(sink, index=False)
        found = _post(cells, "/invocations/mixed", sink.getvalue(), "application/vnd.apache.parquet")
        close(_scores(found), mixed["probabilities"])


if __name__ == "__main__":
    main()
