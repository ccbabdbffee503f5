"""What is special of SQLite: its faults, its files, other processes. The rest is in the conformance kit."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from kilter.contracts.decision import Lease
from kilter.contracts.evidence import AuditRow
from kilter.contracts.ids import ModelId
from kilter.contracts.model import Model
from kilter.errors import StoreError
from kilter.services.governance import Governance
from kilter.stores import sqlite
from kilter.stores.clock import SystemClock
from kilter.stores.sql.schema import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilter.contracts.metadata import MetadataStore, WriteTx

AT = datetime(2026, 1, 1, tzinfo=UTC)

COUNTER = """
import sys
from dataclasses import replace
from kilter.contracts.decision import Lease
from kilter.stores import sqlite

def count(tx):
    lease = tx.get(Lease, "a")
    tx.replace(replace(lease, token=lease.token + 1, version=lease.version + 1))

store = sqlite.open(sys.argv[1])
for _ in range(50):
    store.write(count)
"""

VICTIM = """
import sys
from datetime import UTC, datetime
from kilter.contracts.ids import ModelId
from kilter.contracts.model import Model
from kilter.services.governance import Governance
from kilter.stores import sqlite
from kilter.stores.clock import SystemClock

store = sqlite.open(sys.argv[1])
governance = Governance(metadata=store, clock=SystemClock())
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    def step(tx, number=number):
        for half in ("left", "right"):
            name = f"{number:06d}-{half}"
            tx.add(Model(id=ModelId(name), name=name, created_at=datetime(2026, 1, 1, tzinfo=UTC)))
            governance.record(tx, by="child", action="add", subject=name, detail={})
    store.write(step)
    print(number, flush=True)
    number += 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


@pytest.fixture
def store(path: Path) -> Iterator[MetadataStore]:
    with closing(sqlite.open(str(path))) as opened:
        yield opened


def model(name: str, purpose: str = "") -> Model:
    return Model(id=ModelId(name), name=name, created_at=AT, purpose=purpose)


