/* SPDX-License-Identifier: MIT */
/* Ticket and fingerprint files; see cache.h. */
#include "cli/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/manifest.h"
#include "sys/fd.h"

enum { TICKET_LIFE_S = 7140, FILE_MAX_BYTES = 1 << 20 }; /* API-045 */

/* ---- files ---- */

static bool ticket_path(char *out, size_t cap)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    if (!dir || !dir[0])
        return false;
    const int n = snprintf(out, cap, "%s/proxmox-backup/tickets", dir);
    return n > 0 && (size_t)n < cap;
}

const char *pbr_config_dir(char *buf)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    if (config && config[0])
        return config;
    if (!home || !home[0] || snprintf(buf, 4096, "%s/.config", home) >= 4096)
        return NULL;
    return buf;
}

static bool fingerprint_path(char *out, size_t cap)
{
    char buf[4096];
    const char *dir = pbr_config_dir(buf);
    const int n = dir ? snprintf(out, cap, "%s/proxmox-backup/fingerprints", dir) : -1;
    return n > 0 && (size_t)n < cap;
}

void pbr_make_parents(const char *path, const char *base)
{
    char dir[4096];
    (void)snprintf(dir, sizeof(dir), "%s", path);
    for (char *slash = strchr(dir + strlen(base) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(dir, 0700); /* exists mostly */
        *slash = '/';
    }
}

static void write_file(const struct pbr_env *env, const char *path, const char *base, struct pbr_span text)
{
    struct pbr_publish out;
    struct pbr_diag diag = { 0 };
    pbr_make_parents(path, base);
    int rc = pbr_publish_open(&out, env, AT_FDCWD, path, 0600, &diag);
    if (rc == PBR_OK)
        rc = pbr_write_all(out.fd, text, path, &diag);
    if (rc == PBR_OK)
        rc = pbr_publish_commit(&out, true, &diag);
    pbr_publish_abort(&out);
    if (rc < 0)
        pbr_log(env, PBR_LOG_DEBUG, "storing login data failed: %s", diag.text);
}

/* ---- tickets: {"host":{"user":{"timestamp":n,"ticket":"..","token":".."}}} ---- */

static json_t *load_tickets(const struct pbr_env *env, const char *path)
{
    struct pbr_buf text;
    json_t *root = NULL;
    if (pbr_load_file(env, AT_FDCWD, path, FILE_MAX_BYTES, &text, NULL) == PBR_OK) {
        if (pbr_json_parse(pbr_buf_span(&text), &root, NULL) < 0 || !json_is_object(root)) {
            json_decref(root);
            root = NULL;
        }
        pbr_wipe(text.ptr, text.len);
        pbr_buf_release(&text);
    }
    return root ? root : json_object();
}

static bool is_fresh(const struct pbr_env *env, const json_t *entry)
{
    const int64_t age = env->now_s(env->ctx) - json_integer_value(json_object_get(entry, "timestamp"));
    return age > -300 && age < TICKET_LIFE_S;
}

bool pbr_cache_ticket(const struct pbr_env *env, const char *host, const char *auth_id, struct pbr_secret *ret)
{
    char path[4096];
    if (!ticket_path(path, sizeof(path)))
        return false;
    json_t *root = load_tickets(env, path);
    const json_t *entry = json_object_get(json_object_get(root, host), auth_id);
    const char *ticket = json_string_value(json_object_get(entry, "ticket"));
    const bool found = ticket && is_fresh(env, entry) && pbr_secret_set(ret, env, pbr_span_str(ticket)) == PBR_OK;
    json_decref(root);
    return found;
}

static void drop_stale(const struct pbr_env *env, json_t *root)
{
    const char *host, *user;
    json_t *users, *entry;
    void *next_host, *next_user;
    json_object_foreach_safe(root, next_host, host, users) {
        json_object_foreach_safe(users, next_user, user, entry) {
            if (!is_fresh(env, entry))
                json_object_del(users, user);
        }
    }
}

bool pbr_cache_store_ticket(const struct pbr_env *env, const char *host, const char *auth_id,
                            const struct pbr_secret *ticket, const struct pbr_secret *csrf)
{
    char path[4096];
    if (!ticket_path(path, sizeof(path)))
        return false;
    json_t *root = load_tickets(env, path);
    drop_stale(env, root);
    json_t *users = json_object_get(root, host);
    const bool had = json_object_get(users, auth_id) != NULL;
    if (!ticket)
        json_object_del(users, auth_id);
    else {
        if (!json_is_object(users)) {
            json_object_set_new(root, host, json_object());
            users = json_object_get(root, host);
        }
        json_object_set_new(users, auth_id,
                            json_pack("{s:I, s:s, s:s}", "timestamp", (json_int_t)env->now_s(env->ctx), "ticket",
                                      (const char *)ticket->ptr, "token", (const char *)csrf->ptr));
    }
    char *text = had || ticket ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (text) {
        write_file(env, path, getenv("XDG_RUNTIME_DIR"), pbr_span_str(text));
        pbr_json_text_free(text);
    }
    json_decref(root);
    return had;
}

/* ---- fingerprints: "host fingerprint" lines ---- */

static bool next_pair(struct pbr_span *text, struct pbr_span *host, struct pbr_span *fingerprint)
{
    while (text->len) {
        const uint8_t *end = memchr(text->ptr, '\n', text->len);
        const struct pbr_span line = pbr_span(text->ptr, end ? (size_t)(end - text->ptr) : text->len);
        *text = pbr_span_sub(*text, line.len + 1, text->len);
        const uint8_t *space = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
        if (!space)
            continue;
        *host = pbr_span(line.ptr, (size_t)(space - line.ptr));
        *fingerprint = pbr_span_sub(line, host->len + 1, line.len);
        if (host->len && fingerprint->len == 95)
            return true;
    }
    return false;
}

bool pbr_cache_fingerprint(const struct pbr_env *env, const char *host, char ret[96])
{
    char path[4096];
    struct pbr_buf text;
    bool found = false;
    if (!fingerprint_path(path, sizeof(path)) ||
        pbr_load_file(env, AT_FDCWD, path, FILE_MAX_BYTES, &text, NULL) < 0)
        return false;
    struct pbr_span rest = pbr_buf_span(&text), name, value;
    while (!found && next_pair(&rest, &name, &value)) {
        found = pbr_span_eq_str(name, host);
        if (found)
            (void)snprintf(ret, 96, "%.*s", (int)value.len, (const char *)value.ptr);
    }
    pbr_buf_release(&text);
    return found;
}

void pbr_cache_store_fingerprint(const struct pbr_env *env, const char *host, const char *fingerprint)
{
    char path[4096];
    struct pbr_buf old, text;
    if (!fingerprint_path(path, sizeof(path)))
        return;
    if (pbr_load_file(env, AT_FDCWD, path, FILE_MAX_BYTES, &old, NULL) < 0)
        pbr_buf_init(&old, env, 0);
    pbr_buf_init(&text, env, FILE_MAX_BYTES);
    struct pbr_span rest = pbr_buf_span(&old), name, value;
    int rc = PBR_OK;
    while (rc == PBR_OK && next_pair(&rest, &name, &value))
        if (!pbr_span_eq_str(name, host))
            rc = pbr_buf_printf(&text, "%.*s %.*s\n", (int)name.len, (const char *)name.ptr, (int)value.len,
                                (const char *)value.ptr);
    if (rc == PBR_OK)
        rc = pbr_buf_printf(&text, "%s %s\n", host, fingerprint);
    if (rc == PBR_OK) {
        char buf[4096];
        const char *dir = pbr_config_dir(buf);
        (void)mkdir(dir, 0700); /* exists mostly */
        write_file(env, path, dir, pbr_buf_span(&text));
    }
    pbr_buf_release(&old);
    pbr_buf_release(&text);
}
