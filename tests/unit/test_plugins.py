"""Extensions are found by folder, and explained when they are not there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from kilter import plugins
from kilter.errors import Conflict, MissingExtra, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A folder on the path, in which a third-party package can be installed."""
    sys.path.insert(0, str(tmp_path))
    plugins._origins.cache_clear()  # noqa: SLF001 - the listing is kept, and this test changes the folder
    yield tmp_path
    sys.path.remove(str(tmp_path))
    plugins._origins.cache_clear()  # noqa: SLF001 - the listing is kept, and this test changes the folder


def install(folder: Path, name: str, body: str, module: str = "kilter_more") -> None:
    (folder / f"{module}.py").write_text(body)
    info = folder / f"{module}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[kilter.contracts]\n{name} = {module}\n")


def test_members_are_found_by_folder() -> None:
    assert {"reading", "verdict"} <= set(plugins.find("contracts"))
    assert plugins.load("contracts", "reading").__name__ == "kilter.contracts.reading"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown contract `readng`") as caught:
        plugins.load("contracts", "readng")
    assert caught.value.hint == "use `reading`"


def test_third_party_members_count_and_only_those_with_the_constant(installed: Path) -> None:
    install(installed, "extra", "WHATEVER = 1\n")
    assert "extra" in plugins.find("contracts")
    assert [module.__name__ for module in plugins.members("contracts", "WHATEVER")] == ["kilter_more"]


def test_two_members_of_one_name_are_refused(installed: Path) -> None:
    install(installed, "reading", "", module="kilter_twice")
    with pytest.raises(Conflict, match=r"kilter.contracts.reading and kilter_twice"):
        plugins.find("contracts")


def test_a_missing_library_is_named(installed: Path) -> None:
    install(installed, "needy", "import no_such_library\n", module="kilter_needy")
    with pytest.raises(MissingExtra, match="needs the library `no_such_library`"):
        plugins.load("contracts", "needy")


def test_a_fault_inside_kilter_is_not_called_a_missing_library(installed: Path) -> None:
    install(installed, "broken", "import kilter.no_such_room\n", module="kilter_broken")
    with pytest.raises(ModuleNotFoundError, match=r"kilter.no_such_room"):
        plugins.load("contracts", "broken")
