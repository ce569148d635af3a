/* SPDX-License-Identifier: MIT */
/* Login, REST calls and upgrades; see api.h. */
#include "client/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "format/manifest.h"
#include "net/throttle.h"

enum { RENEW_AFTER_S = 900 }; /* API-068 */

struct pbr_client {
    const struct pbr_env *env;
    struct pbr_client_opts opts;
    struct pbr_http *http;
    struct pbr_throttle *throttle; /* NULL: no limit */
    bool logged_in;
    int64_t login_s;
    bool host_cookie;           /* ticket came as a cookie (API-063) */
    struct pbr_secret ticket;   /* or the token secret */
    struct pbr_secret csrf;
};

int pbr_client_new(const struct pbr_env *env, const struct pbr_client_opts *opts, struct pbr_client **ret,
                   struct pbr_diag *diag)
{
    struct pbr_client *c = pbr_alloc(env, 1, sizeof(*c));
    if (!c)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a client");
    c->env = env;
    c->opts = *opts;
    const struct pbr_http_opts http = { .host = pbr_repo_host(&opts->repo),
                                        .port = pbr_repo_port(&opts->repo),
                                        .proxy = opts->proxy,
                                        .fingerprint = opts->fingerprint,
                                        .confirm = opts->confirm,
                                        .confirm_ctx = opts->confirm_ctx,
                                        .dial = opts->dial,
                                        .dial_ctx = opts->dial_ctx };
    int rc = pbr_http_new(env, &http, &c->http, diag);
    if (rc == PBR_OK && opts->rate > 0) {
        rc = pbr_throttle_new(env, opts->rate, opts->burst, &c->throttle);
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "no memory for a rate limit");
    }
    if (rc < 0) {
        pbr_client_free(c);
        return rc;
    }
    *ret = c;
    return PBR_OK;
}

void pbr_client_free(struct pbr_client *c)
{
    if (!c)
        return;
    pbr_http_free(c->http);
    pbr_throttle_free(c->throttle);
    pbr_secret_release(&c->ticket);
    pbr_secret_release(&c->csrf);
    pbr_free(c->env, c);
}

const struct pbr_env *pbr_client_env(const struct pbr_client *c)
{
    return c->env;
}

const struct pbr_repo *pbr_client_repo(const struct pbr_client *c)
{
    return &c->opts.repo;
}

const struct pbr_secret *pbr_client_ticket(const struct pbr_client *c)
{
    return c->csrf.len ? &c->ticket : NULL;
}

const struct pbr_secret *pbr_client_csrf(const struct pbr_client *c)
{
    return c->csrf.len ? &c->csrf : NULL;
}

const char *pbr_client_fingerprint(const struct pbr_client *c)
{
    return pbr_http_fingerprint(c->http);
}

/* ---- credentials ---- */

/* Percent-encoding of tickets and secrets in headers (API-078). */
static int emit_credential(struct pbr_buf *out, const struct pbr_secret *secret)
{
    int rc = PBR_OK;
    for (size_t i = 0; i < secret->len && rc == PBR_OK; i++) {
        const uint8_t b = secret->ptr[i];
        if (b <= ' ' || b >= 0x7f || strchr("\"#<>`?{}", b))
            rc = pbr_buf_printf(out, "%%%02X", b);
        else
            rc = pbr_buf_append_u8(out, b);
    }
    return rc;
}

struct auth_lines {
    struct pbr_buf text[2];
    const char *lines[4]; /* NULL-terminated, with room for one more */
    size_t nr;
};

static void auth_release(struct auth_lines *a)
{
    for (size_t i = 0; i < 2; i++) {
        if (!a->text[i].env)
            continue;
        pbr_wipe(a->text[i].ptr, a->text[i].len);
        pbr_buf_release(&a->text[i]);
    }
}

/* Header lines that carry the credentials (API-075, API-077). */
static int auth_emit(const struct pbr_client *c, struct auth_lines *a, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    *a = (struct auth_lines){ 0 };
    for (size_t i = 0; i < 2; i++)
        pbr_buf_init(&a->text[i], c->env, PBR_HEADER_LIST_MAX);
    if (c->opts.dial || !c->ticket.len)
        return PBR_OK;
    if (pbr_repo_is_token(&c->opts.repo)) {
        rc = pbr_buf_printf(&a->text[0], "authorization: PBSAPIToken %s:", c->opts.repo.auth_id);
    } else {
        rc = pbr_buf_printf(&a->text[0], "cookie: %sPBSAuthCookie=", c->host_cookie ? "__Host-" : "");
        if (rc == PBR_OK)
            rc = pbr_buf_printf(&a->text[1], "csrfpreventiontoken: %s", (const char *)c->csrf.ptr);
    }
    if (rc == PBR_OK)
        rc = emit_credential(&a->text[0], &c->ticket);
    for (size_t i = 0; i < 2 && rc == PBR_OK; i++) {
        if (a->text[i].len == 0)
            continue;
        a->lines[a->nr] = pbr_buf_cstr(&a->text[i]);
        if (!a->lines[a->nr++])
            rc = PBR_E_NOMEM;
    }
    if (rc < 0) {
        auth_release(a);
        (void)pbr_fail_at(diag, rc, NULL, "cannot put the credentials into a request");
    }
    return rc;
}

