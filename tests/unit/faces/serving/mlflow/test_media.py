"""Claims about content types."""

from __future__ import annotations

import pytest

from kilter.errors import UnsupportedMedia
from kilter.faces.serving.mlflow.media import Media, media_of


@pytest.mark.parametrize(
    ("header", "media"),
    [
        (b"application/json", Media.JSON),
        (b"application/json; charset=utf-8", Media.JSON),
        (b'Application/JSON;Charset="UTF-8"', Media.JSON),
        (b"application/json;", Media.JSON),
        (b"text/csv", Media.CSV),
        (b"text/csv ; charset=utf8", Media.CSV),
        (b"application/vnd.apache.parquet", Media.PARQUET),
    ],
)
def test_known_types_are_known(header: bytes, media: Media) -> None:
    assert media_of(header) is media


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, "got none"),
        (b"", "got none"),
        (b"; charset=utf-8", "got none"),
        (b"application/x-www-form-urlencoded", "got `application/x-www-form-urlencoded`"),
        (b"application/json; charset=latin-1", "expected charset utf-8, got `latin-1`"),
        (b"application/json; charset", "expected charset utf-8, got ``"),
        (b"text/csv; header=present", "no parameter but `charset`, got `header`"),
        (b"application/json; format=pandas-split", "got `format`"),
        (b"\xff\x00" * 200, "got `"),
    ],
)
def test_other_types_are_refused(header: bytes | None, part: str) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        media_of(header)
    assert part in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 250
    assert caught.value.hint
