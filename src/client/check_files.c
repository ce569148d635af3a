/* SPDX-License-Identifier: MIT */
/* Check of local files: archives as restored or made by `pxar create`, with or without index and manifest; see check.h.
 *
 * Streams are files here. With an index their chunks are cut out of the file and held against the digests first, so that
 * the damaged ranges are known when the archive is walked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "client/check_int.h"
#include "sys/fd.h"

enum { STREAM_BUFFER = 1 << 20, HEAD_LEN = 16 };

enum local_kind { LOCAL_ARCHIVE, LOCAL_PAYLOAD, LOCAL_CATALOG, LOCAL_INDEX, LOCAL_BLOB, LOCAL_MANIFEST };

struct local {
    const char *path;
    enum local_kind kind;
    size_t file;             /* its record */
    struct pbr_buf bytes;    /* of indexes */
    struct pbr_index ix;     /* of indexes */
    bool ix_ok;
    struct local *payload;   /* of archives */
    struct local *index;     /* of streams */
    struct check_part part;  /* of streams */
    const struct pbr_env *env;
};

struct files {
    struct check c;
    struct local *items;
    size_t nr;
    struct pbr_manifest manifest;
    bool has_manifest;
};

/* ---- what a file is ---- */

static const uint8_t catalog_magic[8] = { 0x91, 0xfd, 0x60, 0xf9, 0xc4, 0x67, 0x58, 0xd5 }; /* CAT-001 */

static bool is_named(const char *path, const char *ending)
{
    return pbr_span_ends(pbr_span_str(path), ending);
}

static bool recognise(struct pbr_span head, const char *path, enum local_kind *ret)
{
    struct pbr_blob blob;
    const uint64_t first = head.len >= 8 ? pbr_get_u64le(head.ptr) : 0;
    if (first == PBR_PXAR_FORMAT_VERSION || first == PBR_PXAR_ENTRY || first == PBR_PXAR_ENTRY_V1)
        *ret = LOCAL_ARCHIVE;
    else if (first == PBR_PXAR_PAYLOAD_START || first == PBR_PXAR_PAYLOAD || first == PBR_PXAR_PAYLOAD_TAIL)
        *ret = LOCAL_PAYLOAD;
    else if (head.len >= 8 && memcmp(head.ptr, catalog_magic, 8) == 0)
        *ret = LOCAL_CATALOG;
    else if (pbr_index_recognise(head))
        *ret = LOCAL_INDEX;
    else if (pbr_span_starts(head, "{") || is_named(path, "index.json.blob"))
        *ret = LOCAL_MANIFEST;
    else if (pbr_blob_parse(head, &blob, NULL) == PBR_OK)
        *ret = LOCAL_BLOB;
    else if (is_named(path, ".mpxar") || is_named(path, ".pxar"))
        *ret = LOCAL_ARCHIVE; /* its beginning is what is wrong with it */
    else if (is_named(path, ".ppxar"))
        *ret = LOCAL_PAYLOAD;
    else
        return false;
    return true;
}

static const char *kind_text(enum local_kind kind)
{
    static const char *const texts[] = { "archive", "payload", "catalog", "index", "blob", "manifest" };
    return texts[kind];
}

/* ---- streams ---- */

