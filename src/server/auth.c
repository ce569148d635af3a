/* SPDX-License-Identifier: MIT */
/* Who asks: passwords, API tokens, tickets, and the `access/ticket` call [API section 5].
 *
 * Tickets are random texts kept in a table; the newest TICKETS_MAX are valid until they expire.
 * Thread: the server's. */
#include <stdio.h>
#include <string.h>

#include "server/server_int.h"

enum { TICKETS_MAX = 256, SEAL_BYTES = 48, SEAL_TEXT = SEAL_BYTES / 3 * 4, TEXT_MAX = 512 };

struct cred {
    char *id;
    struct pbr_secret secret;
};

struct ticket {
    const char *user; /* of a cred */
    int64_t time_s;
    char *text, *csrf; /* NULL: slot unused */
};

struct pbr_srv_auth {
    const struct pbr_env *env;
    struct cred *users, *tokens;
    size_t user_nr, token_nr;
    struct ticket tickets[TICKETS_MAX];
    size_t next_ticket;
};

/* ---- credentials ---- */

static void free_creds(const struct pbr_env *env, struct cred *creds, size_t nr)
{
    for (size_t i = 0; creds && i < nr; i++) {
        pbr_free(env, creds[i].id);
        pbr_secret_release(&creds[i].secret);
    }
    pbr_free(env, creds);
}

static int copy_creds(const struct pbr_env *env, const struct pbr_server_cred *in, size_t nr,
                      bool tokens, struct cred **ret, size_t *ret_nr, struct pbr_diag *diag)
{
    *ret = pbr_alloc(env, nr ? nr : 1, sizeof(**ret));
    *ret_nr = nr;
    if (!*ret)
        return PBR_E_NOMEM;
    for (size_t i = 0; i < nr; i++) {
        const struct pbr_span id = pbr_span_str(in[i].id);
        bool is_token;
        (void)pbr_authid_user(id, &is_token);
        if (!pbr_authid_ok(id) || is_token != tokens)
            return pbr_fail_at(diag, PBR_E_ARG, "API-020", "'%s' is no %s id", in[i].id,
                               tokens ? "token" : "user");
        (*ret)[i].id = pbr_strdup(env, in[i].id);
        if (!(*ret)[i].id || pbr_secret_set(&(*ret)[i].secret, env, pbr_span_str(in[i].secret)) < 0)
            return PBR_E_NOMEM;
    }
    return PBR_OK;
}

int pbr_srv_auth_new(struct pbr_server *s, const struct pbr_server_opts *opts,
                     struct pbr_diag *diag)
{
    struct pbr_srv_auth *a = pbr_alloc(&s->env, 1, sizeof(*a));

    if (!a)
        return PBR_E_NOMEM;
    s->auth = a;
    a->env = &s->env;
    int rc = copy_creds(a->env, opts->users, opts->user_nr, false, &a->users, &a->user_nr, diag);
    if (rc == PBR_OK)
        rc = copy_creds(a->env, opts->tokens, opts->token_nr, true, &a->tokens, &a->token_nr, diag);
    return rc;
}

static void drop_ticket(struct pbr_srv_auth *a, struct ticket *t)
{
    if (t->text)
        pbr_wipe(t->text, strlen(t->text));
    pbr_free(a->env, t->text);
    pbr_free(a->env, t->csrf);
    *t = (struct ticket){ 0 };
}

void pbr_srv_auth_free(struct pbr_srv_auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < TICKETS_MAX; i++)
        drop_ticket(a, &a->tickets[i]);
    free_creds(a->env, a->users, a->user_nr);
    free_creds(a->env, a->tokens, a->token_nr);
    pbr_free(a->env, a);
}

static const struct cred *find_cred(const struct cred *creds, size_t nr, struct pbr_span id)
{
    for (size_t i = 0; i < nr; i++)
        if (pbr_span_eq_str(id, creds[i].id))
            return &creds[i];
    return NULL;
}

