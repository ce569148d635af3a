/* SPDX-License-Identifier: MIT */
/* REST calls through libcurl; see http.h. The TLS rules are in http_tls.c, upgraded connections in http_wire.c. */
#include "net/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "net/http_int.h"

static char *dup_or_null(const struct pbr_env *env, const char *text, bool *ok)
{
    char *copy = text ? pbr_strdup(env, text) : NULL;
    if (text && !copy)
        *ok = false;
    return copy;
}

int pbr_http_new(const struct pbr_env *env, const struct pbr_http_opts *opts, struct pbr_http **ret,
                 struct pbr_diag *diag)
{
    struct pbr_http *http = pbr_alloc(env, 1, sizeof(*http));
    bool ok = http != NULL;
    if (ok) {
        http->env = env;
        http->opts = *opts;
        http->opts.host = dup_or_null(env, opts->host, &ok);
        http->opts.proxy = dup_or_null(env, opts->proxy, &ok);
        http->opts.fingerprint = dup_or_null(env, opts->fingerprint, &ok);
    }
    if (!ok) {
        pbr_http_free(http);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a connection");
    }
    *ret = http;
    return PBR_OK;
}

void pbr_http_free(struct pbr_http *http)
{
    if (!http)
        return;
    if (http->rest)
        curl_easy_cleanup(http->rest);
    X509_STORE_free(http->store);
    const char *const owned[] = { http->opts.host, http->opts.proxy, http->opts.fingerprint };
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        pbr_free(http->env, (void *)(uintptr_t)owned[i]);
    pbr_free(http->env, http);
}

const char *pbr_http_fingerprint(const struct pbr_http *http)
{
    return http->seen_fingerprint;
}

void pbr_http_reply_release(struct pbr_http_reply *r)
{
    if (r->body.env)
        pbr_buf_release(&r->body);
    pbr_secret_release(&r->cookie);
    *r = (struct pbr_http_reply){ 0 };
}

/* ---- one curl handle ---- */

static CURLcode set_origin(struct pbr_http *http, CURL *c, const char *path)
{
    char url[PBR_URI_MAX + 400];
    const int n = snprintf(url, sizeof(url), "https://%s:%u%s", http->opts.host, http->opts.port, path);
    if (n < 0 || (size_t)n >= sizeof(url))
        return CURLE_URL_MALFORMAT;
    return curl_easy_setopt(c, CURLOPT_URL, url);
}

/* Settings common to calls and upgrades: BKP-002, BKP-003, API-015, API-016. */
static CURLcode set_common(struct pbr_http *http, CURL *c)
{
    const long connect_s = http->opts.connect_timeout_s ? http->opts.connect_timeout_s : 10;
    CURLcode rc = CURLE_OK;
    struct {
        CURLoption option;
        long value;
    } const longs[] = {
        { CURLOPT_NOSIGNAL, 1 },          { CURLOPT_CONNECTTIMEOUT, connect_s },
        { CURLOPT_TCP_NODELAY, 1 },       { CURLOPT_TCP_KEEPALIVE, 1 },
        { CURLOPT_TCP_KEEPIDLE, 120 },    { CURLOPT_SSL_ENABLE_ALPN, 0 },
        { CURLOPT_SSL_VERIFYPEER, 0 },    { CURLOPT_SSL_VERIFYHOST, 0 }, /* http_tls.c decides instead */
        { CURLOPT_FOLLOWLOCATION, 0 },    { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
        { CURLOPT_PATH_AS_IS, 1 },
    };
    for (size_t i = 0; i < sizeof(longs) / sizeof(longs[0]) && rc == CURLE_OK; i++)
        rc = curl_easy_setopt(c, longs[i].option, longs[i].value);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_PROXY, http->opts.proxy ? http->opts.proxy : "");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_NOPROXY, "");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_ERRORBUFFER, http->error_text);
    return rc == CURLE_OK ? pbr_http_tls_setup(http, c) : rc;
}

int pbr_http_fail_curl(struct pbr_http *http, CURLcode code, struct pbr_diag *diag)
{
    if (http->tls_diag.code) { /* the certificate was refused: that text says more than curl's */
        if (diag && diag->code == PBR_OK)
            *diag = http->tls_diag;
        return http->tls_diag.code;
    }
    const char *why = http->error_text[0] ? http->error_text : curl_easy_strerror(code);
    return pbr_fail_at(diag, PBR_E_REMOTE, NULL, "cannot talk to %s:%u: %s", http->opts.host, http->opts.port, why);
}

