"""What a storage driver says of itself."""

from kilter.contracts.store import StoreSpec


def test_a_store_lasts_unless_it_says_otherwise() -> None:
    assert StoreSpec(name="sqlite", keeps=("metadata",)).is_lasting
