/* SPDX-License-Identifier: MIT */
/* The files that the original client keeps for a user: login tickets and accepted certificates [API-044 .. API-047], and
 * the directory of its settings. Trouble with them never fails a command. Thread: main thread only. */
#ifndef PBR_CLI_CACHE_H
#define PBR_CLI_CACHE_H

#include "base/env.h"

/* Where settings go: $XDG_CONFIG_HOME, else ~/.config; NULL without a home. `buf` has 4096 bytes and may hold the text. */
const char *pbr_config_dir(char *buf);
/* Creates the directories of a file that lie below `base`, which must be there itself (API-047). */
void pbr_make_parents(const char *path, const char *base);
/* A ticket that is still usable; false if there is none. */
bool pbr_cache_ticket(const struct pbr_env *env, const char *host, const char *auth_id, struct pbr_secret *ret);
/* Stores a ticket, or with `ticket` NULL forgets it: true if there was one. */
bool pbr_cache_store_ticket(const struct pbr_env *env, const char *host, const char *auth_id,
                            const struct pbr_secret *ticket, const struct pbr_secret *csrf);
bool pbr_cache_fingerprint(const struct pbr_env *env, const char *host, char ret[96]);
void pbr_cache_store_fingerprint(const struct pbr_env *env, const char *host, const char *fingerprint);

#endif
