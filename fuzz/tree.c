/* SPDX-License-Identifier: MIT */
/* Round trip of a tree. Input: see support/tree.h.
 *
 * Reaches: pbr_pxar_enc_* (pxar_enc.c, goodbye.c), then the decoder (pxar_dec*.c), pbr_reader_* (read.c,
 * read_appendix.c), pbr_verify, pbr_access_lookup, pbr_extract (also extract_appendix.c).
 * Asserts: in every form (enum form), with files new or in parts re-used, the tree that is read back is the tree that was
 * written, entry by entry; the checker has no findings; every path is found; extraction succeeds; what the encoder must
 * refuse (names, hard links ahead, links that hold NUL) it refuses. */
#include "archive/access.h"
#include "archive/extract.h"
#include "archive/verify.h"
#include "support/memfs.h"
#include "support/tree.h"

/* ---- archive to tree ---- */

static void check_node(struct pbr_reader *r, const struct pbr_pxar_entry *e, const struct tree *tree, const struct node *n)
{
    static const enum pbr_pxar_kind kinds[OPS] = { PBR_KIND_FILE,   PBR_KIND_DIR,  PBR_KIND_DIR,      PBR_KIND_SYMLINK,
                                                   PBR_KIND_DEVICE, PBR_KIND_FIFO, PBR_KIND_HARDLINK, PBR_KIND_FILE };
    const bool socket = n->op == OP_SPECIAL && (n->meta.mode & PBR_MODE_TYPE) == PBR_MODE_SOCKET;
    uint64_t hash[2] = { 0, 0 };
    struct pbr_span view;
    MUST(e->kind == (socket ? PBR_KIND_SOCKET : kinds[n->op]));
    MUST(pbr_span_eq_str(pbr_reader_path(r), n->path));
    if (n->op == OP_HARDLINK) {
        MUST(pbr_span_eq_str(e->target, tree->nodes[n->link].path + 1));
        MUST(e->name_pos - e->link_off == tree->nodes[n->link].name_pos);
        return;
    }
    fuzz_hash_meta(&hash[0], &e->meta);
    fuzz_hash_meta(&hash[1], &n->meta);
    MUST(hash[0] == hash[1] && pbr_pxar_meta_equal(&e->meta, &n->meta));
    MUST(n->op != OP_SYMLINK || pbr_span_eq(e->target, n->content));
    MUST(n->op != OP_DEVICE || (e->major == n->major && e->minor == n->minor));
    if (e->kind != PBR_KIND_FILE)
        return;
    MUST(e->size == n->content.len && (e->name_pos == n->name_pos || pbr_reader_in_appendix(r)));
    size_t at = 0;
    while (pbr_reader_content(r, &view, NULL) == PBR_OK && view.len) {
        MUST(pbr_span_eq(view, pbr_span_sub(n->content, at, view.len)));
        at += view.len;
    }
    MUST(at == e->size && (!e->has_ref || pbr_reader_padding(r) == (n->reused ? n->pad : 0)));
}

/* A file out of the appendix, asked for where its reference stood. */
static void check_appendix_file(struct pbr_reader *r, const struct pbr_pxar_entry *e, struct tree *tree)
{
    for (size_t i = 0; i < tree->nr; i++) {
        struct node *n = &tree->nodes[i];
        if (n->op == OP_LEAVE || !pbr_span_eq_str(pbr_reader_path(r), n->path))
            continue;
        MUST(n->reused && !n->found);
        n->found = true;
        check_node(r, e, tree, n);
    }
}

static void check_entry(struct pbr_reader *r, const struct pbr_pxar_entry *e, struct tree *tree, size_t *i)
{
    if (pbr_reader_in_appendix(r)) {
        check_appendix_file(r, e, tree);
        return;
    }
    MUST(*i < tree->nr);
    const struct node *n = &tree->nodes[(*i)++];
    if (e->kind != PBR_KIND_APPENDIX_REF) {
        check_node(r, e, tree, n);
        return;
    }
    MUST(n->reused && e->size == n->content.len && pbr_span_eq_str(pbr_reader_path(r), n->path));
    MUST(pbr_reader_want(r, NULL) == PBR_OK);
}

static void check_all_found(const struct tree *tree)
{
    for (size_t i = 0; i < tree->nr; i++)
        MUST(tree->nodes[i].found == (tree->nodes[i].reused && tree->nodes[i].op != OP_LEAVE && fuzz_tree_is_file(&tree->nodes[i])));
}

static void read_back(const struct fuzz_pair *pair, struct tree *tree, enum form form)
{
    struct fuzz_reader r;
    struct pbr_pxar_event ev;
    size_t i = 0;
    MUST(fuzz_reader_open(&r, pair, 100, NULL, NULL) == PBR_OK);
    for (;;) {
        MUST(pbr_reader_next(r.reader, &ev, NULL) == PBR_OK);
        if (ev.ev == PBR_PXAR_EV_END)
            break;
        if (ev.ev == PBR_PXAR_EV_VERSION)
            MUST(form == FORM_SPLIT && ev.version == 2);
        if (ev.ev == PBR_PXAR_EV_PRELUDE)
            MUST(tree->has_prelude && pbr_span_eq(ev.data, tree->prelude));
        if (ev.ev == PBR_PXAR_EV_DIR_END)
            MUST(ev.depth == 0 ? i == tree->nr : i < tree->nr && tree->nodes[i++].op == OP_LEAVE);
        if (ev.ev == PBR_PXAR_EV_ENTRY && ev.depth > 0)
            check_entry(r.reader, &ev.entry, tree, &i);
    }
    if (form == FORM_DRAFT_APPENDIX)
        check_all_found(tree);
    MUST(i == tree->nr && pbr_reader_pos(r.reader) == pair->archive.len);
    MUST(pbr_reader_payload_pos(r.reader) + (pair->split ? PBR_PXAR_HDR : 0) == pair->payload.len); /* tail: unread */
    fuzz_reader_close(&r);
}

