"""Tables of certificates."""

from .summary import Summary, summarise
from .table import floor_text, table, tsv

__all__ = ["Summary", "floor_text", "summarise", "table", "tsv"]