def test_the_file_is_in_wal_mode_and_at_the_head(store: MetadataStore, path: Path) -> None:
    store.write(lambda tx: tx.add(model("a")))
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_audit_rows_cannot_be_changed_or_deleted_in_the_file(store: MetadataStore, path: Path) -> None:
    governance = Governance(metadata=store, clock=SystemClock())
    store.write(lambda tx: governance.record(tx, by="a", action="b", subject="c", detail={}))
    with closing(sqlite3.connect(path)) as raw:
        for statement in ("UPDATE audit SET by = 'x'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="audit rows cannot"):
                raw.execute(statement)


def test_processes_lose_no_update(store: MetadataStore, path: Path) -> None:
    store.write(lambda tx: tx.add(Lease(id="a", holder="h", token=0, expires_at=AT)))
    children = [subprocess.Popen([sys.executable, "-c", COUNTER, str(path)]) for _ in range(4)]
    assert [child.wait(120) for child in children] == [0, 0, 0, 0]
    lease = store.read(lambda tx: tx.get(Lease, "a"))
    assert lease is not None
    assert lease.token == 200


def test_processes_that_open_a_new_store_at_once_all_succeed(path: Path) -> None:
    script = "import sys; from kilter.stores import sqlite; sqlite.open(sys.argv[1]).close()"
    children = [subprocess.Popen([sys.executable, "-c", script, str(path)]) for _ in range(4)]
    assert [child.wait(120) for child in children] == [0, 0, 0, 0]


def test_whatever_moment_a_writer_is_killed_at_nothing_acknowledged_is_lost(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    number = 0
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", VICTIM, str(path), str(number)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        deadline = time.monotonic() + chance.uniform(0.0, 0.05)
        while time.monotonic() < deadline:
            os.sched_yield()
        child.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in child.stdout.read().split("\n") if line.isdigit()]
        child.wait()
        child.stdout.close()
        with closing(sqlite.open(str(path))) as store:
            names = {found.name for found in store.read(lambda tx: tx.list(Model, limit=5_000))}
            state = Governance(metadata=store, clock=SystemClock()).verify()
        assert {f"{done:06d}-{half}" for done in acknowledged for half in ("left", "right")} <= names
        lefts = {name.removesuffix("-left") for name in names if name.endswith("-left")}
        assert lefts == {name.removesuffix("-right") for name in names if name.endswith("-right")}
        assert (state.rows, state.is_verified) == (len(names), True)
        number = len(lefts)
    assert number > 0


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(StoreError, match="not a database") as caught:
        sqlite.open(str(path))
    assert (caught.value.where, bool(caught.value.why), bool(caught.value.hint)) == (str(path), True, True)


def test_a_damaged_database_is_named(path: Path) -> None:
    with closing(sqlite.open(str(path))) as store:
        for number in range(40):
            store.write(lambda tx, name=f"m{number}": tx.add(model(name, "x" * 2_000)))  # type: ignore[misc]
    size_bytes = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(os.urandom(size_bytes - 4_096))
    with pytest.raises(StoreError, match="damaged"), closing(sqlite.open(str(path))) as store:
        store.read(lambda tx: tx.list(Model))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        sqlite.open(str(tmp_path / "none" / "meta.db"))
    assert "folder" in str(caught.value.hint)


def test_somebody_elses_database_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE users (id)")
    with pytest.raises(StoreError, match="not a store of kilter"):
        sqlite.open(str(path))


def test_a_store_of_a_newer_kilter_is_refused_and_left_alone(path: Path) -> None:
    sqlite.open(str(path)).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
        raw.commit()
    with pytest.raises(StoreError, match=f"0999.*{HEAD}"):
        sqlite.open(str(path))
    assert not list(path.parent.glob("*.bak"))


def test_a_full_disk_is_named_and_nothing_half_written_stays(store: MetadataStore, path: Path) -> None:
    store.write(lambda tx: tx.add(model("a")))
    script = """
import signal, resource, sys
from datetime import UTC, datetime
from kilter.contracts.ids import ModelId
from kilter.contracts.model import Model
from kilter.errors import StoreError
from kilter.stores import sqlite
store = sqlite.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
def fill(tx):
    for n in range(200):
        name, at = f"x{n}", datetime(2026, 1, 1, tzinfo=UTC)
        tx.add(Model(id=ModelId(name), name=name, created_at=at, purpose="y" * 9_000))
try:
    store.write(fill)
except StoreError as error:
    print(error.code, bool(error.where), bool(error.why), bool(error.hint))
print(len(store.read(lambda tx: tx.list(Model))))
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["backend.store True True True", "1"]
    store.write(lambda tx: tx.add(model("b")))
    assert len(store.read(lambda tx: tx.list(Model))) == 2


def test_a_locked_store_is_called_busy_after_its_patience(path: Path) -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    wrapped = sa.exc.OperationalError("x", {}, error)
    tries: list[int] = []

    def step() -> None:
        tries.append(1)
        raise wrapped

    with closing(sqlite._SqliteMetadata(str(path))) as opened, pytest.raises(StoreError, match="busy"):  # noqa: SLF001
        opened._retry(step)  # noqa: SLF001 - a lock of 25 s is too long for a test
    assert len(tries) == 5


def test_every_fault_has_its_sentence_and_unknown_ones_too(path: Path) -> None:
    for code, words in {sqlite3.SQLITE_FULL: "full", sqlite3.SQLITE_READONLY: "read-only", 999: "failed"}.items():
        error = sqlite3.OperationalError("raw words")
        error.sqlite_errorcode = code
        found = sqlite._fault(error, str(path))  # noqa: SLF001
        assert words in found.message
        assert (found.why, found.where) == ("raw words", str(path))


def test_an_older_store_is_copied_before_it_is_changed(store: MetadataStore, path: Path) -> None:
    store.write(lambda tx: tx.add(model("a")))
    copy = path.with_name("meta.db.0001.bak")
    sqlite._copy(str(path), str(copy))  # noqa: SLF001 - there is no older revision yet to start from
    with closing(sqlite.open(str(copy))) as restored:
        assert [found.name for found in restored.read(lambda tx: tx.list(Model))] == ["a"]
    assert not path.with_name("meta.db.0001.bak.tmp").exists()


@pytest.mark.parametrize(("path", "kind"), [("/a/b/c", "nfs4"), ("/a/x", "ext4"), ("/with space/x", "cifs")])
def test_the_file_system_is_that_of_the_longest_mount_point(path: str, kind: str) -> None:
    mounts = "/dev/x / ext4 rw 0 0\nserver:/y /a/b nfs4 rw 0 0\n//s/z /with\\040space cifs rw 0 0\n"
    assert sqlite._file_system(Path(path), mounts) == kind  # noqa: SLF001
    assert sqlite._file_system(Path(path), "") == ""  # noqa: SLF001


def test_a_second_opener_sees_what_the_first_wrote(store: MetadataStore, path: Path) -> None:
    with closing(sqlite.open(str(path))) as other:
        store.write(lambda tx: tx.add(model("a")))
        found = other.read(lambda tx: tx.get(Model, "a"))
        assert found == model("a")
        other.write(lambda tx: tx.replace(replace(model("a"), purpose="p", version=2)))
    again = store.read(lambda tx: tx.get(Model, "a"))
    assert again is not None
    assert again.purpose == "p"


def test_concurrent_processes_keep_one_audit_chain(store: MetadataStore, path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", VICTIM, str(path), str(start)], stdout=subprocess.PIPE, text=True)
        for start in (0, 500_000)
    ]
    for child in children:
        assert child.stdout is not None
        while "5" not in (line := child.stdout.readline()):
            assert line
        child.kill()
        child.stdout.read()
        child.stdout.close()
        child.wait()
    state = Governance(metadata=store, clock=SystemClock()).verify()
    assert state.is_verified
    assert state.rows > 10


def test_a_list_of_100_among_many_is_read_by_index(store: MetadataStore, path: Path) -> None:
    def fill(tx: WriteTx) -> None:
        for number in range(300):
            tx.add(
                AuditRow(id=f"{number:012d}", at=AT, by="a", action="b", subject="c", detail={}, previous="", digest="")
            )

    store.write(fill)
    with closing(sqlite3.connect(path)) as raw:
        query = "EXPLAIN QUERY PLAN SELECT body FROM audit WHERE subject = 'c' AND id > '5' ORDER BY id LIMIT 100"
        plan = " ".join(str(row) for row in raw.execute(query))
    assert "ix_audit_subject" in plan
    assert "TEMP B-TREE" not in plan
