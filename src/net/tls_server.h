/* SPDX-License-Identifier: MIT */
/* The listening side below HTTP: TCP listener, certificate, and byte pipes over sockets with or
 * without TLS.
 *
 * Spec: BKP-001 .. BKP-004 (TLS 1.2 and 1.3, no ALPN, TCP_NODELAY, keep-alive), API-051, API-056.
 * Thread: a TLS context is shared const once made; a pipe is not shared. */
#ifndef PBR_NET_TLS_SERVER_H
#define PBR_NET_TLS_SERVER_H

#include "base/io.h"

struct pbr_tls_server;

/* Certificate chain and key from PEM files; both NULL: a self-signed pair for "localhost" is made.
 * The private key never leaves the object. */
PBR_MUST_USE int pbr_tls_server_new(const struct pbr_env *env, const char *cert_file,
                                    const char *key_file, struct pbr_tls_server **ret,
                                    struct pbr_diag *diag);
void pbr_tls_server_free(struct pbr_tls_server *t);
/* SHA-256 of the certificate: "aa:bb:...", 95 characters. */
const char *pbr_tls_server_fingerprint(const struct pbr_tls_server *t);

/* Binds and listens; non-blocking, numeric host only. *ret_port: the bound port. */
PBR_MUST_USE int pbr_listen(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port,
                            struct pbr_diag *diag);
/* Non-blocking, close-on-exec; on TCP also no delay and keep-alive. */
PBR_MUST_USE int pbr_socket_prepare(int fd, struct pbr_diag *diag);

/* The next close of the socket resets the connection instead of ending it in order. */
void pbr_socket_make_reset(int fd);

/* Both take the descriptor over on success; it must be non-blocking. The TLS handshake happens
 * inside read and write; a close without close_notify reads as an orderly end. */
PBR_MUST_USE int pbr_pipe_socket(const struct pbr_env *env, int fd, struct pbr_pipe *ret,
                                 struct pbr_diag *diag);
PBR_MUST_USE int pbr_pipe_tls(const struct pbr_env *env, struct pbr_tls_server *t, int fd,
                              struct pbr_pipe *ret, struct pbr_diag *diag);
/* For a pipe made by one of these: true once bytes can flow (the TLS handshake is done). */
bool pbr_pipe_is_ready(const struct pbr_pipe *pipe);
/* As pbr_socket_make_reset; a TLS pipe also sends no close_notify. */
void pbr_pipe_make_reset(const struct pbr_pipe *pipe);

#endif
