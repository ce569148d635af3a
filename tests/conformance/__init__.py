# SPDX-License-Identifier: MIT
"""The conformance suite: plays the cases of spec/cases against adapters (spec/adapters.md).

cases.py loads, generate.py makes inputs, adapters.py calls, play.py judges with checks.py, wire.py is the raw client,
suite.py is what pytest runs, report.py writes, conform.py is the command line.
"""
