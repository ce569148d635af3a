/* SPDX-License-Identifier: MIT */
/* Catalogs, as they come.
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
    fuzz_hash_u64(h, e->type == PBR_PCAT_FILE ? e->size : 0);
    fuzz_hash_u64(h, e->type == PBR_PCAT_FILE ? (uint64_t)e->mtime_s : 0);
}

static bool copy_entry(struct pbr_pcat_writer *out, size_t *open, const struct pbr_pcat_walk *w,
                       const struct pbr_pcat_entry *e)
{
    for (; *open > pbr_pcat_walk_depth(w); --*open)
        if (pbr_pcat_writer_end_dir(out, NULL) < 0)
            return false;
    if (e->type != PBR_PCAT_DIR)
        return pbr_pcat_writer_add(out, e, NULL) == PBR_OK;
    ++*open;
    return pbr_pcat_writer_start_dir(out, e->name, NULL) == PBR_OK;
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

/* PBR_OK and the hash of everything below the root; *ret_copied: `out` (may be NULL) holds the same catalog. */
static int walk(struct pbr_span in, struct pbr_sink *out, uint64_t *ret_hash, bool *ret_copied)
{
    struct pbr_source src = pbr_source_mem(&in);
    struct pbr_pcat *cat = NULL;
    struct pbr_pcat_walk *w = NULL;
    struct pbr_pcat_writer *writer = NULL;
    struct pbr_diag diag = { 0 };
    size_t open = 0, nr = 0;
    *ret_hash = 0;
    *ret_copied = out && pbr_pcat_writer_new(&fuzz_env, out, &writer, NULL) == PBR_OK;
    int rc = pbr_pcat_open(&fuzz_env, &src, &cat, &diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &w, &diag);
    for (struct pbr_pcat_entry e; rc == PBR_OK && (rc = pbr_pcat_walk_next(w, &e, &diag)) > 0; rc = PBR_OK) {
        MUST(++nr <= in.len);
        hash_entry(ret_hash, w, &e);
        if (nr <= LOOKUPS)
            check_lookup(cat, w);
        *ret_copied = *ret_copied && copy_entry(writer, &open, w, &e);
    }
    MUST(rc == (int)diag.code && (rc == PBR_OK || rc == PBR_E_TRUNCATED || rc == PBR_E_LIMIT || diag.rule));
    for (; *ret_copied && open > 0; open--)
        *ret_copied = pbr_pcat_writer_end_dir(writer, NULL) == PBR_OK;
    *ret_copied = *ret_copied && rc == PBR_OK && pbr_pcat_writer_finish(writer, NULL) == PBR_OK;
    pbr_pcat_writer_free(writer);
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
