"""Tables of certificates."""

from .summary import Summary, summarise
from .table import evaluation, floor_text, table, tsv

__all__ = ["Summary", "evaluation", "floor_text", "summarise", "table", "tsv"]
