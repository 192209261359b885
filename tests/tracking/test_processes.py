"""Whether the process that tracks a run has ended: known on its machine, and nowhere else."""

from __future__ import annotations

from counterpoise.tracking import processes


def test_only_processes_of_this_machine_can_be_known_to_have_ended() -> None:
    tags = processes.this_process()
    number, started, boot, namespace = tags[processes.PROCESS].split(" ")

    def ended(process: str, host: str = tags[processes.HOST], *, local: bool = False) -> bool:
        return processes.has_ended({processes.HOST: host, processes.PROCESS: process}, local=local)

    assert not ended(f"{number} {started} {boot} {namespace}")
    assert ended(f"{number} 1 {boot} {namespace}"), "the number is another process's now"
    assert ended(f"{2**22 + 1} {started} {boot} {namespace}")
    assert ended(f"{number} {started} before {namespace}", local=True)
    assert not ended(f"{number} 1 {boot} container")
    assert not ended(f"{number} 1 {boot} {namespace}", "elsewhere", local=True)
    for text in ("", "x", number, f"{number} {started}"):
        assert not ended(text, local=True)
