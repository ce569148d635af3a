/* SPDX-License-Identifier: MIT */
/* pbsref inspect of archives: every entry with its attributes and the digest of its contents (read from start to end), the
 * items of the stream (--items), or entries found by goodbye tables (--lookup). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "archive/access.h"
#include "archive/read.h"
#include "cli/inspect.h"
#include "sys/fd.h"

enum { READ_BUFFER = 1 << 20 };

/* ---- an entry as a view ---- */

static int put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value);
}

static const char *kind_of(const struct pbr_pxar_entry *e)
{
    switch (e->kind) {
    case PBR_KIND_DIR: return "dir";
    case PBR_KIND_FILE: return "file";
    case PBR_KIND_SYMLINK: return "symlink";
    case PBR_KIND_DEVICE: return (e->meta.mode & ~(uint64_t)PBR_MODE_PERM) == PBR_MODE_BLOCK ? "blockdev" : "chardev";
    case PBR_KIND_FIFO: return "fifo";
    case PBR_KIND_SOCKET: return "socket";
    case PBR_KIND_HARDLINK: return "hardlink";
    case PBR_KIND_APPENDIX_REF: return "appendix-ref";
    }
    return "unknown";
}

static int put_acl_ids(json_t *acl, const char *name, const struct pbr_pxar_acl_id *ids, size_t n)
{
    json_t *list = n ? json_array() : NULL;
    if (!n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_pack("[o, o]", pbr_view_u64(ids[i].id), pbr_view_u64(ids[i].perm))) != 0)
            break;
    return put(acl, name, list);
}

static json_t *acl_view(const struct pbr_pxar_meta *m)
{
    json_t *acl = json_object();
    int rc = put_acl_ids(acl, "users", m->acl_users, m->acl_user_nr);
    rc |= put_acl_ids(acl, "groups", m->acl_groups, m->acl_group_nr);
    rc |= put_acl_ids(acl, "default_users", m->acl_default_users, m->acl_default_user_nr);
    rc |= put_acl_ids(acl, "default_groups", m->acl_default_groups, m->acl_default_group_nr);
    if (m->has_acl_group_obj)
        rc |= put(acl, "group_obj", pbr_view_u64(m->acl_group_obj));
    if (m->has_acl_default)
        rc |= put(acl, "default",
                  json_pack("[o, o, o, o]", pbr_view_u64(m->acl_default.user_obj), pbr_view_u64(m->acl_default.group_obj),
                            pbr_view_u64(m->acl_default.other), pbr_view_u64(m->acl_default.mask)));
    if (rc == 0)
        return acl;
    json_decref(acl);
    return NULL;
}

static int put_xattrs(const struct pbr_env *env, json_t *entry, const struct pbr_pxar_meta *m)
{
    json_t *xattrs = json_object();
    for (size_t i = 0; i < m->xattr_nr; i++) {
        json_t *name = pbr_view_name(env, m->xattrs[i].name);
        const int rc = name ? put(xattrs, json_string_value(name), pbr_view_hex(m->xattrs[i].value)) : -1;
        json_decref(name);
        if (rc != 0) {
            json_decref(xattrs);
            return -1;
        }
    }
    return put(entry, "xattrs", xattrs);
}

/* Everything that an ENTRY and its attributes say. */
static int put_meta(const struct pbr_env *env, json_t *entry, const struct pbr_pxar_meta *m)
{
    int rc = put(entry, "mode", json_sprintf("%04" PRIo64, m->mode & PBR_MODE_PERM));
    rc |= put(entry, "uid", pbr_view_u64(m->uid));
    rc |= put(entry, "gid", pbr_view_u64(m->gid));
    rc |= put(entry, "mtime", json_sprintf("%" PRId64 ".%09" PRIu32, m->mtime_s, m->mtime_ns));
    if (m->flags)
        rc |= put(entry, "flags", pbr_view_u64(m->flags));
    if (m->xattr_nr)
        rc |= put_xattrs(env, entry, m);
    if (m->has_fcaps)
        rc |= put(entry, "fcaps", pbr_view_hex(m->fcaps));
    if (m->has_projid && m->projid)
        rc |= put(entry, "projid", pbr_view_u64(m->projid));
    if (m->acl_user_nr || m->acl_group_nr || m->acl_default_user_nr || m->acl_default_group_nr || m->has_acl_group_obj ||
        m->has_acl_default)
        rc |= put(entry, "acl", acl_view(m));
    return rc;
}

