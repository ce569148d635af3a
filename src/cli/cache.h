/* SPDX-License-Identifier: MIT */
/* The files that the original client keeps for a user: login tickets and accepted certificates [API-044 .. API-047].
 * Trouble with them never fails a command. Thread: main thread only. */
#ifndef PBR_CLI_CACHE_H
#define PBR_CLI_CACHE_H

#include "base/env.h"

/* A ticket that is still usable; false if there is none. */
bool pbr_cache_ticket(const struct pbr_env *env, const char *host, const char *auth_id, struct pbr_secret *ret);
/* Stores a ticket, or with `ticket` NULL forgets it: true if there was one. */
bool pbr_cache_store_ticket(const struct pbr_env *env, const char *host, const char *auth_id,
                            const struct pbr_secret *ticket, const struct pbr_secret *csrf);
bool pbr_cache_fingerprint(const struct pbr_env *env, const char *host, char ret[96]);
void pbr_cache_store_fingerprint(const struct pbr_env *env, const char *host, const char *fingerprint);

#endif
