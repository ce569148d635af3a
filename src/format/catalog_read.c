/* SPDX-License-Identifier: MIT */
/* Reader of catalogs; see catalog.h [CAT section 4, CAT-052, CAT-086].
 *
 * A hostile catalog may name one table twice, which multiplies a walk's length with every level. In
 * a true catalog the tables lie side by side, so a walk that has read more bytes of tables than the
 * file has goes in circles. Thread: not shared. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "format/catalog.h"
#include "format/catalog_int.h"

struct pbr_pcat {
    const struct pbr_env *env;
    const struct pbr_source *src;
    uint64_t root;
    uint64_t end; /* of all tables: where the root pointer stands */
    bool extended;
};

/* A table in memory. */
struct table {
    uint64_t start;   /* in the file, of its length */
    uint64_t base;    /* in the file, of its first byte in memory */
    uint64_t left_nr; /* entries not parsed yet */
    struct pcat_form form;
    uint8_t *bytes;
    struct pbr_cur in;
};

int pbr_pcat_open(const struct pbr_env *env, const struct pbr_source *src, struct pbr_pcat **ret,
                  struct pbr_diag *diag)
{
    static const uint8_t magic[PCAT_MAGIC_LEN] = PCAT_MAGIC;
    static const uint8_t extended_magic[PCAT_MAGIC_LEN] = PCAT_MAGIC_EXTENDED;
    uint8_t bytes[8];
    if (src->size < PCAT_MAGIC_LEN + PCAT_POINTER_LEN)
        return pbr_fail(diag, PBR_E_TRUNCATED, "CAT-041", 0, "catalog of %" PRIu64 " bytes",
                        src->size);
    int rc = pbr_source_read_at(src, 0, bytes, sizeof(bytes), diag);
    if (rc < 0)
        return rc;
    const bool extended = memcmp(bytes, extended_magic, sizeof(magic)) == 0; /* [APX-172] */
    if (!extended && memcmp(bytes, magic, sizeof(magic)) != 0)
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-040", 0, "not a catalog: wrong magic");
    const uint64_t end = src->size - PCAT_POINTER_LEN;
    rc = pbr_source_read_at(src, end, bytes, sizeof(bytes), diag);
    if (rc < 0)
        return rc;
    const uint64_t root = pbr_get_u64le(bytes);
    if (root >= end)
        return pbr_fail(diag, PBR_E_TRUNCATED, "CAT-041", end,
                        "root table at %" PRIu64 ", past the end", root);
    if (root < PCAT_MAGIC_LEN)
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-051", end,
                        "root table at %" PRIu64 ", inside the magic", root);

    struct pbr_pcat *cat = pbr_alloc(env, 1, sizeof(*cat));
    if (!cat)
        return PBR_E_NOMEM;
    *cat = (struct pbr_pcat){ .env = env, .src = src, .root = root, .end = end, .extended = extended };
    *ret = cat;
    return PBR_OK;
}

void pbr_pcat_free(struct pbr_pcat *cat)
{
    if (cat)
        pbr_free(cat->env, cat);
}

uint64_t pbr_pcat_root(const struct pbr_pcat *cat)
{
    return cat->root;
}

bool pbr_pcat_is_extended(const struct pbr_pcat *cat)
{
    return cat->extended;
}

/* ---- tables ---- */

/* Length of the table at `start`, and where its bytes begin. It must end at or before `end`. */
static int read_table_len(const struct pbr_pcat *cat, uint64_t start, uint64_t end,
                          uint64_t *ret_base, size_t *ret_len, struct pbr_diag *diag)
{
    uint8_t head[PBR_PCAT_U64_MAX];
    uint64_t len = 0;
    if (start < PCAT_MAGIC_LEN || start >= end)
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-051", start, "no table can start at %" PRIu64,
                        start);
    const uint64_t room = end - start;
    const size_t head_len = room < sizeof(head) ? (size_t)room : sizeof(head);
    int rc = pbr_source_read_at(cat->src, start, head, head_len, diag);
    if (rc < 0)
        return rc;
    struct pbr_cur in = pbr_cur(pbr_span(head, head_len));
    rc = pbr_pcat_u64_parse(&in, &len, diag);
    if (rc < 0)
        return rc;
    if (len == 0)
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-042", start, "table of 0 bytes");
    if (len > room - in.pos)
        return pbr_fail(diag, PBR_E_TRUNCATED, "CAT-041", start,
                        "table of %" PRIu64 " bytes where %" PRIu64 " are", len, room - in.pos);
    if (len > PBR_CATALOG_TABLE_MAX)
        return pbr_fail(diag, PBR_E_LIMIT, "CAT-049", start, "table of %" PRIu64 " bytes", len);
    *ret_base = start + in.pos;
    *ret_len = (size_t)len;
    return PBR_OK;
}

