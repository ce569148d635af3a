/* SPDX-License-Identifier: MIT */
/* User and token ids, tickets, credentials in request headers.
 *
 * Spec: API-020 .. API-022, API-065, API-075 .. API-078, API-081. Thread: plain values. */
#ifndef PBR_PROTO_IDENTITY_H
#define PBR_PROTO_IDENTITY_H

#include "base/env.h"

enum { PBR_AUTHID_MAX = 64 + 65, PBR_TICKET_LIFETIME_S = 7200, PBR_TICKET_SKEW_S = 300 };

/* "name@realm", 3..64 characters (API-020). */
bool pbr_userid_ok(struct pbr_span id);
/* "name@realm" or "name@realm!token" (API-021, API-022). */
bool pbr_authid_ok(struct pbr_span id);
/* The user part of an auth-id: all of it, or what precedes the token's '!'. `*ret_is_token` may be
 * NULL. */
struct pbr_span pbr_authid_user(struct pbr_span id, bool *ret_is_token);

/* May `auth_id` act on what `owner` owns (BKP-038): same id, or the owner is a token of the user
 * `auth_id`. */
bool pbr_owner_ok(struct pbr_span auth_id, struct pbr_span owner);

/* Appends "PBS:{user, percent-encoded}:{time, 8 or more hex digits}::{seal}" (API-065). */
PBR_MUST_USE int pbr_ticket_emit(struct pbr_span user, int64_t time_s, struct pbr_span seal,
                                 struct pbr_buf *out);
/* The user (still percent-encoded) and time of a ticket text; false if it is none. */
PBR_MUST_USE bool pbr_ticket_parse(struct pbr_span text, struct pbr_span *ret_user,
                                   int64_t *ret_time_s);
/* Not older than its lifetime and not from a future beyond the allowed skew. */
bool pbr_ticket_fresh(int64_t time_s, int64_t now_s);

/* "PBSAPIToken id:secret" or "PBSAPIToken=id:secret" (API-077): splits the header's value; the
 * secret is still percent-encoded. False for any other spelling. */
PBR_MUST_USE bool pbr_token_header_parse(struct pbr_span value, struct pbr_span *ret_id,
                                         struct pbr_span *ret_secret);
/* The value of a cookie by its name, still percent-encoded; false if there is none. */
PBR_MUST_USE bool pbr_cookie_find(struct pbr_span header, const char *name, struct pbr_span *ret);

#endif
