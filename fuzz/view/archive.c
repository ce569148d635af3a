/* SPDX-License-Identifier: MIT */
/* Views of archives: refused is what pbr_verify has an error about, whatever the reader lets pass. */
#include "archive/verify.h"
#include "prim/prim.h"
#include "support/tree.h"
#include "view/view.h"

static char first_rule[16]; /* of the first error: the texts end with the callback */

static void on_finding(void *ctx, const struct pbr_verify_finding *f)
{
    (void)ctx;
    if (!f->warning && !first_rule[0])
        (void)snprintf(first_rule, sizeof(first_rule), "%s", f->rule);
}

static bool is_sound(const struct fuzz_pair *pair, struct pbr_diag *diag)
{
    const struct pbr_verify_opts opts = { .contents = true, .meta_only = !pair->split, .report = on_finding };
    struct pbr_verify_result res;
    first_rule[0] = 0;
    if (fuzz_pair_verify(pair, &opts, &res, diag) < 0)
        return false;
    diag->rule = first_rule;
    return res.errors == 0;
}

static json_t *ids_view(const struct pbr_pxar_acl_id *ids, size_t nr)
{
    json_t *list = json_array();
    for (size_t i = 0; i < nr; i++)
        (void)json_array_append_new(list, json_pack("[o, o]", view_u64(ids[i].id), view_u64(ids[i].perm)));
    return list;
}

static json_t *acl_view(const struct pbr_pxar_meta *m)
{
    json_t *none = json_null();
    json_t *def = m->has_acl_default ? json_pack("[o, o, o, o]", view_u64(m->acl_default.user_obj),
                                                 view_u64(m->acl_default.group_obj), view_u64(m->acl_default.other),
                                                 view_u64(m->acl_default.mask))
                                     : none;
    return json_pack("[o, o, o, o, o, o]", ids_view(m->acl_users, m->acl_user_nr), ids_view(m->acl_groups, m->acl_group_nr),
                     m->has_acl_group_obj ? view_u64(m->acl_group_obj) : none, def,
                     ids_view(m->acl_default_users, m->acl_default_user_nr),
                     ids_view(m->acl_default_groups, m->acl_default_group_nr));
}

static json_t *xattrs_view(const struct pbr_pxar_meta *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->xattr_nr; i++)
        (void)json_array_append_new(list, json_pack("[o, o]", view_hex(m->xattrs[i].name), view_hex(m->xattrs[i].value)));
    return list;
}

static json_t *content_view(struct pbr_reader *r)
{
    struct pbr_buf all;
    struct pbr_span view;
    pbr_buf_init(&all, &fuzz_env, 64 << 20);
    while (pbr_reader_content(r, &view, NULL) == PBR_OK && view.len)
        MUST(pbr_buf_append(&all, view) == PBR_OK);
    json_t *v = view_sha256(pbr_buf_span(&all));
    pbr_buf_release(&all);
    return v;
}

static json_t *entry_view(struct pbr_reader *r, const struct pbr_pxar_entry *e, bool contents)
{
    const struct pbr_pxar_meta *m = &e->meta;
    const struct pbr_span path = pbr_reader_path(r);
    json_t *v = json_pack("{s:s, s:o, s:o}", "kind", pbr_pxar_kind_name(e->kind), "path",
                          view_hex(pbr_span_sub(path, 1, path.len)), "entry", view_u64(e->entry_pos));
    if (e->kind == PBR_KIND_HARDLINK) {
        (void)json_object_set_new(v, "link", json_pack("[o, o]", view_hex(e->target), view_u64(e->link_off)));
        return v;
    }
    json_t *meta = json_pack("[o, o, o, o, o, o]", view_u64(m->mode), view_u64(m->flags), view_u64(m->uid), view_u64(m->gid),
                             view_i64(m->mtime_s), view_u64(m->mtime_ns));
    (void)json_object_set_new(v, "stat", meta);
    (void)json_object_set_new(v, "xattrs", xattrs_view(m));
    (void)json_object_set_new(v, "acl", acl_view(m));
    (void)json_object_set_new(v, "fcaps", m->has_fcaps ? view_hex(m->fcaps) : json_null());
    (void)json_object_set_new(v, "projid", m->has_projid ? view_u64(m->projid) : json_null());
    if (e->kind == PBR_KIND_SYMLINK)
        (void)json_object_set_new(v, "target", view_hex(e->target));
    if (e->kind == PBR_KIND_DEVICE)
        (void)json_object_set_new(v, "device", json_pack("[o, o]", view_u64(e->major), view_u64(e->minor)));
    if (e->kind == PBR_KIND_FILE) {
        (void)json_object_set_new(v, "size", view_u64(e->size));
        if (contents)
            (void)json_object_set_new(v, "content", content_view(r));
    }
    return v;
}

