/* SPDX-License-Identifier: MIT */
/* A payload stream played from a script; see chunk_script.c for its lines. Thread: main thread only. */
#ifndef PBR_CLI_CHUNK_SCRIPT_H
#define PBR_CLI_CHUNK_SCRIPT_H

#include "cli/cli.h"

/* Prints the chunks that come out, raw and injected. ARG for a line that is none, or a script that wants more than the file
 * has; STATE (CHK-086) if an injection is never reached. */
PBR_MUST_USE int pbr_chunk_script(struct pbr_cli *cli, const char *data_path, const char *script_path, uint64_t avg,
                                  enum pbr_format format, struct pbr_diag *diag);

#endif
