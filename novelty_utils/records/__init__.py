"""What a run leaves behind: what a record says, where it is kept, and what it was made by."""

from novelty_utils.records.run import trained, write_run
from novelty_utils.records.schema import Record, Result, added_later, metric_at
from novelty_utils.records.store import (
    BOOK,
    DamagedRecordError,
    RunMeter,
    make,
    one_tier,
    read,
    read_with_reference,
    scratch,
    to_frame,
    where,
    write,
)

__all__ = [
    "BOOK",
    "DamagedRecordError",
    "Record",
    "Result",
    "RunMeter",
    "added_later",
    "make",
    "metric_at",
    "one_tier",
    "read",
    "read_with_reference",
    "scratch",
    "to_frame",
    "trained",
    "where",
    "write",
    "write_run",
]