/* `digest` NULL: contents were not read. NULL if there is no memory. */
static json_t *entry_view(const struct pbr_env *env, const struct pbr_pxar_entry *e, struct pbr_span path,
                          const uint8_t *digest)
{
    json_t *entry = json_object();
    int rc = put(entry, "path", pbr_view_name(env, path));
    rc |= put(entry, "kind", json_string(kind_of(e)));
    if (e->kind != PBR_KIND_HARDLINK && e->kind != PBR_KIND_APPENDIX_REF)
        rc |= put_meta(env, entry, &e->meta);
    if (e->kind == PBR_KIND_FILE || e->kind == PBR_KIND_APPENDIX_REF)
        rc |= put(entry, "size", pbr_view_u64(e->size));
    if (digest)
        rc |= put(entry, "sha256", pbr_view_hex(pbr_span(digest, PBR_DIGEST_LEN)));
    if (e->kind == PBR_KIND_SYMLINK || e->kind == PBR_KIND_HARDLINK)
        rc |= put(entry, "target", pbr_view_name(env, e->target));
    if (e->kind == PBR_KIND_DEVICE)
        rc |= put(entry, "device", json_pack("[o, o]", pbr_view_u64(e->major), pbr_view_u64(e->minor)));
    if (rc == 0)
        return entry;
    json_decref(entry);
    return NULL;
}

/* ---- from start to end ---- */

struct streams {
    struct pbr_stream archive, payload;
    bool has_archive, has_payload;
};

static int open_stream(struct pbr_inspect *in, const char *path, struct pbr_stream *ret, struct pbr_diag *diag)
{
    int fd = pbr_openat(AT_FDCWD, path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s", path);
    const int rc = pbr_stream_fd(&in->cli->env, fd, true, READ_BUFFER, path, ret, diag);
    if (rc < 0)
        pbr_close(&fd);
    return rc;
}

static void close_streams(struct streams *s)
{
    if (s->has_payload)
        pbr_stream_close(&s->payload);
    if (s->has_archive)
        pbr_stream_close(&s->archive);
}

static int open_streams(struct pbr_inspect *in, struct streams *s, struct pbr_diag *diag)
{
    const char *payload = pbr_args_text(in->args, "payload-input");
    *s = (struct streams){ 0 };
    int rc = open_stream(in, in->path, &s->archive, diag);
    s->has_archive = rc == PBR_OK;
    if (rc == PBR_OK && payload) {
        rc = open_stream(in, payload, &s->payload, diag);
        s->has_payload = rc == PBR_OK;
    }
    if (rc < 0)
        close_streams(s);
    return rc;
}

static int digest_contents(struct pbr_reader *r, struct pbr_sha256 *hash, uint8_t out[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_span piece;
        int rc = pbr_reader_content(r, &piece, diag);
        if (rc < 0)
            return rc;
        rc = piece.len ? pbr_sha256_update(hash, piece) : pbr_sha256_result(hash, out);
        if (rc < 0)
            return pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
        if (!piece.len)
            return PBR_OK;
    }
}

static int show_entry(struct pbr_inspect *in, struct pbr_reader *r, const struct pbr_pxar_entry *e, bool contents,
                      struct pbr_diag *diag)
{
    uint8_t digest[PBR_DIGEST_LEN];
    const struct pbr_env *env = &in->cli->env;
    const struct pbr_span path = pbr_reader_path(r);
    const bool read = contents && e->kind == PBR_KIND_FILE;
    int rc = PBR_OK;
    if (read) {
        struct pbr_sha256 *hash;
        if (pbr_sha256_new(env, &hash) < 0)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a digest");
        rc = digest_contents(r, hash, digest, diag);
        pbr_sha256_free(hash);
    }
    if (rc < 0)
        return rc;
    return pbr_view_item(&in->view, entry_view(env, e, pbr_span_sub(path, 1, path.len), read ? digest : NULL), diag);
}

/* The version, the prelude and the entries in the order of the archive. */
static int show_events(struct pbr_inspect *in, struct pbr_reader *r, bool contents, struct pbr_diag *diag)
{
    struct pbr_pxar_event ev;
    bool listed = false, versioned = false;
    for (;;) {
        int rc = pbr_reader_next(r, &ev, diag);
        if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_VERSION) {
            versioned = true;
            rc = pbr_view_member(&in->view, "version", pbr_view_u64(ev.version), diag);
        } else if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_PRELUDE) {
            rc = pbr_view_member(&in->view, "prelude", pbr_view_hex(ev.data), diag);
        } else if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_ENTRY) {
            if (!versioned)
                rc = pbr_view_member(&in->view, "version", json_string("1"), diag);
            if (!listed)
                pbr_view_list(&in->view, "entries");
            versioned = listed = true;
            if (rc == PBR_OK)
                rc = show_entry(in, r, &ev.entry, contents, diag);
        }
        if (rc < 0 || ev.ev == PBR_PXAR_EV_END) {
            if (listed)
                pbr_view_list_end(&in->view);
            return rc;
        }
    }
}