/* ---- answers ---- */

static int answer_error(const struct pbr_http_reply *reply, struct pbr_diag *diag)
{
    const struct pbr_span body = pbr_buf_span(&reply->body);
    const int len = (int)(body.len < 480 ? body.len : 480);
    const int rc = len ? pbr_fail_at(diag, PBR_E_REMOTE, NULL, "%.*s", len, (const char *)body.ptr)
                       : pbr_fail_at(diag, PBR_E_REMOTE, NULL, "server answered %d", reply->status);
    if (diag && diag->status == 0)
        diag->status = reply->status;
    return rc;
}

static int answer_data(const struct pbr_http_reply *reply, json_t **ret, struct pbr_diag *diag)
{
    json_t *root = NULL;
    if (reply->status < 200 || reply->status >= 300)
        return answer_error(reply, diag);
    if (reply->body.len == 0) {
        *ret = json_null();
        return PBR_OK;
    }
    int rc = pbr_json_parse(pbr_buf_span(&reply->body), &root, diag);
    if (rc < 0)
        return rc;
    json_t *data = json_object_get(root, "data");
    if (data)
        *ret = json_incref(data);
    else
        rc = pbr_fail_at(diag, PBR_E_PROTO, "BKP-071", "got result without data property");
    json_decref(root);
    return rc;
}

/* ---- login ---- */

static int take_ticket(struct pbr_client *c, const struct pbr_http_reply *reply, json_t *data, struct pbr_diag *diag)
{
    const char *ticket = json_string_value(json_object_get(data, "ticket"));
    const char *csrf = json_string_value(json_object_get(data, "CSRFPreventionToken"));
    c->host_cookie = reply->cookie.len > 0;
    if (!csrf || (!ticket && !c->host_cookie))
        return pbr_fail_at(diag, PBR_E_PROTO, "API-062", "login answer lacks ticket or CSRFPreventionToken");
    const struct pbr_span value = c->host_cookie ? pbr_span(reply->cookie.ptr, reply->cookie.len)
                                                 : pbr_span_str(ticket);
    int rc = pbr_secret_set(&c->ticket, c->env, value);
    if (rc == PBR_OK)
        rc = pbr_secret_set(&c->csrf, c->env, pbr_span_str(csrf));
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for a ticket");
    c->login_s = c->env->now_s(c->env->ctx);
    return PBR_OK;
}

static int request_ticket(struct pbr_client *c, const struct pbr_secret *password, struct pbr_diag *diag)
{
    static const char *const headers[] = { "content-type: application/json", NULL };
    struct pbr_http_reply reply = { 0 };
    json_t *data = NULL;
    json_t *params = json_pack("{s:s%, s:s}", "password", (const char *)password->ptr, password->len, "username",
                               pbr_repo_auth_id(&c->opts.repo));
    char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;
    json_decref(params);
    if (!text)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "password is not valid UTF-8");
    const struct pbr_span body = pbr_span_str(text);
    int rc = pbr_http_call(c->http, "POST", "//api2/json/access/ticket" /* BKP-011 */, headers, &body, PBR_REPLY_BODY_MAX, &reply,
                           diag);
    pbr_json_text_free(text);
    if (rc == PBR_OK)
        rc = answer_data(&reply, &data, diag);
    if (rc == PBR_OK)
        rc = take_ticket(c, &reply, data, diag);
    else if (diag && diag->status == 401)
        pbr_diag_context(diag, "login of %s refused", pbr_repo_auth_id(&c->opts.repo));
    json_decref(data);
    pbr_http_reply_release(&reply);
    return rc;
}

int pbr_client_login(struct pbr_client *c, struct pbr_diag *diag)
{
    struct pbr_secret secret = { 0 };
    if (c->opts.dial)
        return PBR_OK;
    if (c->logged_in) { /* renew with the current ticket; its failure shows at the next request */
        if (c->csrf.len && c->env->now_s(c->env->ctx) - c->login_s > RENEW_AFTER_S)
            return request_ticket(c, &c->ticket, diag);
        return PBR_OK;
    }
    int rc = c->opts.secret(c->opts.secret_ctx, &secret, diag);
    if (rc < 0)
        return rc;
    if (pbr_repo_is_token(&c->opts.repo)) {
        rc = pbr_secret_set(&c->ticket, c->env, pbr_span(secret.ptr, secret.len));
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "no memory for a secret");
    } else {
        rc = request_ticket(c, &secret, diag);
    }
    pbr_secret_release(&secret);
    c->logged_in = rc == PBR_OK;
    return rc;
}