static int open_stream(void *ctx, struct pbr_stream *ret, struct pbr_diag *diag)
{
    struct local *l = ctx;
    int fd = pbr_openat(AT_FDCWD, l->path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s", l->path);
    const int rc = pbr_stream_fd(l->env, fd, true, STREAM_BUFFER, l->path, ret, diag);
    if (rc < 0)
        pbr_close(&fd);
    return rc;
}

static int open_source(void *ctx, struct pbr_source *ret, struct pbr_diag *diag)
{
    struct local *l = ctx;
    return pbr_source_open(l->env, AT_FDCWD, l->path, ret, diag);
}

static int load(struct files *f, struct local *l, struct pbr_diag *diag)
{
    uint8_t head[64]; /* longer than any blob header */
    struct pbr_source src;
    int rc = pbr_source_open(f->c.env, AT_FDCWD, l->path, &src, diag);
    if (rc < 0)
        return rc;
    const uint64_t size = src.size;
    const size_t n = size < sizeof(head) ? (size_t)size : sizeof(head);
    rc = n ? pbr_source_read_at(&src, 0, head, n, diag) : PBR_OK;
    pbr_source_close(&src);
    if (rc < 0)
        return rc;
    if (!recognise(pbr_span(head, n), l->path, &l->kind))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "%s is neither archive, index, blob, catalog nor manifest", l->path);
    rc = check_add_file(&f->c, l->path, kind_text(l->kind), &l->file, diag);
    if (rc < 0)
        return rc;
    f->c.res.files[l->file].size = size;
    l->part = (struct check_part){
        .file = l->file, .size = size, .open_stream = open_stream, .open_source = open_source, .ctx = l
    };
    l->part.draft = l->kind == LOCAL_PAYLOAD && pbr_get_u64le(head) != PBR_PXAR_PAYLOAD_START && !is_named(l->path, ".ppxar");
    check_part_init(&l->part, &f->c);
    return PBR_OK;
}

/* ---- which files belong together ---- */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether `a` without its ending `end_a` is `b` without `end_b`. */
static bool same_stem(const char *a, const char *end_a, const char *b, const char *end_b)
{
    const struct pbr_span x = pbr_span_str(a), y = pbr_span_str(b);
    return pbr_span_ends(x, end_a) && pbr_span_ends(y, end_b) &&
           pbr_span_eq(pbr_span_sub(x, 0, x.len - strlen(end_a)), pbr_span_sub(y, 0, y.len - strlen(end_b)));
}

static size_t count_kind(const struct files *f, enum local_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < f->nr; i++)
        n += f->items[i].kind == kind;
    return n;
}

static void find_payload(struct files *f, struct local *l)
{
    const bool only = count_kind(f, LOCAL_ARCHIVE) == 1 && count_kind(f, LOCAL_PAYLOAD) == 1;
    for (size_t i = 0; i < f->nr; i++) {
        struct local *p = &f->items[i];
        if (p->kind == LOCAL_PAYLOAD && (only || same_stem(base_of(l->path), ".mpxar", base_of(p->path), ".ppxar") ||
                                         same_stem(base_of(l->path), ".meta", base_of(p->path), ".pld")))
            l->payload = p;
    }
}

static void find_index(struct files *f, struct local *l)
{
    for (size_t i = 0; i < f->nr; i++)
        if (f->items[i].kind == LOCAL_INDEX && same_stem(base_of(l->path), "", base_of(f->items[i].path), ".didx"))
            l->index = &f->items[i];
}

/* What the manifest says of a file: by its stored name. */
static const struct pbr_manifest_file *listed(const struct files *f, const char *path)
{
    char stored[PBR_ARCHIVE_NAME_MAX + 1];
    if (!f->has_manifest || pbr_name_stored(pbr_span_str(base_of(path)), stored, NULL) < 0)
        return NULL;
    return pbr_manifest_find(&f->manifest, stored);
}

/* ---- bytes against index and manifest ---- */

static int load_bytes(struct files *f, struct local *l, struct pbr_buf *ret, struct pbr_diag *diag)
{
    const size_t max = l->kind == LOCAL_INDEX ? PBR_INDEX_SIZE_MAX : PBR_BLOB_PLAIN_MAX + PBR_BLOB_HDR_MAX;
    return pbr_load_file(f->c.env, AT_FDCWD, l->path, max, ret, diag);
}

static int check_small(struct files *f, struct local *l, struct pbr_diag *diag)
{
    struct pbr_buf raw;
    int rc = load_bytes(f, l, &raw, diag);
    if (rc < 0)
        return rc;
    if (l->kind == LOCAL_INDEX) {
        l->bytes = raw;
        return check_index_bytes(&f->c, l->file, pbr_buf_span(&l->bytes), listed(f, l->path), &l->ix, &l->ix_ok, diag);
    }
    rc = l->kind == LOCAL_MANIFEST
             ? check_manifest_bytes(&f->c, l->file, pbr_buf_span(&raw), &f->manifest, &f->has_manifest, diag)
             : check_blob_bytes(&f->c, l->file, pbr_buf_span(&raw), listed(f, l->path), diag);
    pbr_buf_release(&raw);
    return rc;
}

