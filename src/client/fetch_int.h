/* SPDX-License-Identifier: MIT */
/* Inside client only: one chunk of an index, shared by sequential and random access. */
#ifndef PBR_CLIENT_FETCH_INT_H
#define PBR_CLIENT_FETCH_INT_H

#include "client/fetch.h"

/* Path of the request for chunk i, NUL-terminated; the caller releases *ret, which is initialised here on success. */
PBR_MUST_USE int pbr_fetch_chunk_path(const struct pbr_env *env, const struct pbr_index *ix, uint64_t i, struct pbr_buf *ret,
                                      struct pbr_diag *diag);
/* Decodes and checks CRC, kind, digest and length of chunk i (RDR-060, RDR-061). */
PBR_MUST_USE int pbr_fetch_decode(struct pbr_opener *opener, const struct pbr_fetched_index *ix, uint64_t i,
                                  const struct pbr_crypt *crypt, struct pbr_span raw, struct pbr_buf *out,
                                  struct pbr_span *ret_plain, struct pbr_diag *diag);
/* Puts digest and offset of the chunk before a failure's text. */
void pbr_fetch_name_chunk(const struct pbr_index *ix, uint64_t i, struct pbr_diag *diag);

#endif
