/* SPDX-License-Identifier: MIT */
/* Round trip of a tree. Input: byte 0 what there is beside the tree (bit 0: a prelude, split archives only); bytes 1..7
 * reserved; then one record after the other: a byte that says the kind (see enum op), parameters, see take_node.
 *
 * Reaches: pbr_pxar_enc_* (pxar_enc.c, goodbye.c), then the decoder (pxar_dec*.c), pbr_reader_* (read.c), pbr_verify,
 * pbr_access_lookup, pbr_extract.
 * Asserts: as one stream and split, new or in parts re-used, the tree that is read back is the tree that was written, entry
 * by entry; the checker has no findings; every path is found; extraction succeeds; what the encoder must refuse (names,
 * hard links ahead, links that hold NUL) it refuses. */
#include "archive/access.h"
#include "archive/extract.h"
#include "archive/verify.h"
#include "format/pxar_enc.h"
#include "support/archive.h"
#include "support/memfs.h"
#include "support/take.h"

enum { HEAD = 8, NODES_MAX = 100, DEPTH_MAX = 12, PATH_CAP = 512, XATTRS = 3, IDS = 3, OUT_MAX = 4 << 20, PAD_MAX = 63 };

enum op { OP_FILE, OP_DIR, OP_LEAVE, OP_SYMLINK, OP_DEVICE, OP_SPECIAL, OP_HARDLINK, OP_LONG_FILE, OPS };

struct node {
    enum op op;
    char name[40], path[PATH_CAP];
    struct pbr_pxar_meta meta;
    struct pbr_pxar_xattr xattrs[XATTRS];
    char xattr_names[XATTRS][16];
    struct pbr_pxar_acl_id ids[4][IDS];
    struct pbr_span content; /* file; symlink: target */
    uint64_t major, minor;
    size_t link;             /* hard link: the file */
    size_t pad;              /* split: >= 0 re-used with so many bytes before it, see write_file */
    bool reused;
    uint64_t name_pos;       /* in the archive being written */
};

struct tree {
    struct node nodes[NODES_MAX];
    size_t nr;
    struct pbr_pxar_meta root;
    struct pbr_span prelude;
    bool has_prelude;
    uint8_t *bulk; /* contents of long files */
};

/* ---- input to tree ---- */

static size_t take_ids(struct take *t, struct pbr_pxar_acl_id *ids)
{
    const size_t nr = take_u8(t) % (IDS + 1);
    uint64_t id = 0;
    for (size_t i = 0; i < nr; i++) {
        id += 1 + take_u8(t) % 100 * 1000;
        ids[i] = (struct pbr_pxar_acl_id){ id, take_u8(t) % 8 };
    }
    return nr;
}

static uint64_t take_perm(struct take *t)
{
    const uint8_t v = take_u8(t);
    return v & 0x80 ? PBR_PXAR_NO_MASK : v % 8;
}

static void take_acls(struct take *t, struct node *n, bool is_dir)
{
    struct pbr_pxar_meta *m = &n->meta;
    m->acl_users = n->ids[0];
    m->acl_user_nr = take_ids(t, n->ids[0]);
    m->acl_groups = n->ids[1];
    m->acl_group_nr = take_ids(t, n->ids[1]);
    m->has_acl_group_obj = take_u8(t) & 1;
    m->acl_group_obj = m->has_acl_group_obj ? take_u8(t) % 8 : 0;
    if (!is_dir || !(take_u8(t) & 1))
        return;
    m->has_acl_default = true;
    m->acl_default.user_obj = take_perm(t);
    m->acl_default.group_obj = take_perm(t);
    m->acl_default.other = take_perm(t);
    m->acl_default.mask = take_perm(t);
    m->acl_default_users = n->ids[2];
    m->acl_default_user_nr = take_ids(t, n->ids[2]);
    m->acl_default_groups = n->ids[3];
    m->acl_default_group_nr = take_ids(t, n->ids[3]);
}

