/* SPDX-License-Identifier: MIT */
/* The mock server: REST, backup and reader protocol over a real datastore, with a journal and
 * scripted faults.
 *
 * One thread runs everything (pbr_server_run): a poll loop over non-blocking connections. A program
 * either lets it listen on TCP (TLS), or hands it connected descriptors (pbr_server_adopt), or
 * both.
 *
 * Spec: BKP sections 1 to 5 and 8, RDR sections 1, 2 and 5, API sections 1, 5, 6 and 7.
 * Thread: an object belongs to the thread in pbr_server_run; adopt and stop may be called from any
 * thread. */
#ifndef PBR_SERVER_SERVER_H
#define PBR_SERVER_SERVER_H

#include "base/env.h"

struct pbr_server;

struct pbr_server_store {
    const char *name; /* datastore name, 3..32 characters of the safe id form */
    const char *path; /* its directory; created and initialised by the caller (store/) */
};

struct pbr_server_cred {
    const char *id; /* users: "name@realm"; tokens: "name@realm!token" */
    const char *secret;
};

/* All strings are copied. All-zero means: no listener, authentication on, no user, no journal. */
struct pbr_server_opts {
    const struct pbr_server_store *stores;
    size_t store_nr;
    bool listen;               /* open a TCP listener (TLS) */
    const char *listen_host;   /* numeric address; NULL = 127.0.0.1 */
    uint16_t listen_port;      /* 0 = any free port */
    const char *tls_cert_file; /* PEM, with tls_key_file; both NULL: a self-signed pair is made when
                                  listening */
    const char *tls_key_file;
    bool no_auth; /* every request is root@pam's: for embedded use */
    const struct pbr_server_cred *users;
    size_t user_nr;
    const struct pbr_server_cred *tokens;
    size_t token_nr;
    const char *journal_path;  /* JSON lines, truncated at start; NULL = none */
    const char *const *faults; /* texts "WHERE#N:WHAT", proto/fault.h */
    size_t fault_nr;
    int64_t now_s;          /* fixed wall clock; 0 = the env's */
    unsigned auth_delay_ms; /* before a 401 (a sixth of it before a 403); 0 = none (API-146) */
    bool sync;              /* fsync what is published in the datastore */
};

/* Opens datastores, listener, certificate and journal. ARG for a bad option, IO and others as they
 * come. `env` must outlive the server. The listener accepts (queues) connections from here on. */
PBR_MUST_USE int pbr_server_new(const struct pbr_env *env, const struct pbr_server_opts *opts,
                                struct pbr_server **ret, struct pbr_diag *diag);
/* Ends all sessions (unfinished snapshots are removed) and releases everything. Not while running.
 * NULL is fine. */
void pbr_server_free(struct pbr_server *s);

/* Serves until pbr_server_stop. Open sessions are ended before it returns. */
PBR_MUST_USE int pbr_server_run(struct pbr_server *s, struct pbr_diag *diag);
/* Any thread, any signal handler; before, during or after run. */
void pbr_server_stop(struct pbr_server *s);
/* Hands over a connected stream socket, which the server closes; with `tls` it speaks TLS first.
 * Any thread. On failure the descriptor stays the caller's. */
PBR_MUST_USE int pbr_server_adopt(struct pbr_server *s, int fd, bool tls);

/* The bound port; 0 without a listener. */
uint16_t pbr_server_port(const struct pbr_server *s);
/* SHA-256 of the certificate, "aa:bb:..." (API-051); "" without TLS. */
const char *pbr_server_fingerprint(const struct pbr_server *s);

#endif
