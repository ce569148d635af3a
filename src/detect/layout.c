/* SPDX-License-Identifier: MIT */
/* Entries and chunks of one split archive; see layout.h. Paths lie in one buffer and are spans only once it has stopped
 * growing: until then `path.len` counts and the start is in `path_at`. */
#include "detect/layout.h"

#include <stdlib.h>
#include <string.h>

#define PATHS_MAX (UINT64_C(16) << 30)
enum { FIRST_ENTRIES = 1024 };

struct by_path {
    struct pbr_span path;
    size_t i;
};

struct by_off {
    uint64_t off;
    size_t i;
};

struct by_digest {
    const uint8_t *digest;
    uint64_t i;
};

struct pbr_layout {
    const struct pbr_env *env;
    struct pbr_index index;
    struct pbr_buf paths;
    struct pbr_layout_entry *entries;
    size_t count, cap;
    struct by_path *by_path;
    struct by_off *by_off;
    size_t file_nr;
    struct by_digest *by_digest;
    uint64_t first, last; /* the frame */
    bool is_inline;
};

enum { MARKER = 16 }; /* start and tail marker [CDM-086] */

static int no_memory(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the entries of an archive");
}

/* ---- life ---- */

int pbr_layout_new(const struct pbr_env *env, const struct pbr_index *payload, struct pbr_layout **ret,
                   struct pbr_diag *diag)
{
    size_t max;
    struct pbr_layout *l = pbr_alloc(env, 1, sizeof(*l));
    if (!l)
        return no_memory(diag);
    l->env = env;
    l->index = *payload;
    l->first = MARKER;
    l->last = payload->size > MARKER ? payload->size - MARKER : 0;
    pbr_buf_init(&l->paths, env, pbr_to_size(PATHS_MAX, &max) ? max : SIZE_MAX);
    *ret = l;
    return PBR_OK;
}

void pbr_layout_free(struct pbr_layout *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++)
        pbr_free(l->env, l->entries[i].extended);
    pbr_free(l->env, l->entries);
    pbr_free(l->env, l->by_path);
    pbr_free(l->env, l->by_off);
    pbr_free(l->env, l->by_digest);
    pbr_buf_release(&l->paths);
    pbr_free(l->env, l);
}

/* ---- filling ---- */

static bool is_extended(const struct pbr_pxar_meta *m)
{
    return m->xattr_nr || m->has_fcaps || m->has_projid || m->has_acl_group_obj || m->has_acl_default || m->acl_user_nr ||
           m->acl_group_nr || m->acl_default_user_nr || m->acl_default_group_nr;
}

static int grow(struct pbr_layout *l, struct pbr_diag *diag)
{
    uint64_t bytes;
    size_t size;
    const size_t cap = l->cap ? l->cap * 2 : FIRST_ENTRIES;
    if (l->count < l->cap)
        return PBR_OK;
    if (!pbr_mul(cap, sizeof(*l->entries), &bytes) || !pbr_to_size(bytes, &size))
        return no_memory(diag);
    struct pbr_layout_entry *more = pbr_realloc(l->env, l->entries, size);
    if (!more)
        return no_memory(diag);
    l->entries = more;
    l->cap = cap;
    return PBR_OK;
}

int pbr_layout_add(struct pbr_layout *l, struct pbr_span path, const struct pbr_pxar_entry *entry,
                   struct pbr_diag *diag)
{
    struct pbr_pxar_meta *extended = NULL;
    const struct pbr_pxar_meta *m = &entry->meta;
    const bool is_file = entry->kind == PBR_KIND_FILE;
    if (is_file && !entry->has_ref)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-248", entry->entry_pos, "file with contents in a metadata archive");
    int rc = grow(l, diag);
    if (rc < 0)
        return rc;
    path = pbr_span_sub(path, 1, path.len);
    rc = pbr_buf_append(&l->paths, path);
    if (rc == PBR_OK && is_extended(m))
        rc = pbr_pxar_meta_dup(l->env, m, &extended);
    if (rc < 0)
        return rc == PBR_E_NOMEM ? no_memory(diag) : pbr_fail_at(diag, (enum pbr_err)rc, NULL, "too many bytes of paths");
    l->entries[l->count++] = (struct pbr_layout_entry){ .path = { NULL, path.len },
                                                        .kind = entry->kind,
                                                        .extended = extended,
                                                        .mode = m->mode,
                                                        .flags = m->flags,
                                                        .mtime_s = m->mtime_s,
                                                        .mtime_ns = m->mtime_ns,
                                                        .uid = m->uid,
                                                        .gid = m->gid,
                                                        .off = is_file ? entry->ref_off : 0,
                                                        .size = is_file ? entry->size : 0,
                                                        .name_pos = entry->name_pos,
                                                        .end_pos = entry->end_pos };
    l->file_nr += is_file;
    return PBR_OK;
}