int pbr_http_begin(struct pbr_http *http, CURL *c, const char *path, struct pbr_diag *diag)
{
    http->error_text[0] = 0;
    http->tls_diag = (struct pbr_diag){ 0 };
    CURLcode rc = set_common(http, c);
    if (rc == CURLE_OK)
        rc = set_origin(http, c, path);
    return rc == CURLE_OK ? PBR_OK : pbr_http_fail_curl(http, rc, diag);
}

/* ---- REST calls ---- */

struct call_state {
    const struct pbr_env *env;
    struct pbr_http_reply *reply;
    bool too_large;
};

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
    struct call_state *call = ctx;
    const size_t len = size * count;
    if (pbr_buf_append(&call->reply->body, pbr_span(data, len)) == PBR_OK)
        return len;
    call->too_large = true;
    return 0;
}

static size_t take_header(char *data, size_t size, size_t count, void *ctx)
{
    static const char prefix[] = "set-cookie: __Host-PBSAuthCookie=";
    struct call_state *call = ctx;
    const size_t len = size * count;
    const size_t skip = sizeof(prefix) - 1;
    if (len > skip && strncasecmp(data, prefix, skip) == 0) {
        const char *end = memchr(data + skip, ';', len - skip);
        if (end && end > data + skip &&
            pbr_secret_set(&call->reply->cookie, call->env, pbr_span(data + skip, (size_t)(end - data) - skip)) < 0)
            return 0;
    }
    return len;
}

static CURLcode set_call(struct pbr_http *http, const char *method, struct curl_slist *list,
                         const struct pbr_span *body, struct call_state *state)
{
    CURL *c = http->rest;
    const long reply_s = http->opts.reply_timeout_s ? http->opts.reply_timeout_s : 120;
    CURLcode rc = curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    if (rc == CURLE_OK && body) {
        rc = curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(c, CURLOPT_POSTFIELDS, body->len ? (const char *)body->ptr : "");
    }
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_TIMEOUT, reply_s);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_WRITEDATA, state);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(c, CURLOPT_HEADERDATA, state);
    return rc;
}

static int make_list(const char *const *headers, struct curl_slist **ret, struct pbr_diag *diag)
{
    struct curl_slist *list = curl_slist_append(NULL, "Accept:"); /* without a value: not sent */
    if (!list)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a request");
    for (; headers && *headers; headers++) {
        struct curl_slist *longer = curl_slist_append(list, *headers);
        if (!longer) {
            curl_slist_free_all(list);
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a request");
        }
        list = longer;
    }
    *ret = list;
    return PBR_OK;
}

int pbr_http_call(struct pbr_http *http, const char *method, const char *path, const char *const *headers,
                  const struct pbr_span *body, size_t reply_max, struct pbr_http_reply *ret, struct pbr_diag *diag)
{
    struct pbr_http_reply reply = { 0 };
    struct call_state state = { .env = http->env, .reply = &reply };
    struct curl_slist *list = NULL;
    if (http->opts.dial)
        return pbr_http_call_embedded(http, method, path, headers, body, reply_max, ret, diag);
    if (!http->rest)
        http->rest = curl_easy_init();
    else
        curl_easy_reset(http->rest); /* keeps the connection */
    if (!http->rest)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a request");
    pbr_buf_init(&reply.body, http->env, reply_max);
    int rc = pbr_http_begin(http, http->rest, path, diag);
    if (rc == PBR_OK)
        rc = make_list(headers, &list, diag);
    if (rc == PBR_OK) {
        CURLcode code = set_call(http, method, list, body, &state);
        if (code == CURLE_OK)
            code = curl_easy_perform(http->rest);
        if (code != CURLE_OK)
            rc = state.too_large ? pbr_fail_at(diag, PBR_E_LIMIT, NULL, "answer to %s exceeds %zu bytes", path, reply_max)
                                 : pbr_http_fail_curl(http, code, diag);
    }
    if (rc == PBR_OK) {
        long status = 0;
        curl_easy_getinfo(http->rest, CURLINFO_RESPONSE_CODE, &status);
        reply.status = (int)status;
    }
    curl_slist_free_all(list);
    if (rc < 0)
        pbr_http_reply_release(&reply);
    else
        *ret = reply;
    return rc;
}
