from __future__ import annotations

from kilter.contracts.evidence import AuditState


def test_a_chain_is_verified_when_no_row_is_bad() -> None:
    assert AuditState(rows=3, first_bad=None).is_verified
    assert not AuditState(rows=3, first_bad="000000000002").is_verified