/* A file out of the appendix takes the place of the reference to it. */
static void put_entry(json_t *entries, json_t *v, bool from_appendix)
{
    const char *path = json_string_value(json_object_get(v, "path"));
    for (size_t i = 0; from_appendix && i < json_array_size(entries); i++) {
        const json_t *at = json_array_get(entries, i);
        if (json_object_get(at, "reference") && strcmp(json_string_value(json_object_get(at, "path")), path) == 0) {
            (void)json_array_set_new(entries, i, v);
            return;
        }
    }
    (void)json_array_append_new(entries, v);
}

static void add_entry(json_t *entries, struct pbr_reader *r, const struct pbr_pxar_entry *e, bool contents)
{
    const struct pbr_span path = pbr_reader_path(r);
    if (e->kind != PBR_KIND_APPENDIX_REF) {
        put_entry(entries, entry_view(r, e, contents), pbr_reader_in_appendix(r));
        return;
    }
    MUST(pbr_reader_want(r, NULL) == PBR_OK);
    put_entry(entries, json_pack("{s:b, s:o}", "reference", 1, "path", view_hex(pbr_span_sub(path, 1, path.len))), false);
}

static json_t *pair_view(const struct fuzz_pair *pair, struct pbr_diag *diag)
{
    struct fuzz_reader r;
    struct pbr_pxar_event ev;
    const struct pbr_reader_opts opts = { .meta_only = !pair->split };
    if (!is_sound(pair, diag))
        return NULL;
    MUST(fuzz_reader_open(&r, pair, 0, &opts, NULL) == PBR_OK);
    json_t *entries = json_array(), *prelude = json_null();
    uint64_t version = 1;
    for (;;) {
        MUST(pbr_reader_next(r.reader, &ev, NULL) == PBR_OK);
        if (ev.ev == PBR_PXAR_EV_END)
            break;
        if (ev.ev == PBR_PXAR_EV_VERSION)
            version = ev.version;
        if (ev.ev == PBR_PXAR_EV_PRELUDE)
            prelude = view_hex(ev.data);
        if (ev.ev == PBR_PXAR_EV_ENTRY)
            add_entry(entries, r.reader, &ev.entry, pair->split || !ev.entry.has_ref);
    }
    fuzz_reader_close(&r);
    return json_pack("{s:o, s:o, s:o}", "version", view_u64(version), "prelude", prelude, "entries", entries);
}

json_t *view_pair(struct pbr_span in, struct pbr_diag *diag)
{
    struct fuzz_pair pair;
    return fuzz_pair_get(in, &pair) ? pair_view(&pair, diag) : NULL;
}

/* The archives of a tree, as the encoder writes them: inputs of the kind `pair` in hex, for the oracle to read. */
json_t *view_tree(struct pbr_span in, struct pbr_diag *diag)
{
    struct tree *tree = fuzz_tree_new(in);
    json_t *list = json_array();
    for (enum form form = FORM_ONE; form < FORMS; form++) {
        struct archive a;
        uint8_t head[FUZZ_PAIR_HEAD] = { 0 };
        struct pbr_buf out;
        fuzz_tree_write(tree, form, &a);
        const struct fuzz_pair pair = fuzz_archive_pair(&a);
        pbr_put_u32le(head, (uint32_t)pair.archive.len);
        head[4] = pair.split ? FUZZ_PAIR_SPLIT : 0;
        pbr_buf_init(&out, &fuzz_env, 3 * TREE_OUT_MAX);
        MUST(pbr_buf_append(&out, pbr_span(head, sizeof(head))) == PBR_OK);
        MUST(pbr_buf_append(&out, pair.archive) == PBR_OK && pbr_buf_append(&out, pair.payload) == PBR_OK);
        json_t *view = pair_view(&pair, diag);
        MUST(view);
        (void)json_array_append_new(list, json_pack("[o, o]", view_hex(pbr_buf_span(&out)), view));
        pbr_buf_release(&out);
        fuzz_archive_release(&a);
    }
    fuzz_tree_free(tree);
    return list;
}

json_t *view_pxar(struct pbr_span in, struct pbr_diag *diag)
{
    const struct fuzz_pair pair = { .archive = in };
    return pair_view(&pair, diag);
}
