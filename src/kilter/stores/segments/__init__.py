"""The prediction log as append-only segment files: the writing side, the reading side."""

from kilter.stores.segments._disk import Disk, OsDisk
from kilter.stores.segments.folder import SegmentFolder
from kilter.stores.segments.log import SegmentLog

__all__ = ["Disk", "OsDisk", "SegmentFolder", "SegmentLog"]