static int load_table(const struct pbr_pcat *cat, uint64_t start, uint64_t end, struct table *ret,
                      struct pbr_diag *diag)
{
    struct table t = { .start = start, .form = { .extended = cat->extended, .root = start == cat->root } };
    size_t len = 0;
    int rc = read_table_len(cat, start, end, &t.base, &len, diag);
    if (rc < 0)
        return rc;
    t.bytes = pbr_realloc(cat->env, NULL, len);
    if (!t.bytes)
        return PBR_E_NOMEM;
    rc = pbr_source_read_at(cat->src, t.base, t.bytes, len, diag);
    t.in = pbr_cur(pbr_span(t.bytes, len));
    if (rc == PBR_OK)
        rc = pbr_pcat_u64_parse(&t.in, &t.left_nr, diag);
    if (rc < 0) {
        pbr_free(cat->env, t.bytes);
        return rc;
    }
    *ret = t;
    return PBR_OK;
}

/* 1 and the next entry, or 0 at the end, where nothing may be left [CAT-046]. */
static int next_entry(struct table *t, struct pbr_pcat_entry *ret, struct pbr_diag *diag)
{
    if (t->left_nr == 0) {
        if (pbr_cur_left(&t->in) > 0)
            return pbr_fail(diag, PBR_E_FORMAT, "CAT-046", t->base + t->in.pos,
                            "%zu bytes behind the last entry", pbr_cur_left(&t->in));
        return 0;
    }
    const int rc = pbr_pcat_entry_parse(&t->in, t->start, t->base, t->form, ret, diag);
    if (rc < 0)
        return rc;
    t->left_nr--;
    return 1;
}

/* ---- lookup ---- */

/* The first entry with this name in the table of `dir`. */
static int find_in(const struct pbr_pcat *cat, const struct pbr_pcat_entry *dir, uint64_t end,
                   struct pbr_span name, struct pbr_pcat_entry *ret, struct pbr_diag *diag)
{
    struct table t;
    struct pbr_pcat_entry entry;
    int rc = load_table(cat, dir->table, end, &t, diag);
    if (rc < 0)
        return rc;
    do {
        rc = next_entry(&t, &entry, diag);
    } while (rc == 1 && !pbr_span_eq(entry.name, name));
    pbr_free(cat->env, t.bytes);
    if (rc == 0)
        return pbr_fail_at(diag, PBR_E_NOENT, "CAT-086", "'%.*s' is not in the catalog",
                           (int)name.len, name.len ? (const char *)name.ptr : "");
    if (rc < 0)
        return rc;
    *ret = entry;
    ret->name = name;
    return PBR_OK;
}

int pbr_pcat_lookup(const struct pbr_pcat *cat, struct pbr_span path, struct pbr_pcat_entry *ret,
                    struct pbr_diag *diag)
{
    struct pbr_pcat_entry at = { .type = PBR_PCAT_DIR, .table = cat->root };
    uint64_t end = cat->end; /* a child's table ends before its parent's starts [CAT-002] */
    if (pbr_span_eq_str(path, "/")) {
        *ret = at;
        return PBR_OK;
    }
    size_t from = path.len > 0 && path.ptr[0] == '/';
    for (bool more = true; more;) {
        size_t to = from;
        while (to < path.len && path.ptr[to] != '/')
            to++;
        more = to < path.len;
        const struct pbr_span name = pbr_span_sub(path, from, to - from);
        if (!pbr_pcat_is_dir(&at) || name.len == 0)
            return pbr_fail_at(diag, PBR_E_NOENT, "CAT-086", "'%.*s' is not in the catalog",
                               (int)path.len, path.len ? (const char *)path.ptr : "");
        const uint64_t next_end = at.table;
        const int rc = find_in(cat, &at, end, name, &at, diag);
        if (rc < 0)
            return rc;
        end = next_end;
        from = to + 1;
    }
    *ret = at;
    return PBR_OK;
}

