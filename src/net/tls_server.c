/* SPDX-License-Identifier: MIT */
/* The listening side below HTTP; see tls_server.h. */
#include "net/tls_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/fd.h"

enum { KEEP_ALIVE_S = 120, BACKLOG = 128, VALID_DAYS = 3650 };

struct pbr_tls_server {
    const struct pbr_env *env;
    SSL_CTX *ctx;
    char fingerprint[96];
};

/* ---- certificate ---- */

static int tls_failed(struct pbr_diag *diag, const char *what)
{
    char text[200];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return pbr_fail_at(diag, PBR_E_CRYPTO, NULL, "%s: %s", what, text);
}

static bool name_certificate(X509 *cert)
{
    static const unsigned char host[] = "localhost";
    X509_NAME *name = X509_get_subject_name(cert);

    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1;
}

static bool number_certificate(X509 *cert)
{
    BIGNUM *serial = BN_new();
    const bool ok = serial && BN_rand(serial, 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;
    BN_free(serial);
    return ok;
}

static int make_self_signed(SSL_CTX *ctx, struct pbr_diag *diag)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int rc = PBR_OK;

    if (!key || !cert || X509_set_version(cert, 2) != 1 || !number_certificate(cert) ||
        !X509_gmtime_adj(X509_getm_notBefore(cert), -86400) ||
        !X509_time_adj_ex(X509_getm_notAfter(cert), VALID_DAYS, 0, NULL) ||
        X509_set_pubkey(cert, key) != 1 || !name_certificate(cert) ||
        X509_sign(cert, key, EVP_sha256()) == 0 || SSL_CTX_use_certificate(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1)
        rc = tls_failed(diag, "cannot make a certificate");
    EVP_PKEY_free(key);
    X509_free(cert);
    return rc;
}

static int load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                     struct pbr_diag *diag)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return tls_failed(diag, cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return tls_failed(diag, key_file);
    return PBR_OK;
}

static int take_fingerprint(struct pbr_tls_server *t, struct pbr_diag *diag)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    if (X509_digest(SSL_CTX_get0_certificate(t->ctx), EVP_sha256(), md, &len) != 1 || len != 32)
        return tls_failed(diag, "cannot hash the certificate");
    for (unsigned int i = 0; i < len; i++)
        (void)snprintf(t->fingerprint + (size_t)i * 3, 4, "%02x%s", md[i], i + 1 < len ? ":" : "");
    return PBR_OK;
}

int pbr_tls_server_new(const struct pbr_env *env, const char *cert_file, const char *key_file,
                       struct pbr_tls_server **ret, struct pbr_diag *diag)
{
    struct pbr_tls_server *t = pbr_alloc(env, 1, sizeof(*t));
    int rc = PBR_E_NOMEM;

    if (!t)
        goto out;
    t->env = env;
    t->ctx = SSL_CTX_new(TLS_server_method());
    if (!t->ctx) {
        rc = tls_failed(diag, "cannot start TLS");
        goto out;
    }
    (void)SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    rc = cert_file && key_file ? load_pair(t->ctx, cert_file, key_file, diag)
                               : make_self_signed(t->ctx, diag);
    if (rc == PBR_OK)
        rc = take_fingerprint(t, diag);
    if (rc < 0)
        goto out;
    *ret = t;
    t = NULL;
out:
    pbr_tls_server_free(t);
    return rc;
}

void pbr_tls_server_free(struct pbr_tls_server *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    pbr_free(t->env, t);
}

const char *pbr_tls_server_fingerprint(const struct pbr_tls_server *t)
{
    return t->fingerprint;
}

/* ---- sockets ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_address(const char *host, uint16_t port, union address *ret, socklen_t *ret_len)
{
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        *ret_len = sizeof(ret->v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        *ret_len = sizeof(ret->v6);
        return true;
    }
    return false;
}

int pbr_listen(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port,
               struct pbr_diag *diag)
{
    union address a;
    socklen_t len = 0;
    const int on = 1;
    int fd = -1;

    if (!parse_address(host, port, &a, &len))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "listen address '%s' is not numeric", host);
    fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &a.any, len) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, &a.any, &len) < 0) {
        const int e = errno;
        pbr_close(&fd);
        return pbr_fail_os(diag, e, "listen on %s port %u", host, (unsigned)port);
    }
    *ret_port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    *ret_fd = fd;
    return PBR_OK;
}

int pbr_socket_prepare(int fd, struct pbr_diag *diag)
{
    const int on = 1, idle_s = KEEP_ALIVE_S;
    const int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return pbr_fail_os(diag, errno, "socket");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    return PBR_OK;
}

void pbr_socket_make_reset(int fd)
{
    const struct linger now = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* ---- pipes ---- */

struct socket_pipe {
    const struct pbr_env *env;
    SSL *ssl; /* NULL: plain */
    int fd;
    bool reset;
};

static bool would_block(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK || e == EINTR;
}

