/* SPDX-License-Identifier: MIT */
/* Check of a snapshot through a reader session; see check.h. */
#include "client/check.h"

#include <stdio.h>
#include <string.h>

#include "client/check_int.h"
#include "format/profile.h"

/* One file that the manifest lists. */
struct item {
    const struct pbr_manifest_file *listed;
    enum pbr_file_type type;
    size_t file;  /* its record */
    bool done;
};

struct run {
    struct check c;
    struct pbr_link *link;
    struct pbr_manifest manifest;
    bool has_manifest;
    struct item *items;
    size_t item_nr;
    struct check_remote catalog_index;
    struct pbr_source catalog_src;
    struct check_catalog catalog;
    bool has_catalog;
};

static struct item *find_item(struct run *r, const char *name)
{
    for (size_t i = 0; i < r->item_nr; i++)
        if (strcmp(r->items[i].listed->name, name) == 0)
            return &r->items[i];
    return NULL;
}

/* ---- files of the snapshot ---- */

/* 1 and the bytes, or 0: the server does not have the file, which was reported. */
static int fetch(struct run *r, size_t file, const char *name, struct pbr_buf *ret, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    const struct check_where at = { .file = file };
    int rc = pbr_session_fetch(r->link, PBR_FETCH_READER, name, ret, &cause);
    if (rc == PBR_OK)
        return 1;
    rc = check_found(&r->c, CHECK_FILE_MISSING, &at, rc, &cause, diag);
    return rc;
}

/* 1 and a part, or 0: reported. */
static int load_index(struct run *r, struct item *it, struct check_remote *ret, struct pbr_diag *diag)
{
    struct pbr_fetched_index ix = { .crypt_mode = it->listed->crypt_mode };
    bool ok = false;
    int rc = fetch(r, it->file, it->listed->name, &ix.file, diag);
    if (rc <= 0)
        return rc;
    rc = check_index_bytes(&r->c, it->file, pbr_buf_span(&ix.file), it->listed, &ix.index, &ok, diag);
    if (rc < 0 || !ok) {
        pbr_buf_release(&ix.file);
        return rc;
    }
    check_remote_init(ret, &r->c, r->link, it->file, &ix);
    return 1;
}

static int check_blob(struct run *r, struct item *it, struct pbr_diag *diag)
{
    struct pbr_buf raw;
    int rc = fetch(r, it->file, it->listed->name, &raw, diag);
    if (rc <= 0)
        return rc;
    rc = check_blob_bytes(&r->c, it->file, pbr_buf_span(&raw), it->listed, diag);
    pbr_buf_release(&raw);
    return rc;
}

/* Chunks alone: images, and streams whose structure cannot be judged. */
static int check_plain(struct run *r, struct item *it, struct pbr_diag *diag)
{
    struct check_remote x;
    int rc = load_index(r, it, &x, diag);
    if (rc <= 0)
        return rc;
    rc = r->c.opts->metadata_only ? PBR_OK : check_chunks(&x, diag);
    check_remote_release(&x);
    return rc;
}

/* ---- catalog ---- */

static int open_catalog(struct run *r, struct pbr_diag *diag)
{
    struct item *it = find_item(r, "catalog.pcat1.didx");
    if (!it)
        return PBR_OK;
    it->done = true;
    int rc = load_index(r, it, &r->catalog_index, diag);
    if (rc <= 0)
        return rc;
    rc = check_chunks(&r->catalog_index, diag);
    if (rc == PBR_OK)
        rc = r->catalog_index.part.open_source(&r->catalog_index, &r->catalog_src, diag);
    if (rc < 0) {
        check_remote_release(&r->catalog_index);
        return rc;
    }
    r->has_catalog = true;
    return check_catalog_open(&r->catalog, &r->c, it->file, &r->catalog_src, diag);
}

static bool is_archive(void *ctx, struct pbr_span name)
{
    struct run *r = ctx;
    for (size_t i = 0; i < r->item_nr; i++)
        if (pbr_span_eq_str(name, r->items[i].listed->name))
            return true;
    return false;
}

static void close_catalog(struct run *r)
{
    if (!r->has_catalog)
        return;
    check_catalog_close(&r->catalog);
    pbr_source_close(&r->catalog_src);
    check_remote_release(&r->catalog_index);
}

