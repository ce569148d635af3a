/* SPDX-License-Identifier: MIT */
/* Writing and deferring entries; see create_emit.h. */
#include "archive/create_emit.h"

#include <string.h>

#include "sys/fd.h"

struct pbr_create_deferred {
    struct pbr_create_deferred *next;
    struct pbr_create_item item;
    struct pbr_pxar_meta *meta; /* owned, what item.meta points to */
    char *path;                 /* owned, NUL-terminated; item.path and item.name lie in it */
    char *target;               /* owned, what item.target points to; NULL without */
    int fd;                     /* owned; -1 without */
    uint64_t rel;
};

/* ---- writing ---- */

static int tell_catalog(struct pbr_create *cr, char type, const struct pbr_create_item *item, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    if (!h->cat_entry)
        return PBR_OK;
    const bool is_file = type == 'f';
    return h->cat_entry(h->ctx, type, item->name, is_file ? item->st.size : 0, is_file ? item->st.mtime_s : 0, diag);
}

static int write_dir(struct pbr_create *cr, const struct pbr_create_item *item, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    int rc = h->cat_dir_start ? h->cat_dir_start(h->ctx, item->name, diag) : PBR_OK; /* before its items [CRT-162] */
    if (rc < 0)
        return rc;
    rc = pbr_pxar_enc_dir_enter(cr->enc, item->name, item->meta, diag);
    if (rc == PBR_OK)
        cr->stats.dirs++;
    return rc;
}

static int write_dir_end(struct pbr_create *cr, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    const int rc = pbr_pxar_enc_dir_leave(cr->enc, diag);
    return rc < 0 || !h->cat_dir_end ? rc : h->cat_dir_end(h->ctx, diag);
}

static int write_hardlink(struct pbr_create *cr, const struct pbr_create_item *item, const struct pbr_link *first,
                          struct pbr_diag *diag)
{
    int rc = tell_catalog(cr, 'h', item, diag);
    if (rc < 0)
        return rc;
    rc = pbr_pxar_enc_hardlink(cr->enc, item->name, first->path, first->pos, diag);
    if (rc == PBR_OK)
        cr->stats.hardlinks++;
    return rc;
}

/* `ref`: where the content lies already, NULL: nowhere. */
static int write_content(struct pbr_create *cr, const struct pbr_create_item *item, int fd, const uint64_t *ref,
                         uint64_t *ret_pos, struct pbr_diag *diag)
{
    const uint64_t size = item->st.size;
    if (ref && !cr->split)
        return pbr_pxar_enc_appendix_ref(cr->enc, item->name, *ref, size, ret_pos, diag);
    if (ref)
        return pbr_pxar_enc_file_ref(cr->enc, item->name, item->meta, *ref, size, ret_pos, diag);
    int rc = pbr_pxar_enc_file(cr->enc, item->name, item->meta, size, ret_pos, diag);
    if (rc == PBR_OK)
        rc = pbr_create_content(cr, fd, item->path, size, diag);
    return rc < 0 ? rc : pbr_pxar_enc_file_end(cr->enc, diag);
}

/* What catalogs hear of a file that was written. */
static int tell_catalog_file(struct pbr_create *cr, const struct pbr_create_item *item, uint64_t pos, const uint64_t *ref,
                             struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    const struct pbr_create_file file = { .name = item->name,
                                          .size = item->st.size,
                                          .mtime_s = item->st.mtime_s,
                                          .ctime_s = item->st.ctime_s,
                                          .is_ref = ref != NULL,
                                          .pos = ref ? *ref : pos };
    return h->cat_file ? h->cat_file(h->ctx, &file, diag) : PBR_OK;
}