/* Digest of one chunk cut out of the file; keyed if the archive was encrypted. */
static int check_chunk(struct local *l, const struct pbr_source *src, const struct pbr_crypt *crypt, uint64_t i,
                       uint8_t *buf, struct pbr_diag *diag)
{
    uint8_t digest[PBR_DIGEST_LEN];
    struct pbr_diag cause = { 0 };
    char hex[2 * PBR_DIGEST_LEN + 1];
    const struct pbr_index *ix = l->part.ix;
    const uint64_t start = pbr_index_start(ix, i), len = pbr_index_end(ix, i) - start;
    if (len > PBR_CHUNK_MAX || start + len > src->size)
        return PBR_OK; /* reported with the index and the size */
    int rc = pbr_source_read_at(src, start, buf, (size_t)len, diag);
    if (rc == PBR_OK && pbr_chunk_digest(crypt, pbr_span(buf, (size_t)len), digest) < 0)
        rc = pbr_fail_at(diag, PBR_E_NOMEM, NULL, "cannot compute a digest");
    if (rc < 0 || memcmp(digest, pbr_index_digest(ix, i), sizeof(digest)) == 0)
        return rc;
    pbr_format_hex(pbr_index_digest(ix, i), PBR_DIGEST_LEN, hex);
    (void)pbr_fail_at(&cause, PBR_E_INTEGRITY, "BLOB-059", "the bytes are not those of chunk %s", hex);
    return check_part_add_bad(&l->part, i, &cause, diag);
}

static int check_digests(struct files *f, struct local *l, struct pbr_diag *diag)
{
    struct pbr_source src;
    const struct pbr_manifest_file *m = listed(f, l->path);
    const struct pbr_crypt *crypt = m && m->crypt_mode != PBR_CRYPT_ENCRYPT ? NULL : f->c.opts->crypt;
    if (m && m->crypt_mode == PBR_CRYPT_ENCRYPT && !crypt)
        return PBR_OK; /* keyed digests cannot be computed without the key [BLOB-071] */
    uint8_t *buf = pbr_realloc(f->c.env, NULL, PBR_CHUNK_MAX);
    if (!buf)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a chunk");
    int rc = open_source(l, &src, diag);
    if (rc == PBR_OK) {
        for (uint64_t i = 0; rc == PBR_OK && i < l->part.ix->entry_nr; i++)
            rc = check_chunk(l, &src, crypt, i, buf, diag);
        pbr_source_close(&src);
    }
    pbr_free(f->c.env, buf);
    return rc;
}

/* Size by manifest and index, chunks by index; the index then also serves to name chunks. */
static int join_index(struct files *f, struct local *l, struct pbr_diag *diag)
{
    const struct check_where at = { .file = l->file };
    const struct pbr_manifest_file *m = listed(f, l->path);
    if (m && m->size != l->part.size)
        check_report(&f->c, CHECK_FILE_SIZE, &at, "wrong size (manifest %" PRIu64 ", file %" PRIu64 ")", m->size,
                     l->part.size);
    l->part.skips = f->c.opts->metadata_only && (l->kind == LOCAL_PAYLOAD || l->kind == LOCAL_ARCHIVE);
    if (!l->index || !l->index->ix_ok)
        return PBR_OK;
    if (l->index->ix.size != l->part.size)
        check_report(&f->c, CHECK_FILE_SIZE, &at, "wrong size (index %" PRIu64 ", file %" PRIu64 ")", l->index->ix.size,
                     l->part.size);
    l->part.ix = &l->index->ix;
    f->c.res.files[l->file].chunks = l->index->ix.entry_nr;
    return l->part.skips ? PBR_OK : check_digests(f, l, diag);
}

/* ---- order of the work ---- */

static bool is_stream(const struct local *l)
{
    return l->kind == LOCAL_ARCHIVE || l->kind == LOCAL_PAYLOAD || l->kind == LOCAL_CATALOG;
}

