# SPDX-License-Identifier: MIT
"""The suite's own test: implementations with one defect each, which the cases have to catch.

`python3 -m conformance.mutants` (from tests/; `make mutants`) runs them. A mutant names the rule that it breaks and the areas
whose cases must notice; the tables are in reader.py, hostile.py, writer.py (files), reuse.py, client.py and server.py (wire). Beside these,
generic.py spoils what a right implementation answers, so that every case is shown to fail for something.
"""