static int write_file(struct pbr_create *cr, const struct pbr_create_item *item, int fd, const uint64_t *ref,
                      struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    const bool linked = item->st.nlink > 1;
    const struct pbr_link *first = linked ? pbr_links_find(&cr->links, item->st.dev, item->st.ino) : NULL;
    uint64_t pos = 0;

    if (first)
        return write_hardlink(cr, item, first, diag);
    int rc = h->cat_file ? PBR_OK : tell_catalog(cr, 'f', item, diag);
    if (rc == PBR_OK && cr->split && h->suggest) /* before the header and any content [CHK-065] */
        rc = h->suggest(h->ctx, pbr_pxar_enc_payload_pos(cr->enc), diag);
    if (rc == PBR_OK)
        rc = write_content(cr, item, fd, ref, &pos, diag);
    if (rc == PBR_OK)
        rc = tell_catalog_file(cr, item, pos, ref, diag);
    if (rc < 0)
        return rc;
    cr->stats.files++;
    cr->stats.file_bytes += item->st.size;
    cr->stats.reused_files += ref != NULL;
    cr->stats.reused_bytes += ref ? item->st.size : 0;
    if (linked && pbr_links_add(&cr->links, item->st.dev, item->st.ino, pos, item->path) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a hard linked file");
    return PBR_OK;
}

static int write_symlink(struct pbr_create *cr, const struct pbr_create_item *item, struct pbr_diag *diag)
{
    int rc = tell_catalog(cr, 'l', item, diag);
    if (rc < 0)
        return rc;
    rc = pbr_pxar_enc_symlink(cr->enc, item->name, item->meta, item->target, diag);
    if (rc == PBR_OK)
        cr->stats.symlinks++;
    return rc;
}

static int write_device(struct pbr_create *cr, const struct pbr_create_item *item, bool is_block,
                        struct pbr_diag *diag)
{
    uint64_t major, minor;
    int rc = tell_catalog(cr, is_block ? 'b' : 'c', item, diag);
    if (rc < 0)
        return rc;
    pbr_pxar_dev_split(item->st.rdev, &major, &minor); /* [CRT-147] */
    rc = pbr_pxar_enc_device(cr->enc, item->name, item->meta, major, minor, diag);
    if (rc == PBR_OK)
        cr->stats.devices++;
    return rc;
}

static int write_special(struct pbr_create *cr, const struct pbr_create_item *item, bool is_fifo,
                         struct pbr_diag *diag)
{
    int rc = tell_catalog(cr, is_fifo ? 'p' : 's', item, diag);
    if (rc < 0)
        return rc;
    rc = pbr_pxar_enc_special(cr->enc, item->name, item->meta, diag);
    if (rc == PBR_OK)
        *(is_fifo ? &cr->stats.fifos : &cr->stats.sockets) += 1;
    return rc;
}

static int write_item(struct pbr_create *cr, const struct pbr_create_item *item, int fd, const uint64_t *ref,
                      struct pbr_diag *diag)
{
    if (item->event == PBR_CREATE_EV_DIR_END)
        return write_dir_end(cr, diag);
    switch (item->st.mode & PBR_MODE_TYPE) {
    case PBR_MODE_DIR:
        return write_dir(cr, item, diag);
    case PBR_MODE_REG:
        return write_file(cr, item, fd, ref, diag);
    case PBR_MODE_SYMLINK:
        return write_symlink(cr, item, diag);
    case PBR_MODE_BLOCK:
    case PBR_MODE_CHAR:
        return write_device(cr, item, (item->st.mode & PBR_MODE_TYPE) == PBR_MODE_BLOCK, diag);
    case PBR_MODE_FIFO:
    case PBR_MODE_SOCKET:
        return write_special(cr, item, (item->st.mode & PBR_MODE_TYPE) == PBR_MODE_FIFO, diag);
    default:
        return pbr_fail_at(diag, PBR_E_UNSUPPORTED, "CRT-183", "encountered unknown file type 0%o",
                           item->st.mode & PBR_MODE_TYPE);
    }
}

/* ---- deferring ---- */

static void deferred_free(const struct pbr_env *env, struct pbr_create_deferred *d)
{
    if (!d)
        return;
    pbr_close(&d->fd);
    pbr_free(env, d->meta);
    pbr_free(env, d->path);
    pbr_free(env, d->target);
    pbr_free(env, d);
}

/* A copy of the item that stays valid; *fd is taken over on success. */
static struct pbr_create_deferred *deferred_new(const struct pbr_env *env, const struct pbr_create_item *item,
                                                int *fd, uint64_t rel)
{
    struct pbr_create_deferred *d = pbr_alloc(env, 1, sizeof(*d));
    if (!d)
        return NULL;
    d->item = *item;
    d->rel = rel;
    d->fd = -1;
    d->path = pbr_strndup(env, item->path);
    d->target = item->target.len > 0 ? pbr_strndup(env, item->target) : NULL;
    if (!d->path || (item->target.len > 0 && !d->target) ||
        (item->meta && pbr_pxar_meta_dup(env, item->meta, &d->meta) < 0)) {
        deferred_free(env, d);
        return NULL;
    }
    d->item.meta = d->meta;
    d->item.path = pbr_span(d->path, item->path.len);
    d->item.name = pbr_span_sub(d->item.path, item->path.len - item->name.len, item->name.len);
    d->item.target = pbr_span(d->target, item->target.len);
    d->fd = *fd;
    *fd = -1;
    return d;
}

static int defer(struct pbr_create *cr, const struct pbr_create_item *item, int *fd, uint64_t rel,
                 struct pbr_diag *diag)
{
    struct pbr_create_deferred *d = deferred_new(cr->env, item, fd, rel);
    if (!d)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a deferred entry");
    if (cr->last)
        cr->last->next = d;
    else
        cr->first = d;
    cr->last = d;
    cr->deferred_nr++;
    return PBR_OK;
}

static struct pbr_create_deferred *take_first(struct pbr_create *cr)
{
    struct pbr_create_deferred *d = cr->first;
    if (!d)
        return NULL;
    cr->first = d->next;
    if (!cr->first)
        cr->last = NULL;
    cr->deferred_nr--;
    return d;
}

void pbr_create_drop(struct pbr_create *cr)
{
    while (cr->first)
        deferred_free(cr->env, take_first(cr));
}

static int write_deferred(struct pbr_create *cr, const struct pbr_create_deferred *d, const uint64_t *base,
                          struct pbr_diag *diag)
{
    uint64_t ref;
    const bool is_file = d->item.event == PBR_CREATE_EV_ENTRY && d->fd >= 0;
    if (!base || !is_file)
        return write_item(cr, &d->item, d->fd, NULL, diag);
    if (!pbr_add(*base, d->rel, &ref))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "payload reference beyond 64 bits");
    return write_item(cr, &d->item, d->fd, &ref, diag);
}

