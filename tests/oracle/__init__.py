# SPDX-License-Identifier: MIT
"""Independent, slow and obvious reader (and archive writer) of every format, for checking only."""