/* ---- calls ---- */

/* "/api2/json/" + path with {store} replaced + "?" + query. */
static int emit_target(const struct pbr_client *c, const char *path, json_t *query, struct pbr_buf *out)
{
    static const char mark[] = "{store}";
    const char *store = c->opts.repo.store[0] ? c->opts.repo.store : "local";
    const char *at = strstr(path, mark);
    int rc = at ? pbr_buf_printf(out, "/api2/json/%.*s%s%s", (int)(at - path), path, store, at + sizeof(mark) - 1)
                : pbr_buf_printf(out, "/api2/json/%s", path);
    if (rc == PBR_OK && query) {
        struct pbr_buf text;
        pbr_buf_init(&text, c->env, PBR_URI_MAX);
        rc = pbr_query_emit(query, &text);
        if (rc == PBR_OK)
            rc = pbr_buf_append_u8(out, '?');
        if (rc == PBR_OK)
            rc = pbr_buf_append(out, pbr_buf_span(&text));
        pbr_buf_release(&text);
    }
    return rc;
}

static int call_raw(struct pbr_client *c, const char *method, const char *path, json_t *query,
                    const char *content_type, const struct pbr_span *body, json_t **ret, struct pbr_diag *diag)
{
    struct auth_lines auth;
    struct pbr_http_reply reply = { 0 };
    struct pbr_buf target;
    json_t *data = NULL;
    int rc = pbr_client_login(c, diag);
    if (rc == PBR_OK)
        rc = auth_emit(c, &auth, diag);
    if (rc < 0)
        return rc;
    auth.lines[auth.nr++] = content_type;
    pbr_buf_init(&target, c->env, PBR_URI_MAX);
    rc = emit_target(c, path, query, &target);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, "API-003", "request to %s is too long", path);
    else
        rc = pbr_http_call(c->http, method, pbr_buf_cstr(&target), auth.lines, body, PBR_REPLY_BODY_MAX, &reply, diag);
    if (rc == PBR_OK)
        rc = answer_data(&reply, &data, diag);
    if (rc == PBR_OK && ret)
        *ret = json_incref(data);
    json_decref(data);
    pbr_buf_release(&target);
    pbr_http_reply_release(&reply);
    auth_release(&auth);
    return rc;
}

int pbr_client_call(struct pbr_client *c, const char *method, const char *path, json_t *params, json_t **ret,
                    struct pbr_diag *diag)
{
    const bool post = strcmp(method, "POST") == 0;
    char *text = post && params ? json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (post && params && !text)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a request");
    const struct pbr_span body = text ? pbr_span_str(text) : pbr_span("", 0);
    const int rc = call_raw(c, method, path, post ? NULL : params,
                            text ? "content-type: application/json"
                                 : "content-type: application/x-www-form-urlencoded",
                            post ? &body : NULL, ret, diag);
    pbr_json_text_free(text);
    return rc;
}

int pbr_client_upload(struct pbr_client *c, const char *path, json_t *params, struct pbr_span body,
                      struct pbr_diag *diag)
{
    return call_raw(c, "POST", path, params, "content-type: application/octet-stream", &body, NULL, diag);
}

/* The limit goes between connection and HTTP/2; takes the pipe over, also on failure. */
static int throttle_pipe(struct pbr_client *c, struct pbr_pipe *pipe, struct pbr_diag *diag)
{
    struct pbr_pipe slow;
    if (!c->throttle)
        return PBR_OK;
    const int rc = pbr_throttle_pipe(c->throttle, pipe, &slow);
    if (rc < 0) {
        pipe->close(pipe->ctx);
        return pbr_fail_at(diag, rc, NULL, "no memory for a rate limit");
    }
    *pipe = slow;
    return PBR_OK;
}

int pbr_client_upgrade(struct pbr_client *c, const char *path, const char *protocol, bool limited,
                       struct pbr_link **ret, struct pbr_diag *diag)
{
    struct auth_lines auth;
    struct pbr_pipe pipe;
    int rc = pbr_client_login(c, diag);
    if (rc == PBR_OK)
        rc = auth_emit(c, &auth, diag);
    if (rc < 0)
        return rc;
    rc = pbr_http_upgrade(c->http, path, protocol, auth.lines, &pipe, diag);
    if (rc == PBR_OK && limited)
        rc = throttle_pipe(c, &pipe, diag);
    if (rc == PBR_OK)
        rc = pbr_link_new(c->env, &pipe, ret, diag);
    auth_release(&auth);
    return rc;
}