static int check_kind(struct files *f, enum local_kind kind, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    for (size_t i = 0; rc == PBR_OK && i < f->nr; i++) {
        struct local *l = &f->items[i];
        if (l->kind != kind)
            continue;
        if (kind == LOCAL_MANIFEST && f->has_manifest)
            return pbr_fail_at(diag, PBR_E_ARG, NULL, "%s: files of one snapshot are checked at a time", l->path);
        rc = check_small(f, l, diag);
    }
    return rc;
}

static int check_one(struct files *f, struct local *l, struct check_catalog *catalog, struct pbr_diag *diag)
{
    const char *name = base_of(l->path);
    char stored[PBR_ARCHIVE_NAME_MAX + 1];
    const bool compared = catalog && pbr_name_stored(pbr_span_str(name), stored, NULL) == PBR_OK;
    find_payload(f, l);
    return check_archive(&f->c, &l->part, l->payload ? &l->payload->part : NULL, compared ? catalog : NULL, stored, diag);
}

static int check_archives(struct files *f, struct check_catalog *catalog, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    for (size_t i = 0; rc == PBR_OK && i < f->nr; i++)
        if (f->items[i].kind == LOCAL_ARCHIVE)
            rc = check_one(f, &f->items[i], catalog, diag);
    for (size_t i = 0; rc == PBR_OK && i < f->nr; i++) {
        bool used = f->items[i].kind != LOCAL_PAYLOAD;
        const struct check_where at = { .file = f->items[i].file };
        for (size_t k = 0; k < f->nr; k++)
            used = used || f->items[k].payload == &f->items[i];
        if (!used)
            check_report(&f->c, CHECK_SPLIT_PAIR, &at, "payload stream without metadata archive");
    }
    return rc;
}

/* The catalog is compared with the archives that are there; it may hold others. */
static int check_streams(struct files *f, struct pbr_diag *diag)
{
    struct check_catalog catalog = { 0 };
    struct pbr_source src = { 0 };
    struct local *l = NULL;
    int rc = PBR_OK;
    for (size_t i = 0; rc == PBR_OK && i < f->nr; i++) {
        if (is_stream(&f->items[i])) {
            find_index(f, &f->items[i]);
            rc = join_index(f, &f->items[i], diag);
        }
        l = f->items[i].kind == LOCAL_CATALOG ? &f->items[i] : l;
    }
    if (rc == PBR_OK && l)
        rc = open_source(l, &src, diag);
    if (rc == PBR_OK && l)
        rc = check_catalog_open(&catalog, &f->c, l->file, &src, diag);
    if (rc == PBR_OK)
        rc = check_archives(f, l ? &catalog : NULL, diag);
    check_catalog_close(&catalog);
    if (src.ctx)
        pbr_source_close(&src);
    return rc;
}

static int check_all(struct files *f, const char *const *paths, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    for (size_t i = 0; rc == PBR_OK && i < f->nr; i++) {
        f->items[i].path = paths[i];
        f->items[i].env = f->c.env;
        rc = load(f, &f->items[i], diag);
    }
    if (rc == PBR_OK) /* first what says how the others must be */
        rc = check_kind(f, LOCAL_MANIFEST, diag);
    if (rc == PBR_OK)
        rc = check_kind(f, LOCAL_INDEX, diag);
    if (rc == PBR_OK)
        rc = check_kind(f, LOCAL_BLOB, diag);
    return rc < 0 ? rc : check_streams(f, diag);
}

int pbr_check_files(const struct pbr_env *env, const char *const *paths, size_t path_nr,
                    const struct pbr_check_opts *opts, struct pbr_check_result *ret, struct pbr_diag *diag)
{
    struct files f = { .c = { .env = env, .opts = opts, .res = { .env = env } }, .nr = path_nr };
    f.items = pbr_alloc(env, path_nr + 1, sizeof(*f.items));
    if (!f.items)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the files");
    const int rc = check_all(&f, paths, diag);
    for (size_t i = 0; i < path_nr; i++) {
        check_part_release(&f.items[i].part);
        if (f.items[i].bytes.env)
            pbr_buf_release(&f.items[i].bytes);
    }
    pbr_free(env, f.items);
    if (f.has_manifest)
        pbr_manifest_release(&f.manifest);
    if (rc < 0)
        pbr_check_result_release(&f.c.res);
    else
        *ret = f.c.res;
    return rc;
}
