# SPDX-License-Identifier: MIT
"""Mutants of the real program: our server with a fault that never ends (--fault), our client behind a wrapper that spoils one thing.

`python3 -m conformance.mutants.faults [NAME...]` from tests/. Cases are played as in a run of the suite, through the adapter `pbsref`,
whose program is program.py. Exit status 1 if one survives.
"""
from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from conformance import play, plugins, trees
from conformance.adapters import Adapter, find, program
from conformance.cases import Case, CaseError, load

PROGRAM = Path(__file__).with_name("program.py")


@dataclass(frozen=True)
class Faulty:
    """`tries`: beginnings of the ids of cases that are about it, tried in order."""
    name: str
    rule: str
    does: str
    tries: tuple[str, ...]
    faults: tuple[str, ...] = field(default=())
    client: str = ""


def server(name: str, rule: str, does: str, tries: str, *faults: str) -> Faulty:
    return Faulty(f"server-{name}", rule, does, tuple(f"server/{t}" for t in tries.split()), faults)


def client(name: str, rule: str, does: str, tries: str, defect: str = "") -> Faulty:
    return Faulty(f"client-{name}", rule, does, tuple(tries.split()), client=defect or name)


TABLE: list[Faulty] = [
    server("finish-anything", "BKP-181", "answers every finish with 200 and does nothing", "finish- one-snapshot", "POST /finish#*:status=200"),
    server("finish-hangs-up", "BKP-307", "gives the connection up in place of the answer to finish", "one-snapshot", "POST /finish#*:goaway"),
    server("append-anything", "BKP-132", "accepts every append and does nothing", "append-", "PUT /dynamic_index#*:status=200"),
    server("close-anything", "BKP-142", "accepts every close and does nothing", "close-", "POST /dynamic_close#*:status=200"),
    server("chunk-anything", "BKP-115", "accepts every chunk and stores none", "chunk-", "POST /dynamic_chunk#*:status=200"),
    server("blob-anything", "BKP-172", "accepts every blob and stores none", "blob-", "POST /blob#*:status=200"),
    server("create-anything", "BKP-100", "answers every creation with an empty 200", "create-", "POST /dynamic_index#*:status=200"),
    server("fixed-create-anything", "BKP-147", "answers every creation of a fixed index with an empty 200", "fixed-create-", "POST /fixed_index#*:status=200"),
    server("fixed-append-anything", "BKP-156", "accepts every append to a fixed index", "fixed-append-", "PUT /fixed_index#*:status=200"),
    server("fixed-close-anything", "BKP-162", "accepts every close of a fixed index", "fixed-close-", "POST /fixed_close#*:status=200"),
    server("fixed-chunk-anything", "BKP-119", "accepts every chunk for a fixed index", "fixed-chunk-", "POST /fixed_chunk#*:status=200"),
    server("chunk-forgotten", "BKP-120", "forgets every chunk that is uploaded", "one-snapshot", "POST /dynamic_chunk#*:lie=known"),
    server("chunk-not-stored", "BKP-118", "has no room for chunks", "one-snapshot", "chunk-write#*:enospc"),
    server("previous-not-registered", "BKP-093", "sends the index before without making its chunks known", "previous-registers", "GET /previous#*:lie=known"),
    server("previous-refused", "BKP-095", "refuses previous always", "previous-", "GET /previous#*:status=400,no"),
    server("previous-empty", "BKP-304", "answers previous with an empty 200", "previous-none", "GET /previous#*:status=200"),
    server("previous-time-error", "BKP-085", "does not know previous_backup_time", "previous-", "GET /previous_backup_time#*:status=404"),
    server("previous-corrupt", "BKP-308", "sends other bytes than are stored", "previous-manifest", "GET /previous#*:corrupt=10"),
    server("index-csum", "RDR-024", "sends an index with another digest", "read-back", "GET /download#*:lie=csum"),
    server("index-short", "RDR-024", "cuts what it sends", "read-back", "GET /download#*:short=4100"),
    server("chunk-corrupt", "RDR-032", "sends chunks with a wrong byte", "read-", "GET /chunk#*:corrupt=1"),
    server("chunk-to-anybody", "RDR-031", "answers every chunk request with 200", "read-not-permitted", "GET /chunk#*:status=200"),
    server("chunk-status", "RDR-031", "refuses with 400 what is not permitted", "read-not-permitted", "GET /chunk#*:status=400"),
    server("upgrade-status", "BKP-031", "refuses upgrades with 500", "upgrade-", "upgrade backup#*:status=500"),
    server("reader-refused", "RDR-004", "refuses every reader", "read-back", "upgrade reader#*:status=400"),
    server("login-anything", "API-064", "lets everybody log in, with an empty answer", "login", "POST *access/ticket#*:status=200"),
    server("forget-nothing", "API-105", "says that snapshots are removed", "rest-forget", "DELETE *snapshots#*:status=200"),
    server("prune-nothing", "API-107", "says that it pruned", "rest-prune", "POST *prune#*:status=200"),
    server("protect-nothing", "API-111", "says that snapshots are protected", "rest-protected", "PUT *protected#*:status=200"),
    server("notes-nothing", "API-110", "says that notes are stored", "rest-notes", "PUT *notes#*:status=200"),
    server("log-nothing", "API-113", "says that logs are stored", "rest-log", "POST *upload-backup-log#*:status=200"),
    server("namespace-nothing", "API-114", "says that namespaces are made", "rest-namespaces", "POST *namespace#*:status=200"),
    server("lists-nothing", "API-091", "answers lists of snapshots with an empty body", "rest-lists", "GET *snapshots#*:status=200"),
    server("owner-nothing", "API-112", "says that owners are changed", "rest-owner", "POST *change-owner#*:status=200"),
    server("gc-nothing", "API-116", "answers gc with an empty body", "rest-gc", "POST *gc#*:status=200"),
    server("unknown-path", "BKP-061", "answers unknown paths with 400", "path-unknown", "GET /nothing#*:status=400"),
    server("resets", "BKP-074", "resets the connection after the tenth request", "append-", "* *#10+:reset"),
    server("no-speedtest", "BKP-190", "does not know speedtest", "benchmark", "POST /speedtest#*:status=404"),
    client("backup-says-done", "BKP-282", "a backup always ends with success", "backup/fault- backup/wrong-", "says-done"),
    client("restore-says-done", "RDR-066", "a restore always ends with success", "restore/bad-chunk restore/fault-", "says-done"),
    client("never-done", "BKP-282", "everything ends with a failure", "backup/legacy restore/conf"),
    client("crashes", "BKP-282", "a failure is a crash", "backup/fault- restore/bad-"),
    client("no-ns", "API-032", "the namespace is left out", "backup/namespace restore/namespace"),
    client("no-key", "BKP-236", "the key is not used: everything is stored in the clear", "backup/encrypted"),
    client("no-crypt-mode", "CLI-045", "signing alone is not known", "backup/sign-only"),
    client("no-exclude", "CDM-009", "patterns are ignored", "backup/exclude"),
    client("no-chunk-size", "CHK-002", "the chunk size is ignored", "backup/chunk-sizes"),
    client("no-pattern", "EXT-020", "a restore of one file restores all", "restore/pattern"),
    client("always-legacy", "CDM-003", "modes are ignored", "backup/data"),
    client("metadata-is-data", "CDM-042", "metadata mode reads everything", "reuse/not-read"),
    client("no-reuse-decided", "CDM-065", "metadata mode reads everything: seen in the decisions", "reuse/worked- reuse/decisions-", "metadata-is-data"),
    client("data-is-metadata", "CDM-006", "data mode re-uses", "reuse/data-reads-all"),
    client("late", "BKP-015", "the snapshot gets another time", "backup/legacy backup/type-"),
    client("other-group", "BKP-224", "each backup goes to another group", "backup/again-"),
    client("trusting", "API-053", "any certificate is taken", "backup/wrong-fingerprint"),
    client("first-archive", "BKP-221", "only the first of several archives is stored", "backup/several"),
    client("references-swapped", "CDM-143", "references go back, as clients before 4.1.7 wrote them", "reuse/references- reuse/changed-"),
    client("reference-repeated", "CDM-142", "two files share a reference, as clients before 4.1.7 wrote them", "reuse/references- reuse/changed-"),
    client("reference-behind", "CDM-059", "a reference behind the data, as upstream writes on a cut index", "reuse/references- reuse/changed-"),
    client("stale-size", "CDM-140", "a payload of another size than its reference, as clients before 3.3.2 wrote them", "reuse/changed-"),
    client("chunk-twice", "CDM-144", "a chunk once more at a hole, as 4.1.12 wrote it", "reuse/held-chunk"),
    client("no-tail", "CDM-123", "no marker at the end of the payload", "reuse/changed-"),
    client("error-lost", "CDM-141", "the error of one upload is lost: a failed backup ends with success, as before 3.3.3", "reuse/fault-", "says-done"),
]