static void take_meta(struct take *t, struct node *n, uint64_t type)
{
    struct pbr_pxar_meta *m = &n->meta;
    const uint8_t what = take_u8(t);
    m->mode = type | (take_u(t, 2) & PBR_MODE_PERM);
    if (what & 1)
        m->flags = take_u(t, 8);
    if (what & 2) {
        m->uid = (uint32_t)take_u(t, 4);
        m->gid = (uint32_t)take_u(t, 4);
    }
    if (what & 4) {
        m->mtime_s = (int64_t)take_u(t, 8);
        m->mtime_ns = (uint32_t)take_u(t, 4) % 1000000000u;
    }
    m->xattr_nr = what & 8 ? take_u8(t) % (XATTRS + 1) : 0;
    m->xattrs = n->xattrs;
    for (size_t i = 0; i < m->xattr_nr; i++) {
        (void)snprintf(n->xattr_names[i], sizeof(n->xattr_names[i]), "user.%zu%x", i, take_u8(t));
        n->xattrs[i].name = pbr_span_str(n->xattr_names[i]);
        n->xattrs[i].value = take_span(t, take_u8(t));
    }
    if (what & 16)
        take_acls(t, n, type == PBR_MODE_DIR);
    m->has_fcaps = (what & 32) && type == PBR_MODE_REG;
    m->fcaps = m->has_fcaps ? take_span(t, take_u8(t) % 32) : pbr_span(NULL, 0);
    m->has_projid = what & 64;
    m->projid = m->has_projid ? take_u(t, 4) : 0;
}

/* Unique in the tree and ascending, with some free bytes behind. */
static void take_name(struct take *t, struct node *n, size_t number, const char *dir)
{
    size_t len = (size_t)snprintf(n->name, sizeof(n->name), "%03zu", number);
    for (size_t extra = take_u8(t) % 20; extra > 0; extra--) {
        const uint8_t c = take_u8(t);
        if (c != 0 && c != '/')
            n->name[len++] = (char)c;
    }
    n->name[len] = 0;
    MUST(snprintf(n->path, PATH_CAP, "%s/%s", dir, n->name) < PATH_CAP);
}

static struct pbr_span without_nul(struct pbr_span s)
{
    const uint8_t *nul = s.len ? memchr(s.ptr, 0, s.len) : NULL;
    s.len = nul ? (size_t)(nul - s.ptr) : s.len;
    return s.len ? s : pbr_span_str("target");
}

/* Contents that repeat a few bytes, to pass blocks and holes. */
static struct pbr_span take_bulk(struct take *t, struct tree *tree, size_t *used)
{
    const size_t len = take_u(t, 2) % 20000;
    const struct pbr_span piece = take_span(t, take_u8(t) % 16);
    uint8_t *at = tree->bulk + *used;
    if (*used + len > OUT_MAX / 2)
        return pbr_span(NULL, 0);
    for (size_t i = 0; i < len; i++)
        at[i] = piece.len ? piece.ptr[i % piece.len] : 0;
    *used += len;
    return pbr_span(at, len);
}

static bool take_link(struct take *t, const struct tree *tree, struct node *n)
{
    const size_t want = take_u8(t);
    for (size_t i = 0; i < tree->nr; i++) {
        n->link = (want + i) % tree->nr;
        if (tree->nodes[n->link].op == OP_FILE || tree->nodes[n->link].op == OP_LONG_FILE)
            return true;
    }
    return false;
}

/* False: nothing that can be written. */
static bool take_node(struct take *t, struct tree *tree, struct node *n, const char *dir, size_t *bulk_used)
{
    static const uint64_t types[OPS] = { PBR_MODE_REG,  PBR_MODE_DIR,  0, PBR_MODE_SYMLINK, PBR_MODE_BLOCK,
                                         PBR_MODE_FIFO, 0, PBR_MODE_REG };
    uint64_t type = types[n->op];
    take_name(t, n, tree->nr, dir);
    if (n->op == OP_HARDLINK)
        return take_link(t, tree, n);
    if ((n->op == OP_DEVICE || n->op == OP_SPECIAL) && (take_u8(t) & 1))
        type = n->op == OP_DEVICE ? PBR_MODE_CHAR : PBR_MODE_SOCKET;
    take_meta(t, n, type);
    if (n->op == OP_FILE)
        n->content = take_span(t, take_u8(t));
    else if (n->op == OP_LONG_FILE)
        n->content = take_bulk(t, tree, bulk_used);
    else if (n->op == OP_SYMLINK)
        n->content = without_nul(take_span(t, take_u8(t)));
    n->major = n->op == OP_DEVICE ? take_u(t, 4) : 0;
    n->minor = n->op == OP_DEVICE ? take_u(t, 4) : 0;
    n->pad = take_u8(t);
    n->reused = n->pad & 0x80;
    n->pad &= PAD_MAX;
    return true;
}