static int plain_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want,
                      struct pbr_diag *diag)
{
    const struct socket_pipe *p = ctx;
    const ssize_t n = recv(p->fd, out, len, 0);

    *ret = 0;
    *ret_want = 0;
    if (n >= 0) {
        *ret = (size_t)n;
        return PBR_OK;
    }
    if (!would_block(errno))
        return pbr_fail_os(diag, errno, "connection");
    *ret_want = PBR_PIPE_READ;
    return PBR_OK;
}

static int plain_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want,
                       struct pbr_diag *diag)
{
    const struct socket_pipe *p = ctx;
    const ssize_t n = send(p->fd, in.ptr, in.len, MSG_NOSIGNAL);

    *ret = 0;
    *ret_want = 0;
    if (n >= 0) {
        *ret = (size_t)n;
        return PBR_OK;
    }
    if (!would_block(errno))
        return pbr_fail_os(diag, errno, "connection");
    *ret_want = PBR_PIPE_WRITE;
    return PBR_OK;
}

/* Result of a TLS call that moved no bytes: what to wait for, an orderly end, or a failure. */
static int tls_result(struct socket_pipe *p, int n, unsigned *ret_want, struct pbr_diag *diag)
{
    const int e = errno;

    switch (SSL_get_error(p->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        *ret_want = PBR_PIPE_READ;
        return PBR_OK;
    case SSL_ERROR_WANT_WRITE:
        *ret_want = PBR_PIPE_WRITE;
        return PBR_OK;
    case SSL_ERROR_ZERO_RETURN:
        return PBR_OK;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return pbr_fail_os(diag, e ? e : ECONNRESET, "connection");
    default:
        return tls_failed(diag, "TLS");
    }
}

static int tls_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want,
                    struct pbr_diag *diag)
{
    struct socket_pipe *p = ctx;

    *ret = 0;
    *ret_want = 0;
    while (*ret < len) { /* one record a call: gather what is there already */
        size_t n = 0;
        ERR_clear_error();
        errno = 0;
        const int rc = SSL_read_ex(p->ssl, out + *ret, len - *ret, &n);
        if (rc == 1) {
            *ret += n;
            continue;
        }
        if (*ret > 0) /* the end or failure shows up again at the next call */
            return PBR_OK;
        return tls_result(p, rc, ret_want, diag);
    }
    return PBR_OK;
}

static int tls_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want,
                     struct pbr_diag *diag)
{
    struct socket_pipe *p = ctx;

    *ret = 0;
    *ret_want = 0;
    ERR_clear_error();
    errno = 0;
    const int rc = SSL_write_ex(p->ssl, in.ptr, in.len, ret);
    if (rc == 1)
        return PBR_OK;
    const int result = tls_result(p, rc, ret_want, diag);
    if (result == PBR_OK && *ret_want == 0)
        return pbr_fail_os(diag, EPIPE, "connection");
    return result;
}

static void close_pipe(void *ctx)
{
    struct socket_pipe *p = ctx;

    if (p->ssl) {
        ERR_clear_error();
        if (SSL_is_init_finished(p->ssl) && !p->reset)
            (void)SSL_shutdown(p->ssl);
        SSL_free(p->ssl);
        ERR_clear_error();
    }
    if (p->reset)
        pbr_socket_make_reset(p->fd);
    pbr_close(&p->fd);
    pbr_free(p->env, p);
}

int pbr_pipe_socket(const struct pbr_env *env, int fd, struct pbr_pipe *ret, struct pbr_diag *diag)
{
    struct socket_pipe *p = pbr_alloc(env, 1, sizeof(*p));

    if (!p)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for a connection");
    *p = (struct socket_pipe){ .env = env, .fd = fd };
    *ret = (struct pbr_pipe){
        .ctx = p, .fd = fd, .read = plain_read, .write = plain_write, .close = close_pipe
    };
    return PBR_OK;
}

int pbr_pipe_tls(const struct pbr_env *env, struct pbr_tls_server *t, int fd, struct pbr_pipe *ret,
                 struct pbr_diag *diag)
{
    struct socket_pipe *p = pbr_alloc(env, 1, sizeof(*p));
    SSL *ssl = SSL_new(t->ctx);

    if (!p || !ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        pbr_free(env, p);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for a connection");
    }
    SSL_set_accept_state(ssl);
    *p = (struct socket_pipe){ .env = env, .ssl = ssl, .fd = fd };
    *ret = (struct pbr_pipe){
        .ctx = p, .fd = fd, .read = tls_read, .write = tls_write, .close = close_pipe
    };
    return PBR_OK;
}

bool pbr_pipe_is_ready(const struct pbr_pipe *pipe)
{
    const struct socket_pipe *p = pipe->ctx;
    return !p->ssl || SSL_is_init_finished(p->ssl);
}

void pbr_pipe_make_reset(const struct pbr_pipe *pipe)
{
    struct socket_pipe *p = pipe->ctx;
    p->reset = true;
}
