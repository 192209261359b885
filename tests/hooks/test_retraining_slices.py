"""A part of a retraining that decides or registers what is there: never on results of an earlier week."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog

from counterpoise.artifacts.datasets import JSONDataset
from counterpoise.artifacts.lineage import sha256_of
from counterpoise.artifacts.retraining import AllPartitions, LedgerDataset, NewPartitions
from counterpoise.errors import InputError
from counterpoise.hooks.retraining_run import require_current

FIRST, SECOND, ASIDE = "loans-2026-03-02", "loans-2026-03-09", "loans-2026-03-04"


class Inbox:
    """Partitions, the batch that was taken of them, and those that are known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "partitions").mkdir()
        partitions: dict[str, Any] = {
            "path": str(folder / "partitions"),
            "ledger": {"filepath": str(folder / "partitions.json")},
            "dataset": "counterpoise.artifacts.datasets.RawFolder",
        }
        self.catalog = DataCatalog(
            {
                "retrain__batch": JSONDataset(filepath=str(folder / "batch.json")),
                "retrain__ledger": LedgerDataset(str(folder / "partitions.json")),
                "retrain__new_partitions": NewPartitions(**partitions),
                "retrain__partitions": AllPartitions(**partitions),
            }
        )

    def write(self, name: str, text: str) -> None:
        (self.folder / "partitions" / f"{name}.csv").write_text(text)

    def take(self, *names: str, aside: str | None = None) -> None:
        """Make these the batch, as `take_partitions` does."""
        entries = {name: {"sha256": self._digest(name), "digest": name, "date": name[-10:]} for name in names}
        if aside is not None:
            entries[aside] = {"sha256": self._digest(aside), "quarantined": "Few rows."}
        self.catalog.save("retrain__batch", {"week": names[-1][-10:], "entries": entries})

    def complete(self) -> None:
        """Put the batch into the ledger, as `promote` does last."""
        ledger = self.catalog.load("retrain__ledger") | self.catalog.load("retrain__batch")["entries"]
        self.catalog.save("retrain__ledger", ledger)

    def _digest(self, name: str) -> str:
        return sha256_of(self.folder / "partitions" / f"{name}.csv")


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    inbox = Inbox(tmp_path)
    inbox.write(FIRST, "1")
    inbox.write(ASIDE, "2")
    return inbox


def test_nothing_is_asked_before_there_is_a_batch(inbox: Inbox) -> None:
    require_current(inbox.catalog)


def test_a_week_that_is_under_way_goes_on_while_others_arrive(inbox: Inbox) -> None:
    inbox.take(FIRST, aside=ASIDE)
    inbox.write(SECOND, "3")
    inbox.write(ASIDE, "corrected")
    require_current(inbox.catalog)


def test_a_week_that_is_complete_is_not_the_answer_to_new_partitions(inbox: Inbox) -> None:
    inbox.take(FIRST, aside=ASIDE)
    inbox.complete()
    require_current(inbox.catalog)
    for name in (SECOND, ASIDE):  # one that is new, and one that was put aside and is corrected
        before = inbox.folder / "partitions" / f"{name}.csv"
        text = before.read_text() if before.exists() else None
        inbox.write(name, "new")
        with pytest.raises(InputError, match=rf"^{name}: is new, and the results that are there are of 2026-03-02"):
            require_current(inbox.catalog)
        before.unlink() if text is None else inbox.write(name, text)
    require_current(inbox.catalog)


@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize("text", ["corrected", None])
def test_what_was_taken_stays_as_it_was(inbox: Inbox, text: str | None, is_complete: bool) -> None:
    inbox.write(SECOND, "3")
    inbox.take(FIRST, SECOND)
    if is_complete:
        inbox.complete()
    if text is None:
        (inbox.folder / "partitions" / f"{FIRST}.csv").unlink()
    else:
        inbox.write(FIRST, text)
    with pytest.raises(InputError, match=rf"^{FIRST}: was altered or removed since the retraining of 2026-03-09"):
        require_current(inbox.catalog)