class FaultyAdapter(Adapter):
    """The adapter pbsref with another program behind it; the suite's own server stays the real one."""
    mutant: Faulty

    def environment(self, home: Path) -> dict[str, str]:
        env = super().environment(home)
        return env | {"PBSREF": str(PROGRAM), "MUTANT_REAL": str(program()), "MUTANT": self.mutant.client, "MUTANT_FAULTS": "\n".join(self.mutant.faults)}


def hunt(mutant: Faulty, cases: list[Case]) -> str:
    """The first case that catches it and what it said, or nothing."""
    base = find("pbsref")
    adapter = FaultyAdapter(base.folder, base.config)
    adapter.mutant = mutant
    for case in (c for t in mutant.tries for c in cases if c.id.startswith(t)):
        work = Path(tempfile.mkdtemp(prefix="mutants-"))
        try:
            result = play.play(case, adapter, work)
        finally:
            trees.remove_work(work)
        if result.verdict == play.ERROR:
            raise CaseError(f"{mutant.name} on {case.id}: {result.reason}")
        if result.verdict == play.FAIL:
            return f"{case.id}: {result.expected}: {result.actual}".replace("\n", " ")
    return ""


def main(names: list[str]) -> int:
    plugins.load()
    cases, survivors = load(), 0
    chosen = [m for m in TABLE if not names or any(m.name.startswith(n) for n in names)]
    for mutant in chosen:
        said = hunt(mutant, cases)
        survivors += not said
        print(f"{mutant.name:<32} {mutant.rule:<8} {said[:110] or 'SURVIVED'}", flush=True)
    print(f"{len(chosen)} mutants, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
