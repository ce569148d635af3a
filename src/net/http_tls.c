/* SPDX-License-Identifier: MIT */
/* Whom to trust: the system's CA store and the host name first, then the pinned fingerprint of the leaf certificate, then
 * the person at the terminal [API-050 .. API-054]. */
#include "net/http_int.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>

static bool leaf_fingerprint(X509 *leaf, char out[96])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!leaf || X509_digest(leaf, EVP_sha256(), digest, &len) != 1 || len != 32)
        return false;
    for (unsigned i = 0; i < 32; i++) {
        pbr_format_hex(digest + i, 1, out + 3 * (size_t)i);
        out[3 * i + 2] = i < 31 ? ':' : 0;
    }
    return true;
}

static void expect_host(X509_STORE_CTX *store, const char *host)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);
    if (host[0] == '[') {
        char bare[64] = "";
        const size_t len = strlen(host);
        if (len > 2 && len - 2 < sizeof(bare))
            memcpy(bare, host + 1, len - 2);
        X509_VERIFY_PARAM_set1_ip_asc(param, bare);
    } else if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) {
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    }
}

/* 1 = trusted. */
static int decide(X509_STORE_CTX *store, void *ctx)
{
    struct pbr_http *http = ctx;
    char seen[96];
    expect_host(store, http->opts.host);
    if (X509_verify_cert(store) == 1)
        return 1;
    if (!leaf_fingerprint(X509_STORE_CTX_get0_cert(store), seen))
        return 0;
    memcpy(http->seen_fingerprint, seen, sizeof(seen));
    const char *expected = http->opts.fingerprint;
    bool accepted = expected && strcasecmp(expected, seen) == 0;
    if (!accepted && expected) {
        pbr_log(http->env, PBR_LOG_WARN, "WARNING: certificate fingerprint does not match expected fingerprint!");
        pbr_log(http->env, PBR_LOG_WARN, "expected:    %s", expected);
    }
    if (!accepted && http->opts.confirm)
        accepted = http->opts.confirm(http->opts.confirm_ctx, seen, expected != NULL);
    if (accepted) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    (void)pbr_fail_at(&http->tls_diag, PBR_E_REMOTE, "API-054",
                      "certificate validation failed - Certificate fingerprint was not confirmed. "
                      "(the server's is %s: set PBS_FINGERPRINT to it if it is the right one)",
                      seen);
    return 0;
}

static bool load_store(struct pbr_http *http)
{
    if (!http->store) {
        http->store = X509_STORE_new();
        if (http->store)
            (void)X509_STORE_set_default_paths(http->store); /* no store: then only the fingerprint counts */
    }
    return http->store != NULL;
}

static CURLcode on_context(CURL *c, void *ssl_ctx, void *ctx)
{
    struct pbr_http *http = ctx;
    (void)c;
    if (!load_store(http) || X509_STORE_up_ref(http->store) != 1)
        return CURLE_OUT_OF_MEMORY;
    SSL_CTX_set_cert_store(ssl_ctx, http->store);
    SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ssl_ctx, decide, ctx);
    return CURLE_OK;
}

CURLcode pbr_http_tls_setup(struct pbr_http *http, CURL *c)
{
    /* the store is load_store's: curl would parse the whole bundle for every connection */
    CURLcode rc = curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_context);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, http);
    if (rc == CURLE_OK) /* a resumed session would skip the decision above */
        rc = curl_easy_setopt(c, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    return rc;
}