static void check_findings(const struct fuzz_pair *pair)
{
    const struct pbr_verify_opts opts = { .contents = true };
    struct pbr_verify_result res;
    MUST(fuzz_pair_verify(pair, &opts, &res, NULL) == PBR_OK);
    MUST(res.errors == 0 && res.warnings == 0);
}

static void check_lookups(const struct fuzz_pair *pair, const struct tree *tree)
{
    const struct pbr_source archive = pbr_source_mem(&pair->archive), payload = pbr_source_mem(&pair->payload);
    struct pbr_access *a = NULL;
    MUST(pbr_access_open(&fuzz_env, &archive, pair->split ? &payload : NULL, &a, NULL) == PBR_OK);
    for (size_t i = 0; i < tree->nr; i++) {
        struct pbr_access_entry *e = NULL;
        if (tree->nodes[i].op == OP_LEAVE)
            continue;
        MUST(pbr_access_lookup(a, pbr_span_str(tree->nodes[i].path), &e, NULL) == PBR_OK);
        MUST(pbr_span_eq_str(e->entry.name, tree->nodes[i].name));
        MUST(e->entry.kind != PBR_KIND_FILE || e->entry.size == tree->nodes[i].content.len);
        pbr_access_entry_free(e);
    }
    pbr_access_free(a);
}

static void check_extraction(const struct fuzz_pair *pair, const struct tree *tree)
{
    struct fuzz_reader r;
    struct pbr_extract_stats stats;
    struct memfs *fs = memfs_new();
    const struct pbr_target target = memfs_target(fs);
    const struct pbr_extract_opts opts = { .strict = true, .open_dirs_max = 4 };
    MUST(fuzz_reader_open(&r, pair, 0, NULL, NULL) == PBR_OK);
    MUST(pbr_extract(&fuzz_env, r.reader, &target, &opts, &stats, NULL) == PBR_OK);
    for (size_t i = 0; i < tree->nr; i++) {
        const struct node *n = &tree->nodes[i];
        const struct memfs_inode *at = n->op == OP_LEAVE ? NULL : memfs_find(fs, pbr_span_str(n->path));
        MUST(at || n->op == OP_LEAVE);
        if (fuzz_tree_is_file(n))
            MUST(at->size == n->content.len && (at->size == 0 || memcmp(at->bytes, n->content.ptr, at->size) == 0));
        if (n->op == OP_HARDLINK)
            MUST(at == memfs_find(fs, pbr_span_str(tree->nodes[n->link].path)));
        if (n->op == OP_DIR)
            MUST(at->mode == n->meta.mode && at->mtime_s == n->meta.mtime_s);
    }
    fuzz_reader_close(&r);
    memfs_free(fs);
}

/* ---- what must be refused ---- */

static void check_refusals(const struct tree *tree, struct pbr_span name)
{
    struct pbr_buf out;
    const struct pbr_pxar_meta file = { .mode = PBR_MODE_REG | 0600 };
    pbr_buf_init(&out, &fuzz_env, TREE_OUT_MAX);
    for (int what = 0; what < 3; what++) {
        struct pbr_sink sink = pbr_sink_buf(&out);
        struct pbr_pxar_enc *enc = NULL;
        struct pbr_diag diag = { 0 };
        MUST(pbr_pxar_enc_new(&fuzz_env, &sink, NULL, NULL, &tree->root, &enc, NULL) == PBR_OK);
        const size_t before = out.len;
        const int rc = what == 0   ? pbr_pxar_enc_file(enc, name, &file, 0, NULL, &diag)
                       : what == 1 ? pbr_pxar_enc_hardlink(enc, pbr_span_str("a"), name, UINT64_MAX, &diag)
                                   : pbr_pxar_enc_symlink(enc, pbr_span_str("a"), &file, pbr_span("a\0b", 3), &diag);
        const bool must = what != 0 || pbr_pxar_name_check(name);
        MUST(rc == (int)diag.code && (rc < 0) == must);
        MUST(rc == PBR_OK || (diag.rule && out.len == before));
        MUST(rc == PBR_OK || pbr_pxar_enc_finish(enc, NULL) < 0); /* a failure is final */
        pbr_pxar_enc_free(enc);
        pbr_buf_clear(&out);
    }
    pbr_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tree *tree = fuzz_tree_new(pbr_span(data, len));
    for (enum form form = FORM_ONE; form < FORMS; form++) {
        struct archive a;
        fuzz_tree_write(tree, form, &a);
        const struct fuzz_pair pair = fuzz_archive_pair(&a);
        read_back(&pair, tree, form);
        check_findings(&pair);
        check_lookups(&pair, tree);
        check_extraction(&pair, tree);
        fuzz_archive_release(&a);
    }
    check_refusals(tree, pbr_span_sub(pbr_span(data, len), FUZZ_TREE_HEAD, 40));
    fuzz_tree_free(tree);
    return 0;
}
