"""The schema is made at once or step by step, with the same outcome; what is newer is refused."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from kilter.errors import StoreError
from kilter.stores.sql.schema import HEAD, MIGRATIONS, create, require_known, revision, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("leases", sa.Column("note", sa.Text))
    {more}


def downgrade() -> None:
    op.drop_column("leases", "note")
"""


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"isolation_level": None})
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    yield engine
    engine.dispose()


def shape(connection: sa.Connection) -> dict[str, object]:
    """Everything that makes a schema: columns, keys, indexes, triggers."""
    look = sa.inspect(connection)
    tables: dict[str, object] = {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in look.get_columns(name)],
            look.get_pk_constraint(name)["constrained_columns"],
            sorted(str(index) for index in look.get_indexes(name)),
            sorted(str(unique) for unique in look.get_unique_constraints(name)),
        )
        for name in look.get_table_names()
    }
    rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"))
    return {**tables, "triggers": [tuple(row) for row in rows]}


def folder_with_second(tmp_path: Path, more: str = "") -> Path:
    """Copy the history and add a revision."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9000_next.py").write_text(SECOND.format(more=more or "pass", head=HEAD))
    return folder


def test_creating_gives_what_migrating_gives(engine: sa.Engine) -> None:
    other = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.begin() as connection, other.begin() as migrated:
        create(connection)
        upgrade(migrated, lambda _: None)
        assert revision(connection) == revision(migrated) == HEAD
        created, stepped = shape(connection), shape(migrated)
        assert created == stepped
    other.dispose()


def test_there_is_one_line_of_revisions_that_ends_at_the_head() -> None:
    from alembic.config import Config  # noqa: PLC0415 - as slow as in the code under test
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    assert [step.revision for step in script.walk_revisions()] == ["0002", "0001"]


def test_an_empty_database_has_no_revision(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        assert revision(connection) is None


def test_somebody_elses_database_is_refused(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE users (id INTEGER)"))
        with pytest.raises(StoreError, match="not a store of kilter") as caught:
            revision(connection)
    assert caught.value.hint


@pytest.mark.parametrize("found", ["0003", "9999", "abcdef"])
def test_a_newer_store_is_refused_with_both_revisions(found: str) -> None:
    with pytest.raises(StoreError, match=f"{found}.*{HEAD}") as caught:
        require_known(found)
    assert "upgrade" in str(caught.value.hint)


def test_an_older_store_is_backed_up_and_brought_up_to_date(engine: sa.Engine, tmp_path: Path) -> None:
    copies: list[str] = []
    with engine.begin() as connection:
        create(connection)
        connection.execute(sa.text("INSERT INTO leases (id, version, body) VALUES ('a', 1, '{}')"))
        upgrade(connection, copies.append, head="9000", folder=folder_with_second(tmp_path))
        assert revision(connection) == "9000"
        assert connection.execute(sa.text("SELECT id, note FROM leases")).all() == [("a", None)]
    assert copies == [HEAD]


def test_an_up_to_date_store_is_left_alone(engine: sa.Engine) -> None:
    copies: list[str] = []
    with engine.begin() as connection:
        create(connection)
        upgrade(connection, copies.append)
    assert not copies


def test_a_failed_revision_leaves_everything_as_it_was(engine: sa.Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        create(connection)
        before = shape(connection)
    folder = folder_with_second(tmp_path, more='op.drop_table("nothing")')
    with (
        pytest.raises(StoreError, match=f"cannot be brought from revision {HEAD} to 9000"),
        engine.begin() as connection,
    ):
        upgrade(connection, lambda _: None, head="9000", folder=folder)
    with engine.begin() as connection:
        assert shape(connection) == before
        assert revision(connection) == HEAD


def test_every_revision_can_be_undone_with_data_in_the_tables(engine: sa.Engine) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        create(connection)
        connection.execute(sa.text("INSERT INTO leases (id, version, body) VALUES ('a', 1, '{}')"))
        insert = sa.text("INSERT INTO log_parts (id, version, superseded_at, body) VALUES (:id, 1, :at, '{}')")
        connection.execute(insert, [{"id": "live", "at": None}, {"id": "old", "at": 7}])
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        assert connection.execute(sa.text("SELECT id FROM log_parts")).scalars().all() == ["live"]
        upgrade(connection, lambda _: None)
        found = connection.execute(sa.text("SELECT id, version, superseded_at FROM log_parts")).all()
        assert found == [("live", 1, None)]
        command.downgrade(config, "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