/* ---- one directory ---- */

struct pbr_pcat_dir {
    const struct pbr_env *env;
    uint8_t *bytes; /* the table; names lie in it */
    struct pbr_pcat_entry *entries; /* by name */
    size_t nr;
};

/* Equal names stay in the order of the table: they lie in it one behind the other. */
static int by_name(const void *pa, const void *pb)
{
    const struct pbr_pcat_entry *a = pa, *b = pb;
    const int order = pbr_span_cmp(a->name, b->name);
    return order ? order : (a->name.ptr > b->name.ptr) - (a->name.ptr < b->name.ptr);
}

static int collect(struct pbr_pcat_dir *dir, struct table *t, struct pbr_diag *diag)
{
    size_t cap = 0;
    for (;;) {
        struct pbr_pcat_entry entry;
        const int rc = next_entry(t, &entry, diag);
        if (rc <= 0)
            return rc;
        if (dir->nr == cap) {
            cap = cap ? cap * 2 : 64;
            struct pbr_pcat_entry *more = pbr_realloc(dir->env, dir->entries, cap * sizeof(*more));
            if (!more)
                return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a directory of the catalog");
            dir->entries = more;
        }
        dir->entries[dir->nr++] = entry;
    }
}

int pbr_pcat_dir_load(const struct pbr_pcat *cat, uint64_t table, struct pbr_pcat_dir **ret, struct pbr_diag *diag)
{
    struct table t;
    struct pbr_pcat_dir *dir = pbr_alloc(cat->env, 1, sizeof(*dir));
    if (!dir)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a directory of the catalog");
    dir->env = cat->env;
    int rc = load_table(cat, table, cat->end, &t, diag);
    if (rc == PBR_OK) {
        dir->bytes = t.bytes;
        rc = collect(dir, &t, diag);
    }
    if (rc < 0) {
        pbr_pcat_dir_free(dir);
        return rc;
    }
    if (dir->nr > 0)
        qsort(dir->entries, dir->nr, sizeof(*dir->entries), by_name);
    *ret = dir;
    return PBR_OK;
}

void pbr_pcat_dir_free(struct pbr_pcat_dir *dir)
{
    if (!dir)
        return;
    pbr_free(dir->env, dir->entries);
    pbr_free(dir->env, dir->bytes);
    pbr_free(dir->env, dir);
}