static int nothing_behind(struct pbr_reader *r, struct pbr_stream *archive, struct pbr_diag *diag)
{
    struct pbr_span rest;
    const int rc = pbr_stream_peek(archive, &rest, diag);
    if (rc == PBR_OK && rest.len)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-036", pbr_reader_pos(r), "bytes behind the end of the archive");
    return rc;
}

static int show_entries(struct pbr_inspect *in, struct pbr_diag *diag)
{
    struct streams s;
    struct pbr_reader *r = NULL;
    int rc = open_streams(in, &s, diag);
    if (rc < 0)
        return rc;
    const bool contents = s.has_payload || !pbr_span_ends(pbr_span_str(in->path), ".mpxar");
    const struct pbr_reader_opts opts = { .meta_only = !contents };
    rc = pbr_reader_open_opts(&in->cli->env, &s.archive, s.has_payload ? &s.payload : NULL, &opts, &r, diag);
    if (rc == PBR_OK)
        rc = show_events(in, r, contents, diag);
    if (rc == PBR_OK)
        rc = nothing_behind(r, &s.archive, diag);
    pbr_reader_free(r);
    close_streams(&s);
    return rc;
}

/* ---- items ---- */

static int show_items(struct pbr_inspect *in, struct pbr_diag *diag)
{
    struct streams s;
    struct pbr_reader *r = NULL;
    struct pbr_pxar_event ev = { 0 };
    const struct pbr_reader_opts opts = { .meta_only = true, .items = true };
    int rc = open_stream(in, in->path, &s.archive, diag);
    if (rc < 0)
        return rc;
    rc = pbr_reader_open_opts(&in->cli->env, &s.archive, NULL, &opts, &r, diag);
    pbr_view_list(&in->view, "items");
    while (rc == PBR_OK && ev.ev != PBR_PXAR_EV_END) {
        rc = pbr_reader_next(r, &ev, diag);
        if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_ITEM)
            rc = pbr_view_item(&in->view,
                               json_pack("{s:o, s:o, s:s}", "offset", pbr_view_u64(ev.pos), "size", pbr_view_u64(ev.size),
                                         "type", pbr_pxar_type_name(ev.htype)), diag);
    }
    pbr_view_list_end(&in->view);
    pbr_reader_free(r);
    pbr_stream_close(&s.archive);
    return rc;
}