int pbr_create_replay(struct pbr_create *cr, const uint64_t *base, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    while (rc == PBR_OK && cr->first) {
        struct pbr_create_deferred *d = take_first(cr);
        rc = write_deferred(cr, d, base, diag);
        deferred_free(cr->env, d);
    }
    return rc;
}

int pbr_create_replay_appendix(struct pbr_create *cr,
                               int (*off)(void *ctx, uint64_t rel, uint64_t *ret, struct pbr_diag *diag), void *ctx,
                               struct pbr_diag *diag)
{
    int rc = PBR_OK;
    while (rc == PBR_OK && cr->first) {
        struct pbr_create_deferred *d = take_first(cr);
        const bool marked = off && d->rel > 0 && d->fd >= 0;
        uint64_t ref = 0;
        if (marked)
            rc = off(ctx, d->rel, &ref, diag);
        if (rc == PBR_OK)
            rc = write_item(cr, &d->item, d->fd, marked ? &ref : NULL, diag);
        deferred_free(cr->env, d);
    }
    return rc;
}

int pbr_create_appendix(struct pbr_create *cr, uint64_t total, uint64_t *ret_start, struct pbr_diag *diag)
{
    return pbr_pxar_enc_appendix(cr->enc, total, ret_start, diag);
}

int pbr_create_appended(struct pbr_create *cr, uint64_t n, struct pbr_diag *diag)
{
    return pbr_pxar_enc_advance(cr->enc, n, diag);
}

size_t pbr_create_deferred(const struct pbr_create *cr)
{
    return cr->deferred_nr;
}

uint64_t pbr_create_payload_pos(const struct pbr_create *cr)
{
    return pbr_pxar_enc_payload_pos(cr->enc);
}

int pbr_create_injected(struct pbr_create *cr, uint64_t n, struct pbr_diag *diag)
{
    return pbr_pxar_enc_payload_advance(cr->enc, n, diag);
}

/* ---- both ---- */

int pbr_create_emit(struct pbr_create *cr, const struct pbr_create_item *item, int *fd, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    struct pbr_create_plan plan = { .how = PBR_CREATE_ENCODE };

    if (cr->decides) {
        const struct pbr_create_entry entry = { .event = item->event,
                                                .path = item->path,
                                                .name = item->name,
                                                .meta = item->meta,
                                                .size = item->st.size,
                                                .dev = item->st.dev,
                                                .ino = item->st.ino,
                                                .nlink = item->st.nlink,
                                                .ctime_s = item->st.ctime_s };
        const int rc = h->decide(h->ctx, cr, &entry, &plan, diag);
        if (rc < 0)
            return rc;
    }
    if (plan.how == PBR_CREATE_DEFER)
        return defer(cr, item, fd, plan.rel, diag);
    if (cr->first)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "an entry cannot be written before the deferred ones");
    return write_item(cr, item, *fd, NULL, diag);
}