static void take_tree(struct take *t, struct tree *tree)
{
    const char *dirs[DEPTH_MAX + 1] = { "" };
    size_t depth = 0, bulk_used = 0;
    const struct pbr_span head = take_span(t, HEAD);
    tree->has_prelude = head.len && (head.ptr[0] & 1);
    tree->prelude = tree->has_prelude ? take_span(t, take_u8(t)) : pbr_span(NULL, 0);
    tree->root = (struct pbr_pxar_meta){ .mode = PBR_MODE_DIR | 0755 };
    while (take_more(t) && tree->nr < NODES_MAX) {
        struct node *n = &tree->nodes[tree->nr];
        *n = (struct node){ .op = take_u8(t) % OPS };
        if (n->op == OP_LEAVE && depth == 0)
            continue;
        if (n->op == OP_DIR && depth == DEPTH_MAX)
            continue;
        if (n->op != OP_LEAVE && !take_node(t, tree, n, dirs[depth], &bulk_used))
            continue;
        depth -= n->op == OP_LEAVE;
        if (n->op == OP_DIR)
            dirs[++depth] = n->path;
        tree->nr++;
    }
    for (; depth > 0 && tree->nr < NODES_MAX; depth--)
        tree->nodes[tree->nr++] = (struct node){ .op = OP_LEAVE };
    while (depth > 0) /* no room for the ends: what would stand in front of them goes */
        depth += tree->nodes[--tree->nr].op == OP_LEAVE ? 1 : tree->nodes[tree->nr].op == OP_DIR ? (size_t)-1 : 0;
}

/* ---- tree to archive ---- */

struct archive {
    struct pbr_buf meta, payload;
    struct pbr_sink meta_sink, payload_sink;
    struct pbr_pxar_enc *enc;
    bool split;
};

/* A re-used file: the reference first, then `pad` bytes, record and tail come as a chunk would (PXAR-204, PXAR-205). */
static void write_reused(struct archive *a, struct node *n)
{
    static const uint8_t pad[PAD_MAX] = { 0 };
    uint8_t hdr[PBR_PXAR_HDR];
    const uint64_t at = pbr_pxar_enc_payload_pos(a->enc) + n->pad;
    MUST(pbr_pxar_enc_file_ref(a->enc, pbr_span_str(n->name), &n->meta, at, n->content.len, &n->name_pos, NULL) == PBR_OK);
    pbr_pxar_hdr_emit(hdr, PBR_PXAR_PAYLOAD, n->content.len);
    MUST(pbr_buf_append(&a->payload, pbr_span(pad, n->pad)) == PBR_OK);
    MUST(pbr_buf_append(&a->payload, pbr_span(hdr, sizeof(hdr))) == PBR_OK);
    MUST(pbr_buf_append(&a->payload, n->content) == PBR_OK);
    MUST(pbr_pxar_enc_payload_advance(a->enc, n->pad + sizeof(hdr) + n->content.len, NULL) == PBR_OK);
}

static void write_file(struct archive *a, struct node *n)
{
    uint64_t state = n->content.len;
    if (a->split && n->reused) {
        write_reused(a, n);
        return;
    }
    MUST(pbr_pxar_enc_file(a->enc, pbr_span_str(n->name), &n->meta, n->content.len, &n->name_pos, NULL) == PBR_OK);
    for (size_t at = 0; at < n->content.len;) {
        const size_t piece = fuzz_piece(FUZZ_RANDOM, &state, n->content.len - at) * 16;
        const struct pbr_span in = pbr_span_sub(n->content, at, piece);
        MUST(pbr_pxar_enc_file_write(a->enc, in, NULL) == PBR_OK);
        at += in.len;
    }
    MUST(pbr_pxar_enc_file_end(a->enc, NULL) == PBR_OK);
}

static int write_node(struct archive *a, struct tree *tree, struct node *n)
{
    const struct pbr_span name = pbr_span_str(n->name);
    switch (n->op) {
    case OP_DIR: return pbr_pxar_enc_dir_enter(a->enc, name, &n->meta, NULL);
    case OP_LEAVE: return pbr_pxar_enc_dir_leave(a->enc, NULL);
    case OP_SYMLINK: return pbr_pxar_enc_symlink(a->enc, name, &n->meta, n->content, NULL);
    case OP_DEVICE: return pbr_pxar_enc_device(a->enc, name, &n->meta, n->major, n->minor, NULL);
    case OP_SPECIAL: return pbr_pxar_enc_special(a->enc, name, &n->meta, NULL);
    case OP_HARDLINK:
        return pbr_pxar_enc_hardlink(a->enc, name, pbr_span_str(tree->nodes[n->link].path + 1),
                                     tree->nodes[n->link].name_pos, NULL);
    default: write_file(a, n); return PBR_OK;
    }
}