/* ---- by goodbye tables ---- */

static int digest_range(const struct pbr_access_content *c, struct pbr_sha256 *hash, uint8_t *buf, uint8_t out[PBR_DIGEST_LEN],
                        struct pbr_diag *diag)
{
    for (uint64_t off = 0;;) {
        size_t len;
        int rc = pbr_access_content_read(c, off, buf, READ_BUFFER, &len, diag);
        if (rc < 0)
            return rc;
        rc = len ? pbr_sha256_update(hash, pbr_span(buf, len)) : pbr_sha256_result(hash, out);
        if (rc < 0)
            return pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
        if (!len)
            return PBR_OK;
        off += len;
    }
}

static int digest_found(struct pbr_inspect *in, struct pbr_access *a, const struct pbr_access_entry *e,
                        uint8_t out[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    const struct pbr_env *env = &in->cli->env;
    struct pbr_access_content content;
    struct pbr_sha256 *hash = NULL;
    uint8_t *buf = pbr_realloc(env, NULL, READ_BUFFER);
    int rc = buf && pbr_sha256_new(env, &hash) == PBR_OK ? PBR_OK
                                                        : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a digest");
    if (rc == PBR_OK)
        rc = pbr_access_content(a, e, &content, diag);
    if (rc == PBR_OK)
        rc = digest_range(&content, hash, buf, out, diag);
    pbr_sha256_free(hash);
    pbr_free(env, buf);
    return rc;
}

static int show_found(struct pbr_inspect *in, struct pbr_access *a, const char *path, struct pbr_diag *diag)
{
    struct pbr_access_entry *e;
    struct pbr_diag own = { 0 };
    uint8_t digest[PBR_DIGEST_LEN];
    int rc = path[0] ? pbr_access_lookup(a, pbr_span_str(path), &e, &own) : pbr_access_root(a, &e, &own);
    if (rc == PBR_E_NOENT) /* "..", or below what is no directory, is an error [PXAR-271] */
        return pbr_view_item(&in->view, json_null(), diag);
    if (rc < 0) {
        *diag = own;
        return rc;
    }
    const bool file = e->entry.kind == PBR_KIND_FILE;
    rc = file ? digest_found(in, a, e, digest, diag) : PBR_OK;
    if (rc == PBR_OK)
        rc = pbr_view_item(&in->view, entry_view(&in->cli->env, &e->entry, pbr_span_str(path), file ? digest : NULL), diag);
    pbr_access_entry_free(e);
    return rc;
}

static int show_lookups(struct pbr_inspect *in, struct pbr_diag *diag)
{
    const char *const *paths;
    const size_t n = pbr_args_list(in->args, "lookup", &paths);
    const char *payload_path = pbr_args_text(in->args, "payload-input");
    struct pbr_source archive = { 0 }, payload = { 0 };
    struct pbr_access *a = NULL;
    int rc = pbr_source_open(&in->cli->env, AT_FDCWD, in->path, &archive, diag);
    if (rc < 0)
        return rc;
    if (payload_path)
        rc = pbr_source_open(&in->cli->env, AT_FDCWD, payload_path, &payload, diag);
    if (rc == PBR_OK)
        rc = pbr_access_open(&in->cli->env, &archive, payload_path ? &payload : NULL, &a, diag);
    pbr_view_list(&in->view, "found");
    for (size_t i = 0; i < n && rc == PBR_OK; i++)
        rc = show_found(in, a, paths[i], diag);
    pbr_view_list_end(&in->view);
    pbr_access_free(a);
    if (payload.ctx)
        pbr_source_close(&payload);
    pbr_source_close(&archive);
    return rc;
}

int pbr_inspect_archive(struct pbr_inspect *in, struct pbr_diag *diag)
{
    if (pbr_args_has(in->args, "lookup"))
        return show_lookups(in, diag);
    return pbr_args_bool(in->args, "items") ? show_items(in, diag) : show_entries(in, diag);
}
