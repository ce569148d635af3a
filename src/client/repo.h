/* SPDX-License-Identifier: MIT */
/* Repository strings: `[[auth-id@]server[:port]:]datastore` and `dir:PATH` [API-020 .. API-030]. Pure text.
 * Thread: plain values. */
#ifndef PBR_CLIENT_REPO_H
#define PBR_CLIENT_REPO_H

#include "base/env.h"

enum { PBR_REPO_MAX = 256 };

struct pbr_repo {
    char auth_id[65];   /* "" = default root@pam */
    char host[256];     /* "" = default localhost; IPv6 in brackets */
    uint16_t port;      /* 0 = default 8007 */
    char store[PBR_REPO_MAX + 1];
    char dir[4096];     /* dir:PATH: the path, all else empty */
};

/* ARG with rule API-023 for anything the grammar does not have. */
PBR_MUST_USE int pbr_repo_parse(struct pbr_span text, struct pbr_repo *ret, struct pbr_diag *diag);
/* From separate options (API-030); empty strings are absent. */
PBR_MUST_USE int pbr_repo_from_parts(const char *auth_id, const char *server, uint16_t port, const char *store,
                                     struct pbr_repo *ret, struct pbr_diag *diag);
const char *pbr_repo_auth_id(const struct pbr_repo *r); /* default applied (API-027) */
const char *pbr_repo_host(const struct pbr_repo *r);
uint16_t pbr_repo_port(const struct pbr_repo *r);
/* user@realm or user@realm!token (API-020, API-021). */
bool pbr_repo_is_auth_id(struct pbr_span text);
bool pbr_repo_is_token(const struct pbr_repo *r); /* user@realm!name (API-021) */
/* Canonical form (API-028); cap >= 4200. */
void pbr_repo_format(const struct pbr_repo *r, char *out, size_t cap);

#endif
