/* SPDX-License-Identifier: MIT */
/* Running another program without a shell. Thread: main thread only. */
#ifndef PBR_CLI_SPAWN_H
#define PBR_CLI_SPAWN_H

#include "base/env.h"

/* Splits `command` like a shell would (quotes and backslashes, nothing else), runs it and returns its standard output, at
 * most `max` bytes (API-040). ARG for an unusable command, IO if it fails. The caller releases *ret. */
PBR_MUST_USE int pbr_spawn_output(const struct pbr_env *env, const char *command, size_t max, struct pbr_buf *ret,
                                  struct pbr_diag *diag);

#endif
