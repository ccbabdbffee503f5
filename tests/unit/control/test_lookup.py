"""One prediction, found again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kilter.contracts.deployment import Deployment
from kilter.control.lookup import MASK, Lookup
from kilter.errors import NotFound
from kilter.testing.panel import PREDICTION, Panel, panel


@pytest.fixture
def app() -> Panel:
    return panel()


@pytest.mark.parametrize("name", [PREDICTION, f"{PREDICTION}:0"])
def test_a_prediction_is_found_with_inputs_answer_and_truth(app: Panel, name: str) -> None:
    found = Lookup(metadata=app.metadata, table=app.table).find(name)
    [row] = found.found
    assert (found.version, found.classes, row.answer, row.label) == (3, ("no", "yes"), "yes", "yes")
    assert row.inputs == {"temp": 0.71, "hour": 17.0, "humidity": None, "weather": "rain"}
    assert row.labelled_at is not None


def test_another_row_of_the_request_is_not_shown_for_it(app: Panel) -> None:
    assert Lookup(metadata=app.metadata, table=app.table).find(f"{PREDICTION}:7").found == ()


def test_personal_columns_are_masked(app: Panel) -> None:
    record = app.metadata.read(lambda tx: tx.get(Deployment, "bike-hourly"))
    assert record is not None
    spec = replace(record.spec, data=replace(record.spec.data, pii=("weather",)))
    app.metadata.write(lambda tx: tx.replace(replace(record, spec=spec, version=record.version + 1)))
    [row] = Lookup(metadata=app.metadata, table=app.table).find(PREDICTION).found
    assert row.inputs["weather"] == MASK


def test_an_unknown_id_is_not_found(app: Panel) -> None:
    with pytest.raises(NotFound):
        Lookup(metadata=app.metadata, table=app.table).find("nope")
