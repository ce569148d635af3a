/* SPDX-License-Identifier: MIT */
/* Repository strings; see repo.h. */
#include "client/repo.h"

#include <stdio.h>
#include <string.h>

#include "format/name.h"

enum { DEFAULT_PORT = 8007 };

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Labels of letters, digits and inner hyphens, joined by dots; covers IPv4 (API-023, API-025). */
static bool is_dns_name(struct pbr_span s)
{
    bool label_open = false;
    for (size_t i = 0; i < s.len; i++) {
        const uint8_t c = s.ptr[i];
        const bool edge_before = i == 0 || s.ptr[i - 1] == '.';
        const bool edge_after = i + 1 == s.len || s.ptr[i + 1] == '.';
        if (c == '.' ? !label_open : !(is_alnum(c) || (c == '-' && !edge_before && !edge_after)))
            return false;
        label_open = c != '.';
    }
    return label_open;
}

static bool is_ipv6_in_brackets(struct pbr_span s)
{
    unsigned colons = 0;
    if (s.len < 4 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < s.len; i++) {
        const uint8_t c = s.ptr[i];
        const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!hex && c != ':' && c != '.')
            return false;
        colons += c == ':';
    }
    return colons >= 2;
}

static bool is_host(struct pbr_span s)
{
    return is_dns_name(s) || is_ipv6_in_brackets(s);
}

static const uint8_t *last_of(struct pbr_span s, char c)
{
    return s.len ? memrchr(s.ptr, c, s.len) : NULL;
}

bool pbr_repo_is_auth_id(struct pbr_span s)
{
    const uint8_t *at = last_of(s, '@');
    if (!at || s.len > 64 || at == s.ptr)
        return false;
    const struct pbr_span name = pbr_span(s.ptr, (size_t)(at - s.ptr));
    struct pbr_span realm = pbr_span(at + 1, s.len - name.len - 1);
    const uint8_t *bang = last_of(realm, '!');
    if (bang) {
        const size_t realm_len = (size_t)(bang - realm.ptr);
        if (!pbr_name_is_safe_id(pbr_span(bang + 1, realm.len - realm_len - 1)))
            return false;
        realm.len = realm_len;
    }
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] == ':' || name.ptr[i] == '/' || name.ptr[i] == 0x7f)
            return false;
    return realm.len >= 2 && realm.len <= 32 && pbr_name_is_safe_id(realm);
}

static void put(char *out, size_t cap, struct pbr_span in)
{
    (void)snprintf(out, cap, "%.*s", (int)in.len, (const char *)in.ptr);
}

/* `[auth-id@]server[:port]` in front of the last colon. */
static bool parse_server(struct pbr_span s, struct pbr_repo *r)
{
    const uint8_t *colon = last_of(s, ':');
    const uint8_t *bracket = last_of(s, ']');
    uint64_t port;
    const struct pbr_span digits = colon ? pbr_span_sub(s, (size_t)(colon - s.ptr) + 1, s.len) : pbr_span(NULL, 0);
    if (colon && (!bracket || colon > bracket) && digits.len <= 5 && pbr_parse_u64(digits, 0, 65535, &port)) {
        r->port = (uint16_t)port;
        s.len = (size_t)(colon - s.ptr);
        if (port == 0)
            return false;
    }
    const uint8_t *at = last_of(s, '@');
    if (at) {
        const struct pbr_span auth = pbr_span(s.ptr, (size_t)(at - s.ptr));
        if (!pbr_repo_is_auth_id(auth))
            return false;
        put(r->auth_id, sizeof(r->auth_id), auth);
        s = pbr_span(at + 1, s.len - auth.len - 1);
    }
    if (!is_host(s) || s.len >= sizeof(r->host))
        return false;
    put(r->host, sizeof(r->host), s);
    return true;
}

