/* SPDX-License-Identifier: MIT */
/* Catalogs, also in the extended format of a draft, as they come.
 *
 * Reaches: pbr_pcat_open, _walk_*, _lookup, the number codings (catalog.c, catalog_read.c), pbr_pcat_writer_*
 * (catalog_write.c).
 * Asserts: a walk ends; a lookup of a path that was walked gives an entry or says why not; a catalog written from what
 * was walked is walked to the same entries. */
#include "fuzz.h"

#include "format/catalog.h"

enum { OUT_MAX = 64 << 20, LOOKUPS = 200 };

static void hash_entry(uint64_t *h, const struct pbr_pcat_walk *w, const struct pbr_pcat_entry *e)
{
    fuzz_hash_span(h, pbr_pcat_walk_path(w));
    fuzz_hash_span(h, e->name);
    fuzz_hash_u64(h, (uint64_t)e->type);
    const bool sized = e->type == PBR_PCAT_FILE || e->type == PBR_PCAT_REF;
    fuzz_hash_u64(h, sized ? e->size : 0);
    fuzz_hash_u64(h, sized ? (uint64_t)e->mtime_s : 0);
    fuzz_hash_u64(h, sized ? (uint64_t)e->ctime_s : 0);
    fuzz_hash_u64(h, sized || e->type == PBR_PCAT_ARCHIVE ? e->pos : 0);
}

/* Writes what is walked into another catalog. */
struct copy {
    struct pbr_pcat_writer *writer; /* NULL: it could not be written */
    size_t open;
    bool in_archive; /* the directory of the root that is open is one */
    uint64_t appendix;
};

static bool leave_dirs(struct copy *c, size_t depth)
{
    int rc = PBR_OK;
    for (; c->open > depth && rc == PBR_OK; c->open--) {
        const bool archive = c->open == 1 && c->in_archive;
        rc = archive ? pbr_pcat_writer_end_archive(c->writer, c->appendix, NULL) : pbr_pcat_writer_end_dir(c->writer, NULL);
        c->in_archive = c->in_archive && !archive;
    }
    return rc == PBR_OK;
}

static bool copy_entry(struct copy *c, const struct pbr_pcat_walk *w, const struct pbr_pcat_entry *e)
{
    if (!leave_dirs(c, pbr_pcat_walk_depth(w)))
        return false;
    if (!pbr_pcat_is_dir(e))
        return pbr_pcat_writer_add(c->writer, e, NULL) == PBR_OK;
    c->open++;
    if (e->type == PBR_PCAT_ARCHIVE) {
        c->in_archive = true;
        c->appendix = e->pos;
    }
    return pbr_pcat_writer_start_dir(c->writer, e->name, NULL) == PBR_OK;
}

static void check_lookup(const struct pbr_pcat *cat, const struct pbr_pcat_walk *w)
{
    const struct pbr_span path = pbr_pcat_walk_path(w);
    struct pbr_pcat_entry e;
    struct pbr_diag diag = { 0 };
    if (path.len == 0 || memchr(path.ptr, 0, path.len) || path.ptr[0] == '/' || path.ptr[path.len - 1] == '/' ||
        memmem(path.ptr, path.len, "//", 2))
        return; /* names that no path can spell */
    const int rc = pbr_pcat_lookup(cat, path, &e, &diag);
    MUST(rc == (int)diag.code);
}

static int new_writer(const struct pbr_pcat *cat, struct pbr_sink *out, struct pbr_pcat_writer **ret)
{
    return pbr_pcat_is_extended(cat) ? pbr_pcat_writer_new_extended(&fuzz_env, out, ret, NULL)
                                     : pbr_pcat_writer_new(&fuzz_env, out, ret, NULL);
}

/* A directory in memory gives what looking up gives: an entry of that name, if there is one. */
static void check_dir(const struct pbr_pcat *cat, const struct pbr_pcat_entry *e)
{
    struct pbr_pcat_dir *dir = NULL;
    if (!pbr_pcat_is_dir(e) || pbr_pcat_dir_load(cat, e->table, &dir, NULL) < 0)
        return;
    const struct pbr_pcat_entry *found = pbr_pcat_dir_find(dir, e->name);
    MUST(!found || pbr_span_eq(found->name, e->name));
    pbr_pcat_dir_free(dir);
}

/* PBR_OK and the hash of everything below the root; *ret_copied: `out` (may be NULL) holds the same catalog. */
static int walk(struct pbr_span in, struct pbr_sink *out, uint64_t *ret_hash, bool *ret_copied)
{
    struct pbr_source src = pbr_source_mem(&in);
    struct pbr_pcat *cat = NULL;
    struct pbr_pcat_walk *w = NULL;
    struct copy copy = { 0 };
    struct pbr_diag diag = { 0 };
    size_t nr = 0;
    *ret_hash = 0;
    int rc = pbr_pcat_open(&fuzz_env, &src, &cat, &diag);
    *ret_copied = rc == PBR_OK && out && new_writer(cat, out, &copy.writer) == PBR_OK;
    if (rc == PBR_OK)
        rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &w, &diag);
    for (struct pbr_pcat_entry e; rc == PBR_OK && (rc = pbr_pcat_walk_next(w, &e, &diag)) > 0; rc = PBR_OK) {
        MUST(++nr <= in.len);
        hash_entry(ret_hash, w, &e);
        if (nr <= LOOKUPS) {
            check_lookup(cat, w);
            check_dir(cat, &e);
        }
        *ret_copied = *ret_copied && copy_entry(&copy, w, &e);
    }
    MUST(rc == (int)diag.code && (rc == PBR_OK || rc == PBR_E_TRUNCATED || rc == PBR_E_LIMIT || diag.rule));
    *ret_copied = *ret_copied && rc == PBR_OK && leave_dirs(&copy, 0) &&
                  pbr_pcat_writer_finish(copy.writer, NULL) == PBR_OK;
    pbr_pcat_writer_free(copy.writer);
    pbr_pcat_walk_free(w);
    pbr_pcat_free(cat);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pbr_buf out;
    pbr_buf_init(&out, &fuzz_env, OUT_MAX);
    struct pbr_sink sink = pbr_sink_buf(&out);
    uint64_t hash, again;
    bool copied, ignored;
    (void)!walk(pbr_span(data, len), &sink, &hash, &copied);
    if (copied) {
        MUST(walk(pbr_buf_span(&out), NULL, &again, &ignored) == PBR_OK);
        MUST(again == hash);
    }
    pbr_buf_release(&out);
    struct pbr_cur c = pbr_cur(pbr_span(data, len));
    uint64_t u;
    int64_t i;
    uint8_t text[PBR_PCAT_I64_MAX];
    if (pbr_pcat_u64_parse(&c, &u, NULL) == PBR_OK) {
        struct pbr_cur back = pbr_cur(pbr_span(text, pbr_pcat_u64_emit(u, text)));
        uint64_t same;
        MUST(pbr_pcat_u64_parse(&back, &same, NULL) == PBR_OK && same == u && pbr_cur_left(&back) == 0);
    }
    c = pbr_cur(pbr_span(data, len));
    if (pbr_pcat_i64_parse(&c, &i, NULL) == PBR_OK) {
        struct pbr_cur back = pbr_cur(pbr_span(text, pbr_pcat_i64_emit(i, text)));
        int64_t same;
        MUST(pbr_pcat_i64_parse(&back, &same, NULL) == PBR_OK && same == i && pbr_cur_left(&back) == 0);
    }
    return 0;
}
