# SPDX-License-Identifier: MIT
"""What a run of mutants found, as Markdown."""
from __future__ import annotations

from collections import Counter

from conformance.mutants import equivalent
from conformance.mutants.generic import BLUNT
from conformance.mutants.session import Session


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def rows(session: Session) -> list[str]:
    areas = sorted({c.area for c in session.cases})
    out = ["| mutant | rule | what it does wrong | cases that catch it | first | " + " | ".join(areas) + " |", "|---" * (5 + len(areas)) + "|"]
    for one in session.mutants:
        killers = session.fates[one.name].killers
        tally = Counter(case.partition("/")[0] for case in killers)
        first = f"`{killers[0]}`" if killers else "equivalent" if equivalent.reason(one.name) else "**SURVIVED**"
        cells = [str(tally[a]) if tally[a] else "0" if a in one.areas else "" for a in areas]
        out.append(f"| {one.name} | {one.rule} | {cell(one.does)} | {len(killers)} | {first} | " + " | ".join(cells) + " |")
    return out


def weak(session: Session) -> list[str]:
    """Cases that only a reader that refuses everything fails."""
    return sorted(case for case, names in session.generics.items() if names and set(names) <= set(BLUNT) and not session.specific.get(case))


def summary(session: Session) -> str:
    killed = sum(bool(session.fates[m.name].killers) for m in session.mutants)
    same = sum(bool(equivalent.reason(m.name)) and not session.fates[m.name].killers for m in session.mutants)
    played = sorted(session.generics.keys() | session.specific.keys())
    toothless, survivors = session.toothless(), session.survivors()
    out = [f"{len(session.mutants)} mutants: {killed} killed, {same} equivalent, {len(survivors)} survived",
           f"{len(played)} cases played: {len(toothless)} that no mutant fails, {len(weak(session))} that only a refusal of everything fails"]
    out += [f"  survived: {m.name} [{m.rule}] {m.does}" for m in survivors]
    out += [f"  fails for nothing: {c.id} ({c.level})" for c in toothless]
    return "\n".join(out)


def write(session: Session, seconds: float) -> tuple[str, bool]:
    """Text, and whether the suite passed its test."""
    text = ["# Mutants", "", *summary(session).splitlines(), "",
            f"{'Every case of its areas' if session.full else 'Each until the first case that catches it'}; {seconds:.0f} s. "
            "The right answer comes from the oracle, for what it does not support from pbsref.", "",
            "## Mutants and areas", "", *rows(session), "", "## Equivalent", ""]
    text += [f"- {name}: {why}" for name, why in equivalent.REASONS.items()]
    text += ["", "## Cases", "",
             "A case is caught by mutants of the tables above, and by answers of a right implementation with one fault:", "",
             "| case | mutants | faults |", "|---|---|---|"]
    text += [f"| {case} | {' '.join(session.specific.get(case, [])[:4])} | {' '.join(session.generics.get(case, [])[:6])} |"
             for case in sorted(session.generics.keys() | session.specific.keys())]
    text += ["", "## Left out", "", *(f"- {name}: {cell(why)}" for name, why in session.left), ""]
    good = not session.survivors() and not [c for c in session.toothless() if c.level == "must"]
    return "\n".join(text), good
