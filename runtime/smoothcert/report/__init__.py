"""Tables of certificates."""

from ..certificate import floor_text
from .summary import Summary, summarise
from .table import evaluation, table, tsv

__all__ = ["Summary", "evaluation", "floor_text", "summarise", "table", "tsv"]