const struct pbr_pcat_entry *pbr_pcat_dir_find(const struct pbr_pcat_dir *dir, struct pbr_span name)
{
    size_t low = 0, high = dir->nr;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (pbr_span_cmp(dir->entries[mid].name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < dir->nr && pbr_span_eq(dir->entries[low].name, name) ? &dir->entries[low] : NULL;
}

/* ---- walk ---- */

struct level {
    struct table table;
    size_t path_len; /* of the directory itself */
};

struct pbr_pcat_walk {
    const struct pbr_pcat *cat;
    struct level *levels;
    size_t level_nr, level_cap;
    uint64_t budget;     /* bytes of tables that may still be read */
    uint64_t pending;    /* table of the directory given last, 0 if there is none to enter */
    struct pbr_buf path; /* of the last entry */
    size_t depth;
    bool failed;
};

static int enter(struct pbr_pcat_walk *w, uint64_t start, uint64_t end, struct pbr_diag *diag)
{
    struct table t;
    if (w->level_nr > PBR_PATH_DEPTH_MAX)
        return pbr_fail(diag, PBR_E_LIMIT, "CAT-052", start, "catalog with more than %d levels",
                        (int)PBR_PATH_DEPTH_MAX);
    if (w->level_nr == w->level_cap) {
        const size_t cap = w->level_cap ? w->level_cap * 2 : 16;
        struct level *levels = pbr_realloc(w->cat->env, w->levels, cap * sizeof(*levels));
        if (!levels)
            return PBR_E_NOMEM;
        w->levels = levels;
        w->level_cap = cap;
    }
    const int rc = load_table(w->cat, start, end, &t, diag);
    if (rc < 0)
        return rc;
    const uint64_t used = t.base - t.start + t.in.len;
    if (used > w->budget) {
        pbr_free(w->cat->env, t.bytes);
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-052", start, "a table is used twice");
    }
    w->budget -= used;
    w->levels[w->level_nr++] = (struct level){ .table = t, .path_len = w->path.len };
    return PBR_OK;
}

static void leave(struct pbr_pcat_walk *w)
{
    pbr_free(w->cat->env, w->levels[--w->level_nr].table.bytes);
}

int pbr_pcat_walk_new(const struct pbr_pcat *cat, uint64_t table, struct pbr_pcat_walk **ret,
                      struct pbr_diag *diag)
{
    struct pbr_pcat_walk *w = pbr_alloc(cat->env, 1, sizeof(*w));
    if (!w)
        return PBR_E_NOMEM;
    *w = (struct pbr_pcat_walk){ .cat = cat, .budget = cat->end - PCAT_MAGIC_LEN };
    pbr_buf_init(&w->path, cat->env, (size_t)PBR_PATH_DEPTH_MAX * (PBR_CATALOG_NAME_MAX + 1));
    const int rc = enter(w, table, cat->end, diag);
    if (rc < 0) {
        pbr_pcat_walk_free(w);
        return rc;
    }
    *ret = w;
    return PBR_OK;
}

void pbr_pcat_walk_free(struct pbr_pcat_walk *w)
{
    if (!w)
        return;
    while (w->level_nr > 0)
        leave(w);
    pbr_free(w->cat->env, w->levels);
    pbr_buf_release(&w->path);
    pbr_free(w->cat->env, w);
}

/* Path of the directory on top, a '/', and the name. */
static int set_path(struct pbr_pcat_walk *w, struct pbr_span name)
{
    w->path.len = w->levels[w->level_nr - 1].path_len;
    int rc = w->level_nr > 1 ? pbr_buf_append_u8(&w->path, '/') : PBR_OK;
    return rc == PBR_OK ? pbr_buf_append(&w->path, name) : rc;
}

static int walk_step(struct pbr_pcat_walk *w, struct pbr_pcat_entry *ret, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    if (w->pending)
        rc = enter(w, w->pending, w->levels[w->level_nr - 1].table.start, diag);
    w->pending = 0;
    if (rc < 0)
        return rc;
    while (w->level_nr > 0) {
        struct pbr_pcat_entry entry;
        rc = next_entry(&w->levels[w->level_nr - 1].table, &entry, diag);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            leave(w);
            continue;
        }
        rc = set_path(w, entry.name);
        if (rc < 0)
            return rc;
        w->depth = w->level_nr - 1;
        w->pending = entry.table;
        *ret = entry;
        return 1;
    }
    return 0;
}

int pbr_pcat_walk_next(struct pbr_pcat_walk *w, struct pbr_pcat_entry *ret, struct pbr_diag *diag)
{
    if (w->failed)
        return pbr_fail_at(diag, PBR_E_STATE, "CAT-052", "walk over a damaged catalog");
    const int rc = walk_step(w, ret, diag);
    w->failed = rc < 0;
    return rc;
}

void pbr_pcat_walk_skip(struct pbr_pcat_walk *w)
{
    w->pending = 0;
}

struct pbr_span pbr_pcat_walk_path(const struct pbr_pcat_walk *w)
{
    return pbr_buf_span(&w->path);
}

size_t pbr_pcat_walk_depth(const struct pbr_pcat_walk *w)
{
    return w->depth;
}
