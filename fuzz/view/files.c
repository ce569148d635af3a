/* SPDX-License-Identifier: MIT */
/* Views of everything but archives. */
#include "chunk/cut.h"
#include "chunk/seal.h"
#include "format/catalog.h"
#include "format/index.h"
#include "format/keyfile.h"
#include "format/manifest.h"
#include "format/pattern.h"
#include "support/pattern.h"
#include "view/view.h"

enum { PLAIN_MAX = 1 << 20, TEXT_MAX = 16 << 20, CONTENT_MAX = 1 << 14 };

/* ---- index ---- */

json_t *view_index(struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_index ix;
    uint8_t csum[PBR_DIGEST_LEN];
    if (pbr_index_parse(in, false, &ix, diag) < 0)
        return NULL;
    MUST(pbr_index_csum(&ix, csum) == PBR_OK);
    json_t *entries = json_array();
    for (uint64_t i = 0; i < ix.entry_nr; i++)
        (void)json_array_append_new(entries, json_pack("[o, o, o]", view_u64(pbr_index_start(&ix, i)),
                                                       view_u64(pbr_index_end(&ix, i)),
                                                       view_hex(pbr_span(pbr_index_digest(&ix, i), PBR_DIGEST_LEN))));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "kind",
                     ix.kind == PBR_INDEX_FIXED ? "fixed" : "dynamic", "uuid", view_hex(pbr_span(ix.uuid, sizeof(ix.uuid))),
                     "ctime", view_i64(ix.ctime_s), "csum", view_hex(pbr_span(ix.stored_csum, PBR_DIGEST_LEN)), "size",
                     view_u64(ix.size), "chunk-size", view_u64(ix.kind == PBR_INDEX_FIXED ? ix.chunk_size : 0), "real-csum",
                     view_hex(pbr_span(csum, sizeof(csum))), "entries", entries);
}

/* ---- blob ---- */

json_t *view_blob(struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_opener *o = NULL;
    struct pbr_crypt crypt;
    struct pbr_buf out;
    struct pbr_span plain;
    uint8_t key[32];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    MUST(pbr_crypt_init(&crypt, key) == PBR_OK && pbr_opener_new(&fuzz_env, &o) == PBR_OK);
    const struct pbr_open_opts opts = { .crypt = &crypt, .max = PLAIN_MAX };
    pbr_buf_init(&out, &fuzz_env, PLAIN_MAX);
    const int rc = pbr_open_blob(o, in, &opts, &out, &plain, diag);
    json_t *v = rc == PBR_OK ? json_pack("{s:o, s:o}", "size", view_u64(plain.len), "content", view_sha256(plain)) : NULL;
    pbr_buf_release(&out);
    pbr_opener_free(o);
    return v;
}

/* ---- catalog ---- */

json_t *view_catalog(struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_source src = pbr_source_mem(&in);
    struct pbr_pcat *cat = NULL;
    struct pbr_pcat_walk *w = NULL;
    struct pbr_pcat_entry e;
    json_t *list = json_array();
    int rc = pbr_pcat_open(&fuzz_env, &src, &cat, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &w, diag);
    for (; rc == PBR_OK && (rc = pbr_pcat_walk_next(w, &e, diag)) > 0; rc = PBR_OK) {
        const bool sized = e.type == PBR_PCAT_FILE || e.type == PBR_PCAT_REF;
        const bool placed = pbr_pcat_is_extended(cat) && (sized || e.type == PBR_PCAT_ARCHIVE);
        (void)json_array_append_new(
            list, json_pack("[o, o, o, o, o, o]", view_u64((uint64_t)e.type), view_hex(pbr_pcat_walk_path(w)),
                            view_u64(sized ? e.size : 0), view_i64(sized ? e.mtime_s : 0),
                            view_i64(placed && sized ? e.ctime_s : 0), view_u64(placed ? e.pos : 0)));
    }
    pbr_pcat_walk_free(w);
    pbr_pcat_free(cat);
    if (rc == PBR_OK)
        return list;
    json_decref(list);
    return NULL;
}

/* ---- manifest, key file ---- */

static json_t *text_view(struct pbr_buf *text)
{
    json_t *v = view_hex(pbr_buf_span(text));
    pbr_buf_release(text);
    return v;
}

