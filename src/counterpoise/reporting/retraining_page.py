"""Pages of scheduled retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def retraining_page(document: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of a decision."""
    return f"<html><body>{document['decision']['reason']}</body></html>"


def monitor_page(document: Mapping[str, Any]) -> str:
    """Return the page of the monitor."""
    return f"<html><body>{'; '.join(watch['sentence'] for watch in document['watches'])}</body></html>"
