# covers: CDM-129
# SPDX-License-Identifier: MIT
"""ci/quickstart.py on a small directory: its figures, the map it leaves, and that the directory is only read."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import ROOT, T0, clean_env, noise, program, tree


def test_metadata_act_and_map(tmp_path: Path, memory_path: Path) -> None:
    source = tmp_path / "source"
    for i in range(250):
        (source / f"d{i // 50}").mkdir(parents=True, exist_ok=True)
        path = source / f"d{i // 50}" / f"f{i:03d}"
        path.write_bytes(noise(i, 40_000))
        os.utime(path, ns=(0, T0 * 10**9 + i))
    before = tree.scan(str(source))
    page = tmp_path / "map.html"
    done = subprocess.run([sys.executable, "-B", str(ROOT / "ci" / "quickstart.py"), "--program", program(), "--map", str(page),
                           str(source)], env={**clean_env(tmp_path), "TMPDIR": str(memory_path)}, capture_output=True, text=True,
                          timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree.compare(tree.scan(str(source)), before, []) == []
    assert list(memory_path.iterdir()) == [], "the temporary folder is gone"
    rows = [line.split() for line in done.stdout.splitlines()]
    unchanged = next(r for r in rows if r[:3] == ["metadata", "mode,", "unchanged"])
    assert unchanged[3] == "250" and unchanged[-5] == "250", "files, and files re-used"
    touched = next(r for r in rows if r[:6] == ["metadata", "mode,", "3", "touched", "in", "one"])
    assert int(touched[-5]) <= 247
    assert "every restored tree equals its source" in done.stdout
    assert f"map of what was re-used: {page}" in done.stdout and page.read_text().count("<svg class=map") == 4