/* In time that depends on the length only. */
static bool same_secret(struct pbr_span a, struct pbr_span b)
{
    uint8_t differ = a.len != b.len;

    for (size_t i = 0; i < a.len && i < b.len; i++)
        differ |= a.ptr[i] ^ b.ptr[i];
    return differ == 0;
}

bool pbr_srv_auth_knows(const struct pbr_server *s, struct pbr_span auth_id)
{
    return s->no_auth || pbr_span_eq_str(auth_id, "root@pam") ||
           find_cred(s->auth->users, s->auth->user_nr, auth_id) ||
           find_cred(s->auth->tokens, s->auth->token_nr, auth_id);
}

json_t *pbr_srv_auth_users(const struct pbr_server *s, bool with_tokens)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < s->auth->user_nr; i++) {
        json_t *user = json_pack("{s:s, s:b}", "userid", s->auth->users[i].id, "enable", 1);
        json_t *tokens = json_array();
        for (size_t k = 0; k < s->auth->token_nr; k++) {
            const struct pbr_span id = pbr_span_str(s->auth->tokens[k].id);
            if (pbr_span_eq_str(pbr_authid_user(id, NULL), s->auth->users[i].id))
                (void)json_array_append_new(tokens,
                                            json_pack("{s:s}", "tokenid", s->auth->tokens[k].id));
        }
        if (with_tokens)
            (void)json_object_set(user, "tokens", tokens);
        json_decref(tokens);
        (void)json_array_append_new(list, user);
    }
    return list;
}

/* ---- tickets ---- */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int random_text(const struct pbr_env *env, char out[SEAL_TEXT + 1])
{
    uint8_t raw[SEAL_TEXT];

    if (env->random(env->ctx, raw, sizeof(raw)) < 0)
        return PBR_E_IO;
    for (size_t i = 0; i < SEAL_TEXT; i++)
        out[i] = base64[raw[i] & 63];
    out[SEAL_TEXT] = '\0';
    return PBR_OK;
}

static int new_ticket(struct pbr_server *s, const struct cred *user, const struct ticket **ret)
{
    struct pbr_srv_auth *a = s->auth;
    struct ticket *t = &a->tickets[a->next_ticket];
    char seal[SEAL_TEXT + 1], csrf_seal[SEAL_TEXT + 1];
    struct pbr_buf text;
    const int64_t now = pbr_srv_now_s(s);

    pbr_buf_init(&text, a->env, TEXT_MAX);
    if (random_text(a->env, seal) < 0 || random_text(a->env, csrf_seal) < 0 ||
        pbr_ticket_emit(pbr_span_str(user->id), now, pbr_span_str(seal), &text) < 0) {
        pbr_buf_release(&text);
        return PBR_E_NOMEM;
    }
    drop_ticket(a, t);
    t->text = pbr_strndup(a->env, pbr_buf_span(&text));
    t->csrf = pbr_asprintf(a->env, "%08" PRIX64 ":%s", (uint64_t)now, csrf_seal);
    pbr_buf_release(&text);
    if (!t->text || !t->csrf) {
        drop_ticket(a, t);
        return PBR_E_NOMEM;
    }
    t->user = user->id;
    t->time_s = now;
    a->next_ticket = (a->next_ticket + 1) % TICKETS_MAX;
    *ret = t;
    return PBR_OK;
}

static const struct ticket *find_ticket(const struct pbr_server *s, struct pbr_span text)
{
    const struct ticket *found = NULL;

    for (size_t i = 0; i < TICKETS_MAX; i++) {
        const struct ticket *t = &s->auth->tickets[i];
        if (t->text && same_secret(text, pbr_span_str(t->text)) &&
            pbr_ticket_fresh(t->time_s, pbr_srv_now_s(s)))
            found = t;
    }
    return found;
}

/* ---- requests ---- */

/* Percent-decodes into `out`; false if it does not fit. */
static bool decode(const struct pbr_env *env, struct pbr_span in, struct pbr_buf *out)
{
    pbr_buf_init(out, env, TEXT_MAX);
    return pbr_percent_decode(in, out) == PBR_OK;
}