/* ---- archives ---- */

static int check_single(struct run *r, struct item *it, struct pbr_diag *diag)
{
    struct check_remote x;
    int rc = load_index(r, it, &x, diag);
    if (rc <= 0)
        return rc;
    x.part.skips = r->c.opts->metadata_only;
    rc = check_archive(&r->c, &x.part, NULL, r->has_catalog ? &r->catalog : NULL, it->listed->name, diag);
    check_remote_release(&x);
    return rc;
}

static int check_pair(struct run *r, struct item *meta, struct item *payload, bool draft, struct pbr_diag *diag)
{
    struct check_remote m, p;
    const struct check_where at = { .file = payload->file };
    if (meta->listed->crypt_mode != payload->listed->crypt_mode)
        check_report(&r->c, CHECK_FILE_CRYPT_MODE, &at, "crypt mode %s, the metadata archive has %s",
                     pbr_crypt_mode_name(payload->listed->crypt_mode), pbr_crypt_mode_name(meta->listed->crypt_mode));
    int rc = load_index(r, meta, &m, diag);
    if (rc <= 0) /* nothing tells what the payload holds */
        return rc < 0 ? rc : check_plain(r, payload, diag);
    rc = load_index(r, payload, &p, diag);
    const bool has_payload = rc > 0;
    if (has_payload) {
        p.part.skips = r->c.opts->metadata_only;
        p.part.draft = draft;
        r->c.res.files[payload->file].contents = !p.part.skips;
    }
    if (rc >= 0)
        rc = check_archive(&r->c, &m.part, has_payload ? &p.part : NULL,
                           draft && r->has_catalog ? &r->catalog : NULL, meta->listed->name, diag);
    if (has_payload)
        check_remote_release(&p);
    check_remote_release(&m);
    return rc;
}

static int check_split(struct run *r, struct item *it, struct pbr_diag *diag)
{
    struct pbr_archive_names names;
    struct pbr_diag cause = { 0 };
    const struct check_where at = { .file = it->file };
    int rc = pbr_archive_find(&r->manifest, it->listed->name, &names, &cause);
    if (rc < 0)
        return check_found(&r->c, CHECK_SPLIT_PAIR, &at, rc, &cause, diag);
    struct item *payload = names.payload[0] ? find_item(r, names.payload) : NULL;
    r->c.res.files[it->file].kind = "metadata";
    if (payload) {
        payload->done = true;
        r->c.res.files[payload->file].kind = "payload";
        return check_pair(r, it, payload, names.profile == PBR_PROFILE_DRAFT_SPLIT, diag);
    }
    return check_single(r, it, diag); /* reports that the payload is not there, if there are references */
}

/* ---- the snapshot ---- */

static const char *kind_of(const char *name, enum pbr_file_type type)
{
    const struct pbr_span span = pbr_span_str(name);
    if (type == PBR_FILE_BLOB)
        return "blob";
    if (type == PBR_FILE_FIDX)
        return "image";
    if (pbr_span_ends(span, ".pcat1.didx"))
        return "catalog";
    return pbr_span_ends(span, ".pxar.didx") ? "archive" : "index";
}

static int add_items(struct run *r, struct pbr_diag *diag)
{
    const struct pbr_manifest *m = &r->manifest;
    const struct check_where at = { .file = 0, .rule = "MAN-073" };
    r->items = pbr_alloc(r->c.env, m->file_nr + 1, sizeof(*r->items));
    if (!r->items)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the manifest's files");
    for (size_t i = 0; i < m->file_nr; i++) {
        struct item it = { .listed = &m->files[i] };
        if (!pbr_name_is_safe_id(pbr_span_str(it.listed->name)) ||
            !pbr_name_file_type(pbr_span_str(it.listed->name), &it.type)) {
            check_report(&r->c, CHECK_MANIFEST, &at, "the manifest lists a file of no known type: '%s'", it.listed->name);
            continue;
        }
        if (find_item(r, it.listed->name)) { /* the first counts [MAN-072] */
            check_report(&r->c, CHECK_MANIFEST, &at, "the manifest lists '%s' twice", it.listed->name);
            continue;
        }
        const int rc = check_add_file(&r->c, it.listed->name, kind_of(it.listed->name, it.type), &it.file, diag);
        if (rc < 0)
            return rc;
        r->items[r->item_nr++] = it;
    }
    return PBR_OK;
}

