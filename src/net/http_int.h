/* SPDX-License-Identifier: MIT */
/* Inside net only: the object behind http.h, shared by http.c and http_tls.c. */
#ifndef PBR_NET_HTTP_INT_H
#define PBR_NET_HTTP_INT_H

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "net/http.h"

struct pbr_http {
    const struct pbr_env *env;
    struct pbr_http_opts opts; /* strings owned */
    CURL *rest;
    X509_STORE *store;         /* the system's CA store, loaded once for all connections; NULL before the first */
    char error_text[CURL_ERROR_SIZE];
    struct pbr_diag tls_diag;  /* why the certificate was refused */
    char seen_fingerprint[96];
};

/* Prepares a handle for a request to `path`; forgets earlier failures. */
PBR_MUST_USE int pbr_http_begin(struct pbr_http *http, CURL *c, const char *path, struct pbr_diag *diag);
/* A failed curl call as a diagnosis; the refusal of a certificate says more than curl. */
int pbr_http_fail_curl(struct pbr_http *http, CURLcode code, struct pbr_diag *diag);
/* pbr_http_call over opts.dial. */
PBR_MUST_USE int pbr_http_call_embedded(struct pbr_http *http, const char *method, const char *path,
                                        const char *const *headers, const struct pbr_span *body, size_t reply_max,
                                        struct pbr_http_reply *ret, struct pbr_diag *diag);

/* Installs the certificate rules on a handle. */
CURLcode pbr_http_tls_setup(struct pbr_http *http, CURL *c);

#endif
