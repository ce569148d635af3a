/* SPDX-License-Identifier: MIT */
/* See tree.h. */
#include "support/tree.h"

#include "support/take.h"

/* ---- input to tree ---- */

static size_t take_ids(struct take *t, struct pbr_pxar_acl_id *ids)
{
    const size_t nr = take_u8(t) % (IDS + 1);
    uint64_t id = 0;
    for (size_t i = 0; i < nr; i++) {
        id += 1 + (uint64_t)take_u8(t) % 100 * 1000;
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
    if (*used + len > TREE_OUT_MAX / 2)
        return pbr_span(NULL, 0);
    for (size_t i = 0; i < len; i++)
        at[i] = piece.len ? piece.ptr[i % piece.len] : 0;
    *used += len;
    return pbr_span(at, len);
}

bool fuzz_tree_is_file(const struct node *n)
{
    return n->op == OP_FILE || n->op == OP_LONG_FILE;
}

static bool take_link(struct take *t, const struct tree *tree, struct node *n)
{
    const size_t want = take_u8(t);
    for (size_t i = 0; i < tree->nr; i++) {
        n->link = (want + i) % tree->nr;
        if (fuzz_tree_is_file(&tree->nodes[n->link]))
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
    const struct pbr_span head = take_span(t, FUZZ_TREE_HEAD);
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

struct tree *fuzz_tree_new(struct pbr_span in)
{
    struct take t = { .left = in };
    struct tree *tree = calloc(1, sizeof(*tree));
    MUST(tree);
    tree->bulk = malloc(TREE_OUT_MAX / 2);
    MUST(tree->bulk);
    take_tree(&t, tree);
    return tree;
}

void fuzz_tree_free(struct tree *tree)
{
    free(tree->bulk);
    free(tree);
}

/* ---- tree to archive ---- */

bool fuzz_form_is_split(enum form form)
{
    return form == FORM_SPLIT || form == FORM_DRAFT_SPLIT;
}

/* What stands in the appendix for a re-used file: `pad` bytes, then its items as in an archive of its own. */
static void write_appendix_ref(struct archive *a, struct node *n)
{
    static const uint8_t pad[PAD_MAX] = { 0 };
    const struct pbr_pxar_meta root = { .mode = PBR_MODE_DIR };
    const struct pbr_span name = pbr_span_str(n->name);
    struct pbr_buf out;
    struct pbr_sink sink = pbr_sink_buf(&out);
    struct pbr_pxar_enc *enc = NULL;
    uint64_t start;
    pbr_buf_init(&out, &fuzz_env, TREE_OUT_MAX);
    MUST(pbr_pxar_enc_new(&fuzz_env, &sink, NULL, NULL, &root, &enc, NULL) == PBR_OK);
    MUST(pbr_pxar_enc_file(enc, name, &n->meta, n->content.len, &start, NULL) == PBR_OK);
    MUST(n->content.len == 0 || pbr_pxar_enc_file_write(enc, n->content, NULL) == PBR_OK);
    MUST(pbr_pxar_enc_file_end(enc, NULL) == PBR_OK);
    MUST(pbr_buf_append(&a->appendix, pbr_span(pad, n->pad)) == PBR_OK);
    MUST(pbr_pxar_enc_appendix_ref(a->enc, name, a->appendix.len, n->content.len, &n->name_pos, NULL) == PBR_OK);
    MUST(pbr_buf_append(&a->appendix, pbr_span_sub(pbr_buf_span(&out), (size_t)start, out.len)) == PBR_OK);
    pbr_pxar_enc_free(enc);
    pbr_buf_release(&out);
}

static void write_appendix(struct archive *a)
{
    uint64_t start;
    if (a->appendix.len == 0)
        return;
    MUST(pbr_pxar_enc_appendix(a->enc, a->appendix.len, &start, NULL) == PBR_OK && start == a->meta.len);
    MUST(pbr_buf_append(&a->meta, pbr_buf_span(&a->appendix)) == PBR_OK);
    MUST(pbr_pxar_enc_advance(a->enc, a->appendix.len, NULL) == PBR_OK);
}

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
    n->found = false;
    if (n->reused && fuzz_form_is_split(a->form)) {
        write_reused(a, n);
        return;
    }
    if (n->reused && a->form == FORM_DRAFT_APPENDIX) {
        write_appendix_ref(a, n);
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

void fuzz_tree_write(struct tree *tree, enum form form, struct archive *ret)
{
    struct archive *a = ret;
    const bool released = form == FORM_SPLIT;
    *a = (struct archive){ .form = form };
    pbr_buf_init(&a->meta, &fuzz_env, TREE_OUT_MAX);
    pbr_buf_init(&a->payload, &fuzz_env, TREE_OUT_MAX);
    pbr_buf_init(&a->appendix, &fuzz_env, TREE_OUT_MAX);
    a->meta_sink = pbr_sink_buf(&a->meta);
    a->payload_sink = pbr_sink_buf(&a->payload);
    MUST(pbr_pxar_enc_new(&fuzz_env, &a->meta_sink, released ? &a->payload_sink : NULL,
                          released && tree->has_prelude ? &tree->prelude : NULL, &tree->root, &a->enc, NULL) == PBR_OK);
    MUST(form != FORM_DRAFT_SPLIT || pbr_pxar_enc_attach(a->enc, &a->payload_sink, NULL) == PBR_OK);
    for (size_t i = 0; i < tree->nr; i++)
        MUST(write_node(a, tree, &tree->nodes[i]) == PBR_OK);
    write_appendix(a);
    MUST(pbr_pxar_enc_finish(a->enc, NULL) == PBR_OK);
    MUST(pbr_pxar_enc_pos(a->enc) == a->meta.len);
    MUST(!fuzz_form_is_split(form) || pbr_pxar_enc_payload_pos(a->enc) == a->payload.len);
    pbr_pxar_enc_free(a->enc);
}

struct fuzz_pair fuzz_archive_pair(const struct archive *a)
{
    return (struct fuzz_pair){ .archive = pbr_buf_span(&a->meta),
                               .payload = pbr_buf_span(&a->payload),
                               .split = fuzz_form_is_split(a->form) };
}

void fuzz_archive_release(struct archive *a)
{
    pbr_buf_release(&a->meta);
    pbr_buf_release(&a->payload);
    pbr_buf_release(&a->appendix);
}
