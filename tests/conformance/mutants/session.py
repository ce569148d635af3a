# SPDX-License-Identifier: MIT
"""One run of mutants against cases."""
from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import play
from conformance.cases import Case, CaseError
from conformance.mutants import equivalent, generic, lab, reader, writer
from conformance.mutants.lab import FILE_ROLES, Bench
from conformance.mutants.model import Mutant, patched


@dataclass
class Fate:
    """What became of a mutant."""
    killers: list[str] = field(default_factory=list)
    said: str = ""
    played: bool = False


def wanted(name: str, prefixes: list[str]) -> bool:
    return not prefixes or name in prefixes or any(name.startswith(p) for p in prefixes)


class Session:
    def __init__(self, cases: list[Case], folder: Path, prefixes: list[str], full: bool, wire: bool, jobs: int) -> None:
        self.cases, self.folder, self.full, self.jobs = cases, folder, full, jobs
        every = [*reader.TABLE, *writer.TABLE, *reader.checks(), *writer.checks()]
        if len({m.name for m in every}) != len(every):
            raise CaseError(f"two mutants have one name: {sorted(m.name for m in every if [n.name for n in every].count(m.name) > 1)}")
        for one in every:
            for module in {module for module, _, _ in one.patches}:
                patched(module, one.patches)
        self.mutants: list[Any] = [m for m in every if wanted(m.name, prefixes)]
        self.wire: list[Any] = []
        if wire:
            from conformance.mutants import wire as wire_mutants
            self.wire = [m for m in wire_mutants.TABLE if wanted(m.name, prefixes)]
            self.mutants += self.wire
        self.fates: dict[str, Fate] = {m.name: Fate() for m in self.mutants}
        self.generics: dict[str, list[str]] = {}
        self.specific: dict[str, list[str]] = {}
        self.benches: list[Bench] = []
        self.left: list[tuple[str, str]] = []  # cases that could not be used, and why

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def play(self) -> None:
        self.files()
        if self.wire:
            from conformance.mutants import wire as wire_mutants
            wire_mutants.play_session(self)

    # ---- files ----

    def files(self) -> None:
        there = [c for c in self.cases if c.role in FILE_ROLES]
        chosen = [c for c in there if all(map(play.can, c.get("needs", [])))]
        self.left += [(c.id, "the machine cannot run it") for c in there if c not in chosen]
        self.say(f"laying out {len(chosen)} cases")
        self.benches = list(lab.pool_map(_lay, [(c, self.folder / str(n)) for n, c in enumerate(chosen)], self.jobs, 25))
        self.benches = sorted(lab.pool_map(lab.measure, self.benches, self.jobs, 10), key=lambda b: b.case.id)
        for bench in self.benches:
            if not bench.usable:
                self.left.append((bench.case.id, bench.base))
        lab.BENCHES[:] = [b for b in self.benches if b.usable]
        ours = [m for m in self.mutants if isinstance(m, Mutant)]
        self.say(f"{len(ours)} mutants of files, {len(lab.BENCHES)} cases")
        for name, killers, said in lab.pool_map(lab.hunt, [(m, self.full) for m in ours], self.jobs):
            self.settle(name, killers, said)
        self.say("the right answers with a fault")
        for case, names in lab.pool_map(generic.hunt, [(n, self.full) for n in range(len(lab.BENCHES))], self.jobs, 10):
            self.generics[case] = names

    def settle(self, name: str, killers: list[str], said: str) -> None:
        self.fates[name] = Fate(killers, said, True)
        for case in killers:
            self.specific.setdefault(case, []).append(name)
        if not killers and not equivalent.reason(name):
            self.say(f"  {name} SURVIVED")

    # ---- results ----

    def survivors(self) -> list[Any]:
        return [m for m in self.mutants if not self.fates[m.name].killers and not equivalent.reason(m.name)]

    def toothless(self) -> list[Case]:
        """Cases that could be played and that nothing fails."""
        played = {b.case.id for b in self.benches if b.usable} | self.generics.keys()
        return [c for c in self.cases if c.id in played and not self.specific.get(c.id) and not self.generics.get(c.id)]

    def clean(self) -> None:
        for bench in self.benches:
            lab.forget(bench.folder)


def _lay(task: tuple[Case, Path]) -> Bench:
    return lab.lay(*task)