static void write_tree(struct archive *a, struct tree *tree, bool split)
{
    *a = (struct archive){ .split = split };
    pbr_buf_init(&a->meta, &fuzz_env, OUT_MAX);
    pbr_buf_init(&a->payload, &fuzz_env, OUT_MAX);
    a->meta_sink = pbr_sink_buf(&a->meta);
    a->payload_sink = pbr_sink_buf(&a->payload);
    MUST(pbr_pxar_enc_new(&fuzz_env, &a->meta_sink, split ? &a->payload_sink : NULL,
                          split && tree->has_prelude ? &tree->prelude : NULL, &tree->root, &a->enc, NULL) == PBR_OK);
    for (size_t i = 0; i < tree->nr; i++)
        MUST(write_node(a, tree, &tree->nodes[i]) == PBR_OK);
    MUST(pbr_pxar_enc_finish(a->enc, NULL) == PBR_OK);
    MUST(pbr_pxar_enc_pos(a->enc) == a->meta.len);
    MUST(!split || pbr_pxar_enc_payload_pos(a->enc) == a->payload.len);
    pbr_pxar_enc_free(a->enc);
}

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
    MUST(e->size == n->content.len && e->name_pos == n->name_pos);
    size_t at = 0;
    while (pbr_reader_content(r, &view, NULL) == PBR_OK && view.len) {
        MUST(pbr_span_eq(view, pbr_span_sub(n->content, at, view.len)));
        at += view.len;
    }
    MUST(at == e->size && (!e->has_ref || pbr_reader_padding(r) == (n->reused ? n->pad : 0)));
}

static void read_back(const struct fuzz_pair *pair, const struct tree *tree)
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
            MUST(pair->split && ev.version == 2);
        if (ev.ev == PBR_PXAR_EV_PRELUDE)
            MUST(tree->has_prelude && pbr_span_eq(ev.data, tree->prelude));
        if (ev.ev == PBR_PXAR_EV_DIR_END)
            MUST(ev.depth == 0 ? i == tree->nr : i < tree->nr && tree->nodes[i++].op == OP_LEAVE);
        if (ev.ev != PBR_PXAR_EV_ENTRY || ev.depth == 0)
            continue;
        MUST(i < tree->nr);
        check_node(r.reader, &ev.entry, tree, &tree->nodes[i++]);
    }
    MUST(i == tree->nr && pbr_reader_pos(r.reader) == pair->archive.len);
    MUST(pbr_reader_payload_pos(r.reader) + (pair->split ? PBR_PXAR_HDR : 0) == pair->payload.len); /* tail: unread */
    fuzz_reader_close(&r);
}

static void check_findings(const struct fuzz_pair *pair)
{
    struct pbr_stream_mem archive_mem = { .in = pair->archive }, payload_mem = { .in = pair->payload };
    struct pbr_stream archive = pbr_stream_mem(&archive_mem), payload = pbr_stream_mem(&payload_mem);
    const struct pbr_verify_opts opts = { .contents = true };
    struct pbr_verify_result res;
    MUST(pbr_verify(&fuzz_env, &archive, pair->split ? &payload : NULL, &opts, &res, NULL) == PBR_OK);
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
        if (n->op == OP_FILE || n->op == OP_LONG_FILE)
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
    pbr_buf_init(&out, &fuzz_env, OUT_MAX);
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
    struct take t = { .left = pbr_span(data, len) };
    struct tree *tree = calloc(1, sizeof(*tree));
    MUST(tree);
    tree->bulk = malloc(OUT_MAX / 2);
    MUST(tree->bulk);
    take_tree(&t, tree);
    for (int split = 0; split < 2; split++) {
        struct archive a;
        write_tree(&a, tree, split);
        const struct fuzz_pair pair = { .archive = pbr_buf_span(&a.meta), .payload = pbr_buf_span(&a.payload),
                                        .split = split };
        read_back(&pair, tree);
        check_findings(&pair);
        check_lookups(&pair, tree);
        check_extraction(&pair, tree);
        pbr_buf_release(&a.meta);
        pbr_buf_release(&a.payload);
    }
    check_refusals(tree, pbr_span_sub(pbr_span(data, len), HEAD, 40));
    free(tree->bulk);
    free(tree);
    return 0;
}