static const char *check_cookie(struct pbr_server *s, const struct pbr_http1 *req,
                                struct pbr_span value)
{
    const char *csrf = pbr_http1_get(req, "csrfpreventiontoken");
    const char *user = NULL;
    struct pbr_buf text;

    if (decode(&s->env, value, &text)) {
        const struct ticket *t = find_ticket(s, pbr_buf_span(&text));
        if (t &&
            (strcmp(req->method, "GET") == 0 || (csrf && strcmp(csrf, t->csrf) == 0))) /* API-076 */
            user = t->user;
    }
    pbr_buf_release(&text);
    return user;
}

static const char *check_token(struct pbr_server *s, struct pbr_span id, struct pbr_span secret)
{
    const struct cred *token = find_cred(s->auth->tokens, s->auth->token_nr, id);
    struct pbr_buf text;
    bool ok = false;

    if (decode(&s->env, secret, &text))
        ok = token &&
             same_secret(pbr_buf_span(&text), pbr_span(token->secret.ptr, token->secret.len));
    pbr_buf_release(&text);
    return ok ? token->id : NULL;
}

const char *pbr_srv_auth_check(struct pbr_server *s, const struct pbr_http1 *req)
{
    const char *cookies = pbr_http1_get(req, "cookie"),
               *header = pbr_http1_get(req, "authorization");
    struct pbr_span value, id, secret;

    if (s->no_auth)
        return "root@pam";
    if (cookies && (pbr_cookie_find(pbr_span_str(cookies), "__Host-PBSAuthCookie", &value) ||
                    pbr_cookie_find(pbr_span_str(cookies), "PBSAuthCookie", &value)))
        return check_cookie(s, req, value); /* also if a token would be good [API-081] */
    if (header && pbr_token_header_parse(pbr_span_str(header), &id, &secret))
        return check_token(s, id, secret);
    return NULL;
}

static bool password_ok(struct pbr_server *s, const struct cred *user, struct pbr_span password)
{
    if (pbr_span_starts(password, "PBS:")) { /* a ticket [API-061] */
        const struct ticket *t = find_ticket(s, password);
        return t && t->user == user->id;
    }
    return same_secret(password, pbr_span(user->secret.ptr, user->secret.len));
}

int pbr_srv_auth_login(struct pbr_srv_call *call, struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    struct pbr_server *s = call->conn->srv;
    const struct pbr_param *password = pbr_params_get(&call->params, "password");
    const struct cred *user =
        find_cred(s->auth->users, s->auth->user_nr, pbr_params_str(&call->params, "username"));
    const struct ticket *t = NULL;

    if (!password->set)
        return pbr_fail_at(diag, PBR_E_ARG, "API-064", "no password provided");
    if (!user || !password_ok(s, user, password->str)) {
        diag->status = 401;
        return pbr_fail_at(diag, PBR_E_REMOTE, "API-064", "permission check failed.");
    }
    const int rc = new_ticket(s, user, &t);
    if (rc < 0)
        return rc;
    json_t *data = json_pack("{s:s, s:s, s:s}", "CSRFPreventionToken", t->csrf, "ticket", t->text,
                             "username", t->user);
    if (pbr_params_flag(&call->params, "http-only", false)) { /* API-063 */
        (void)snprintf(
            r->extra, sizeof(r->extra),
            "set-cookie: __Host-PBSAuthCookie=%s; Secure; SameSite=Lax; HttpOnly; Path=/;\r\n",
            t->text);
        (void)json_object_del(data, "ticket");
        (void)json_object_set_new(data, "ticket-info", json_string("PBS ticket in cookie"));
    }
    json_t *whole = json_pack("{s:o, s:i, s:b}", "data", data, "status", 200, "success", 1);
    const int done = pbr_srv_reply_json(r, whole);
    r->content_type = "application/json";
    return done;
}
