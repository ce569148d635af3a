/* SPDX-License-Identifier: MIT */
/* Scripted misbehaviour of the mock server: "WHERE#N:WHAT".
 *
 *   WHERE                 matches
 *   "METHOD PATH"         a request; METHOD may be '*'; PATH without its query and with single
 * slashes, shell pattern
 *                         ('*' any text, '?' any character): "POST /dynamic_chunk", "GET
 * *snapshots" accept                a new connection upgrade [WORD]        an upgrade request; WORD
 * = backup or reader chunk-read [DIGEST]   a chunk about to be sent to a reader chunk-write
 * [DIGEST]  a chunk about to be stored N                     the N-th match only (1 = first); "N+"
 * from there on; "*" always; "#N" missing: 1 WHAT                  status=NNN[,text]  this answer
 * instead of the real one (the call is not carried out) delay=MS           the answer comes later
 *                         reset              TCP reset instead of an answer; at accept: at once
 *                         close              orderly close instead of an answer
 *                         goaway             GOAWAY and close instead of an answer (HTTP/1.1:
 * close) rst-stream         RST_STREAM INTERNAL_ERROR instead of an answer (HTTP/1.1: reset)
 *                         short=BYTES        the answer's body ends after BYTES bytes
 *                         corrupt=BYTES      the last BYTES bytes of the answer's body are inverted
 *                         stall              no answer, the connection stays open
 *                         window=N           (accept, upgrade) flow-control windows of N bytes on
 * this connection lie=known          chunk uploads and `previous` succeed without making chunks
 * known lie=csum           the last digest of an index sent is inverted lie=size           the size
 * an index claims is one more than it is enospc             the datastore refuses to write: no
 * space left Counting is per fault and over the server's whole life: deterministic for one client.
 * Thread: plain values. */
#ifndef PBR_PROTO_FAULT_H
#define PBR_PROTO_FAULT_H

#include "base/env.h"

enum pbr_fault_where {
    PBR_FAULT_AT_REQUEST,
    PBR_FAULT_AT_ACCEPT,
    PBR_FAULT_AT_UPGRADE,
    PBR_FAULT_AT_CHUNK_READ,
    PBR_FAULT_AT_CHUNK_WRITE,
};
enum pbr_fault_what {
    PBR_FAULT_STATUS,
    PBR_FAULT_DELAY,
    PBR_FAULT_RESET,
    PBR_FAULT_CLOSE,
    PBR_FAULT_GOAWAY,
    PBR_FAULT_RST_STREAM,
    PBR_FAULT_SHORT,
    PBR_FAULT_CORRUPT,
    PBR_FAULT_STALL,
    PBR_FAULT_WINDOW,
    PBR_FAULT_LIE_KNOWN,
    PBR_FAULT_LIE_CSUM,
    PBR_FAULT_LIE_SIZE,
    PBR_FAULT_ENOSPC,
};

struct pbr_fault_spec {
    enum pbr_fault_where where;
    enum pbr_fault_what what;
    char method[16];      /* "*" = any */
    char pattern[256];    /* path pattern, word or digest; "*" = any */
    uint64_t first, last; /* matches that fire, 1-based, inclusive */
    uint64_t value;       /* status, milliseconds, bytes or window */
    char text[256];       /* body of a status; "" = a standard one */
    uint64_t seen;        /* matches so far */
};

/* PBR_E_ARG with a text that says what is wrong. */
PBR_MUST_USE int pbr_fault_spec_parse(struct pbr_fault_spec *ret, struct pbr_span text,
                                      struct pbr_diag *diag);

/* Counts a match of place and subject ("/dynamic_chunk", "reader", a digest); true if the fault
 * fires now. */
bool pbr_fault_spec_step(struct pbr_fault_spec *f, enum pbr_fault_where where, const char *method,
                         const char *subject);

/* Shell pattern with '*' and '?' only, over the whole text. */
bool pbr_pattern_match(const char *pattern, const char *text);

#endif