int pbr_layout_add_inline(struct pbr_layout *l, struct pbr_span path, const struct pbr_pxar_entry *entry, bool in_appendix,
                          struct pbr_diag *diag)
{
    struct pbr_pxar_entry as_ref = *entry;
    as_ref.has_ref = true;
    as_ref.ref_off = entry->name_pos;
    const int rc = pbr_layout_add(l, path, &as_ref, diag);
    if (rc < 0)
        return rc;
    struct pbr_layout_entry *e = &l->entries[l->count - 1];
    e->head = entry->data_pos - PBR_PXAR_HDR - entry->name_pos;
    e->read = in_appendix ? PBR_LAYOUT_NOT_READ : PBR_LAYOUT_READ;
    l->is_inline = true;
    return PBR_OK;
}

void pbr_layout_set_frame(struct pbr_layout *l, uint64_t first, uint64_t last)
{
    l->first = first;
    l->last = last;
}

uint64_t pbr_layout_first(const struct pbr_layout *l)
{
    return l->first;
}

uint64_t pbr_layout_last(const struct pbr_layout *l)
{
    return l->last;
}

bool pbr_layout_is_inline(const struct pbr_layout *l)
{
    return l->is_inline;
}

void pbr_layout_record(struct pbr_layout *l, uint64_t goodbye_pos, const struct pbr_pxar_rec *rec)
{
    size_t low = 0, high = l->count;
    if (rec->hash == PBR_PXAR_GOODBYE_TAIL || rec->offset > goodbye_pos) /* PXAR-152 */
        return;
    const uint64_t name_pos = goodbye_pos - rec->offset;
    while (low < high) { /* entries come by position */
        const size_t mid = low + (high - low) / 2;
        if (l->entries[mid].name_pos < name_pos)
            low = mid + 1;
        else
            high = mid;
    }
    struct pbr_layout_entry *e = low < l->count ? &l->entries[low] : NULL;
    if (!e || e->name_pos != name_pos || e->kind != PBR_KIND_FILE || e->size == 0)
        return;
    const uint64_t items = e->end_pos - e->name_pos;
    if (rec->size == items) /* PXAR-158 */
        e->read = PBR_LAYOUT_NOT_READ;
    else if (rec->size > items && rec->size - items == e->size) /* PXAR-157 */
        e->read = PBR_LAYOUT_READ;
}

/* ---- orders ---- */

static int compare_paths(const void *a, const void *b)
{
    const struct by_path *one = a, *two = b;
    const int order = pbr_span_cmp(one->path, two->path);
    return order ? order : (one->i > two->i) - (one->i < two->i);
}

static int compare_offs(const void *a, const void *b)
{
    const struct by_off *one = a, *two = b;
    return one->off != two->off ? (one->off > two->off) - (one->off < two->off) : (one->i > two->i) - (one->i < two->i);
}

static int compare_digests(const void *a, const void *b)
{
    const struct by_digest *one = a, *two = b;
    const int order = memcmp(one->digest, two->digest, PBR_DIGEST_LEN);
    return order ? order : (one->i > two->i) - (one->i < two->i);
}