json_t *view_manifest(struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_manifest m;
    struct pbr_buf unprotected;
    if (pbr_manifest_parse(&m, &fuzz_env, in, diag) < 0)
        return NULL;
    json_t *files = json_array();
    for (size_t i = 0; i < m.file_nr; i++)
        (void)json_array_append_new(files, json_pack("[o, s, o, o]", view_hex(pbr_span_str(m.files[i].name)),
                                                     pbr_crypt_mode_name(m.files[i].crypt_mode), view_u64(m.files[i].size),
                                                     view_hex(pbr_span(m.files[i].csum, PBR_DIGEST_LEN))));
    pbr_buf_init(&unprotected, &fuzz_env, TEXT_MAX);
    json_t *canonical = pbr_json_canonical(m.unprotected, &unprotected, NULL) == PBR_OK ? text_view(&unprotected) : json_null();
    json_t *v = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "type", m.snapshot.group.type, "id", m.snapshot.group.id, "time",
                          view_i64(m.snapshot.time_s), "files", files, "signature",
                          m.has_signature ? view_hex(pbr_span_str(m.signature)) : json_null(), "unprotected", canonical);
    pbr_manifest_release(&m);
    return v;
}

json_t *view_keyfile(struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_keyfile k;
    if (pbr_keyfile_parse(&k, &fuzz_env, in, diag) < 0)
        return NULL;
    json_t *v = json_pack("{s:o}", "kdf", view_u64((uint64_t)k.kdf));
    pbr_keyfile_release(&k);
    return v;
}

/* ---- pattern ---- */

static json_t *matches(const struct pbr_pattern *p, struct fuzz_pattern paths)
{
    json_t *list = json_array();
    struct pbr_buf path;
    pbr_buf_init(&path, &fuzz_env, paths.paths.len + 1);
    while (fuzz_pattern_next(&paths, &path)) {
        const struct pbr_span one = pbr_buf_span(&path);
        (void)json_array_append_new(list, json_integer(pbr_pattern_matches(p, one, 0040755) << 1 |
                                                       pbr_pattern_matches(p, one, 0100644)));
    }
    pbr_buf_release(&path);
    return list;
}

json_t *view_pattern(struct pbr_span in, struct pbr_diag *diag)
{
    const struct fuzz_pattern input = fuzz_pattern_get(in);
    const struct pbr_span text = input.text;
    json_t *list = json_array();
    for (int anchored = 0; anchored < 2; anchored++) {
        struct pbr_pattern *p = NULL;
        if (pbr_pattern_parse(&fuzz_env, text, false, anchored, &p, diag) < 0) {
            json_decref(list);
            return NULL;
        }
        (void)json_array_append_new(list, json_pack("[o, b, b, o]", view_hex(pbr_pattern_text(p)), pbr_pattern_is_include(p),
                                                    pbr_pattern_is_dirs_only(p), matches(p, input)));
        pbr_pattern_free(p);
    }
    struct pbr_buf clean;
    bool changed;
    pbr_buf_init(&clean, &fuzz_env, 2 * text.len + 16);
    MUST(pbr_pattern_normalise(text, &clean, &changed) == PBR_OK);
    (void)json_array_append_new(list, text_view(&clean));
    return list;
}

/* ---- chunker ---- */

json_t *view_chunk(struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_buf content;
    struct pbr_cut c;
    json_t *ends = json_array();
    pbr_buf_init(&content, &fuzz_env, CONTENT_MAX);
    if (in.len >= 4) { /* as fuzz/chunk.c */
        for (size_t i = 0; i < 1u + in.ptr[1] % 16 && in.len - 4 <= CONTENT_MAX - content.len; i++)
            MUST(pbr_buf_append(&content, pbr_span_sub(in, 4, in.len)) == PBR_OK);
        MUST(pbr_cut_init(&c, UINT64_C(256) << in.ptr[0] % 4, PBR_FIND_PORTABLE, diag) == PBR_OK);
        for (size_t at = 0, n; (n = pbr_cut_push(&c, pbr_span_sub(pbr_buf_span(&content), at, content.len))) > 0;)
            (void)json_array_append_new(ends, view_u64(at += n));
    }
    json_t *v = json_pack("{s:o, s:o}", "size", view_u64(content.len), "ends", ends);
    pbr_buf_release(&content);
    return v;
}