/* A payload stream that no metadata archive leads to. */
static bool is_payload_name(const char *name)
{
    const struct pbr_span span = pbr_span_str(name);
    return pbr_span_ends(span, ".ppxar.didx") || pbr_span_ends(span, ".pxar.pld.didx") ||
           pbr_span_ends(span, ".pxar.data.didx");
}

static int check_item(struct run *r, struct item *it, struct pbr_diag *diag)
{
    const struct check_where at = { .file = it->file };
    it->done = true;
    if (it->type == PBR_FILE_BLOB)
        return check_blob(r, it, diag);
    if (pbr_name_is_metadata(pbr_span_str(it->listed->name)))
        return check_split(r, it, diag);
    if (it->type == PBR_FILE_DIDX && pbr_span_ends(pbr_span_str(it->listed->name), ".pxar.didx"))
        return check_single(r, it, diag);
    if (is_payload_name(it->listed->name))
        check_report(&r->c, CHECK_SPLIT_PAIR, &at, "payload stream without metadata archive");
    return check_plain(r, it, diag);
}

/* Archives first: they tell which payload streams are theirs. */
static int check_items(struct run *r, struct pbr_diag *diag)
{
    int rc = open_catalog(r, diag);
    for (size_t i = 0; rc == PBR_OK && i < r->item_nr; i++)
        if (pbr_name_is_metadata(pbr_span_str(r->items[i].listed->name)))
            rc = check_item(r, &r->items[i], diag);
    for (size_t i = 0; rc == PBR_OK && i < r->item_nr; i++)
        if (!r->items[i].done)
            rc = check_item(r, &r->items[i], diag);
    if (rc == PBR_OK && r->has_catalog)
        rc = check_catalog_names(&r->catalog, is_archive, r, diag);
    return rc;
}

static void check_identity(struct run *r, const struct pbr_snapshot *snapshot)
{
    const struct pbr_snapshot *m = &r->manifest.snapshot;
    const struct check_where at = { .file = 0, .rule = "MAN-071" };
    if (strcmp(m->group.type, snapshot->group.type) != 0 || strcmp(m->group.id, snapshot->group.id) != 0 ||
        m->time_s != snapshot->time_s)
        check_report(&r->c, CHECK_MANIFEST, &at, "the manifest names another snapshot");
}

static int check_all(struct run *r, const struct pbr_snapshot *snapshot, struct pbr_diag *diag)
{
    size_t file = 0;
    struct pbr_buf raw;
    int rc = check_add_file(&r->c, "index.json.blob", "manifest", &file, diag);
    if (rc == PBR_OK)
        rc = fetch(r, file, "index.json.blob", &raw, diag);
    if (rc <= 0)
        return rc;
    rc = check_manifest_bytes(&r->c, file, pbr_buf_span(&raw), &r->manifest, &r->has_manifest, diag);
    pbr_buf_release(&raw);
    if (rc < 0 || !r->has_manifest)
        return rc;
    check_identity(r, snapshot);
    rc = add_items(r, diag);
    return rc < 0 ? rc : check_items(r, diag);
}

int pbr_check_snapshot(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                       const struct pbr_check_opts *opts, struct pbr_check_result *ret, struct pbr_diag *diag)
{
    const struct pbr_env *env = pbr_client_env(c);
    struct run r = { .c = { .env = env, .opts = opts, .res = { .env = env }, .stored = true } };
    int rc = pbr_session_open_reader(c, ns, snapshot, &r.link, diag);
    if (rc < 0)
        return rc;
    rc = check_all(&r, snapshot, diag);
    close_catalog(&r);
    pbr_link_free(r.link);
    if (r.has_manifest)
        pbr_manifest_release(&r.manifest);
    pbr_free(env, r.items);
    if (rc < 0)
        pbr_check_result_release(&r.c.res);
    else
        *ret = r.c.res;
    return rc;
}