int pbr_repo_parse(struct pbr_span text, struct pbr_repo *ret, struct pbr_diag *diag)
{
    struct pbr_repo r = { 0 };
    if (pbr_span_starts(text, "dir:")) {
        const struct pbr_span path = pbr_span_sub(text, 4, text.len);
        if (path.len == 0 || path.len >= sizeof(r.dir) || memchr(path.ptr, 0, path.len))
            return pbr_fail_at(diag, PBR_E_ARG, NULL, "unusable directory in repository '%.*s'", (int)text.len,
                               (const char *)text.ptr);
        put(r.dir, sizeof(r.dir), path);
        *ret = r;
        return PBR_OK;
    }
    const uint8_t *colon = last_of(text, ':');
    const size_t before = colon ? (size_t)(colon - text.ptr) : 0;
    const struct pbr_span store = colon ? pbr_span(colon + 1, text.len - before - 1) : text;
    if (text.len > PBR_REPO_MAX || !pbr_name_is_safe_id(store) ||
        (colon && !parse_server(pbr_span(text.ptr, before), &r)))
        return pbr_fail_at(diag, PBR_E_ARG, "API-023",
                           "unable to parse repository url '%.*s' (expected [[auth-id@]server[:port]:]datastore or "
                           "dir:PATH)",
                           (int)(text.len > 300 ? 300 : text.len), (const char *)text.ptr);
    put(r.store, sizeof(r.store), store);
    *ret = r;
    return PBR_OK;
}

int pbr_repo_from_parts(const char *auth_id, const char *server, uint16_t port, const char *store,
                        struct pbr_repo *ret, struct pbr_diag *diag)
{
    struct pbr_repo r = { .port = port };
    char bracketed[256];
    if (!store[0])
        return pbr_fail_at(diag, PBR_E_ARG, "API-030", "--datastore is required when not using --repository");
    if (strchr(server, ':') && server[0] != '[') { /* a bare IPv6 address is put in brackets (API-030) */
        (void)snprintf(bracketed, sizeof(bracketed), "[%s]", server);
        server = bracketed;
    }
    if (auth_id[0] && !pbr_repo_is_auth_id(pbr_span_str(auth_id)))
        return pbr_fail_at(diag, PBR_E_ARG, "API-020", "'%s' is not a user or token id", auth_id);
    if (server[0] && (!is_host(pbr_span_str(server)) || strlen(server) >= sizeof(r.host)))
        return pbr_fail_at(diag, PBR_E_ARG, "API-023", "'%s' is not a server name or address", server);
    if (!pbr_name_is_safe_id(pbr_span_str(store)) || strlen(store) > PBR_REPO_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "API-023", "'%s' is not a datastore name", store);
    (void)snprintf(r.auth_id, sizeof(r.auth_id), "%s", auth_id);
    (void)snprintf(r.host, sizeof(r.host), "%s", server);
    (void)snprintf(r.store, sizeof(r.store), "%s", store);
    *ret = r;
    return PBR_OK;
}

const char *pbr_repo_auth_id(const struct pbr_repo *r)
{
    return r->auth_id[0] ? r->auth_id : "root@pam";
}

const char *pbr_repo_host(const struct pbr_repo *r)
{
    return r->host[0] ? r->host : "localhost";
}

uint16_t pbr_repo_port(const struct pbr_repo *r)
{
    return r->port ? r->port : DEFAULT_PORT;
}

bool pbr_repo_is_token(const struct pbr_repo *r)
{
    const char *at = strrchr(r->auth_id, '@');
    return at && strchr(at, '!');
}

void pbr_repo_format(const struct pbr_repo *r, char *out, size_t cap)
{
    if (r->dir[0])
        (void)snprintf(out, cap, "dir:%s", r->dir);
    else if (r->auth_id[0])
        (void)snprintf(out, cap, "%s@%s:%u:%s", r->auth_id, pbr_repo_host(r), pbr_repo_port(r), r->store);
    else if (r->port)
        (void)snprintf(out, cap, "%s:%u:%s", pbr_repo_host(r), r->port, r->store);
    else if (r->host[0])
        (void)snprintf(out, cap, "%s:%s", r->host, r->store);
    else
        (void)snprintf(out, cap, "%s", r->store);
}