int pbr_layout_finish(struct pbr_layout *l, struct pbr_diag *diag)
{
    size_t chunk_nr, file = 0, at = 0;
    if (!pbr_to_size(l->index.entry_nr, &chunk_nr))
        return no_memory(diag);
    l->by_path = pbr_alloc(l->env, l->count + 1, sizeof(*l->by_path));
    l->by_off = pbr_alloc(l->env, l->file_nr + 1, sizeof(*l->by_off));
    l->by_digest = pbr_alloc(l->env, chunk_nr + 1, sizeof(*l->by_digest));
    if (!l->by_path || !l->by_off || !l->by_digest)
        return no_memory(diag);
    for (size_t i = 0; i < l->count; i++) {
        struct pbr_layout_entry *e = &l->entries[i];
        e->path = pbr_span_sub(pbr_buf_span(&l->paths), at, e->path.len);
        at += e->path.len;
        l->by_path[i] = (struct by_path){ e->path, i };
        if (e->kind == PBR_KIND_FILE)
            l->by_off[file++] = (struct by_off){ e->off, i };
    }
    for (size_t i = 0; i < chunk_nr; i++)
        l->by_digest[i] = (struct by_digest){ pbr_index_digest(&l->index, i), i };
    qsort(l->by_path, l->count, sizeof(*l->by_path), compare_paths);
    qsort(l->by_off, l->file_nr, sizeof(*l->by_off), compare_offs);
    qsort(l->by_digest, chunk_nr, sizeof(*l->by_digest), compare_digests);
    return PBR_OK;
}

/* ---- looking up ---- */

const struct pbr_index *pbr_layout_index(const struct pbr_layout *l)
{
    return &l->index;
}

size_t pbr_layout_count(const struct pbr_layout *l)
{
    return l->count;
}

const struct pbr_layout_entry *pbr_layout_get(const struct pbr_layout *l, size_t i)
{
    return &l->entries[i];
}

size_t pbr_layout_file_count(const struct pbr_layout *l)
{
    return l->file_nr;
}

size_t pbr_layout_file(const struct pbr_layout *l, size_t n)
{
    return l->by_off[n].i;
}

bool pbr_layout_find(const struct pbr_layout *l, struct pbr_span path, size_t *ret_i)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (pbr_span_cmp(l->by_path[mid].path, path) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == l->count || !pbr_span_eq(l->by_path[low].path, path))
        return false;
    *ret_i = l->by_path[low].i;
    return true;
}

/* The first that is not below the digest, or (above) the first that is above it. */
static size_t digest_bound(const struct pbr_layout *l, const uint8_t digest[PBR_DIGEST_LEN], bool above)
{
    size_t low = 0, high = (size_t)l->index.entry_nr;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (memcmp(l->by_digest[mid].digest, digest, PBR_DIGEST_LEN) < (above ? 1 : 0))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

size_t pbr_layout_digest_count(const struct pbr_layout *l, const uint8_t digest[PBR_DIGEST_LEN], size_t *ret_first)
{
    *ret_first = digest_bound(l, digest, false);
    return digest_bound(l, digest, true) - *ret_first;
}

uint64_t pbr_layout_digest_get(const struct pbr_layout *l, size_t first, size_t n)
{
    return l->by_digest[first + n].i;
}

/* ---- metadata ---- */

static struct pbr_pxar_meta meta_of(const struct pbr_layout_entry *e)
{
    if (e->extended)
        return *e->extended;
    return (struct pbr_pxar_meta){ .mode = e->mode,
                                   .flags = e->flags,
                                   .uid = e->uid,
                                   .gid = e->gid,
                                   .mtime_s = e->mtime_s,
                                   .mtime_ns = e->mtime_ns };
}

bool pbr_layout_meta_equal(const struct pbr_layout_entry *a, const struct pbr_layout_entry *b)
{
    const struct pbr_pxar_meta one = meta_of(a), two = meta_of(b);
    return pbr_pxar_meta_equal(&one, &two);
}

bool pbr_layout_attributes_equal(const struct pbr_layout_entry *a, const struct pbr_layout_entry *b)
{
    struct pbr_pxar_meta one = meta_of(a), two = meta_of(b);
    two.mode = one.mode;
    two.flags = one.flags;
    two.uid = one.uid;
    two.gid = one.gid;
    two.mtime_s = one.mtime_s;
    two.mtime_ns = one.mtime_ns;
    return pbr_pxar_meta_equal(&one, &two);
}
