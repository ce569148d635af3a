/* SPDX-License-Identifier: MIT */
/* Streaming writer of catalogs; see catalog.h [CAT-001 .. CAT-007, CAT-053].
 *
 * A directory's table can be written only when the directory ends, and the offsets to its children
 * count from the place where it then starts. So an open directory keeps its entries without those
 * offsets, and a list of where each offset belongs. Thread: not shared. */
#include <string.h>

#include "base/limits.h"
#include "format/catalog.h"
#include "format/catalog_int.h"

/* A child directory inside the entries of an open one. */
struct child {
    size_t at;      /* where in `entries` its offset belongs */
    uint64_t table; /* where its table starts in the file */
};

struct open_dir {
    struct pbr_buf entries;
    uint64_t entry_nr;
    struct child *children;
    size_t child_nr, child_cap;
    char *name; /* NULL for the root */
};

struct pbr_pcat_writer {
    const struct pbr_env *env;
    struct pbr_sink *sink;
    uint64_t pos;
    struct open_dir *dirs; /* dirs[0] is the root */
    size_t dir_nr, dir_cap;
    struct pbr_buf table; /* the one being written */
    bool extended;
    bool finished, failed;
};

static void release_dir(const struct pbr_env *env, struct open_dir *dir)
{
    pbr_buf_release(&dir->entries);
    pbr_free(env, dir->children);
    pbr_free(env, dir->name);
}

static int put(struct pbr_pcat_writer *w, struct pbr_span in, struct pbr_diag *diag)
{
    const int rc = pbr_sink_write(w->sink, in, diag);
    if (rc < 0) {
        w->failed = true;
        return rc;
    }
    w->pos += in.len;
    return PBR_OK;
}

static int out_of_room(struct pbr_pcat_writer *w, int rc, struct pbr_diag *diag)
{
    w->failed = true;
    return pbr_fail_at(diag, rc, NULL, "catalog: %s", pbr_err_name(rc));
}

static int push_dir(struct pbr_pcat_writer *w, const struct pbr_span *name)
{
    if (w->dir_nr == w->dir_cap) {
        const size_t cap = w->dir_cap ? w->dir_cap * 2 : 16; /* bounded by PBR_PATH_DEPTH_MAX */
        struct open_dir *dirs = pbr_realloc(w->env, w->dirs, cap * sizeof(*dirs));
        if (!dirs)
            return PBR_E_NOMEM;
        w->dirs = dirs;
        w->dir_cap = cap;
    }
    struct open_dir dir = { 0 };
    pbr_buf_init(&dir.entries, w->env, PBR_CATALOG_TABLE_MAX);
    dir.name = name ? pbr_strndup(w->env, *name) : NULL;
    if (name && !dir.name)
        return PBR_E_NOMEM;
    w->dirs[w->dir_nr++] = dir;
    return PBR_OK;
}

static int writer_new(const struct pbr_env *env, struct pbr_sink *sink, bool extended,
                      struct pbr_pcat_writer **ret, struct pbr_diag *diag)
{
    static const uint8_t magics[2][PCAT_MAGIC_LEN] = { PCAT_MAGIC, PCAT_MAGIC_EXTENDED };
    int rc = PBR_E_NOMEM;
    struct pbr_pcat_writer *w = pbr_alloc(env, 1, sizeof(*w));
    if (!w)
        goto out;
    w->env = env;
    w->sink = sink;
    w->extended = extended;
    pbr_buf_init(&w->table, env, PBR_CATALOG_TABLE_MAX);
    rc = push_dir(w, NULL);
    if (rc < 0)
        goto out;
    rc = put(w, pbr_span(magics[extended], PCAT_MAGIC_LEN), diag);
    if (rc < 0)
        goto out;

    *ret = w;
    w = NULL;
out:
    pbr_pcat_writer_free(w);
    return rc;
}

int pbr_pcat_writer_new(const struct pbr_env *env, struct pbr_sink *sink,
                        struct pbr_pcat_writer **ret, struct pbr_diag *diag)
{
    return writer_new(env, sink, false, ret, diag);
}

int pbr_pcat_writer_new_extended(const struct pbr_env *env, struct pbr_sink *sink,
                                 struct pbr_pcat_writer **ret, struct pbr_diag *diag)
{
    return writer_new(env, sink, true, ret, diag);
}

void pbr_pcat_writer_free(struct pbr_pcat_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->dir_nr; i++)
        release_dir(w->env, &w->dirs[i]);
    pbr_free(w->env, w->dirs);
    pbr_buf_release(&w->table);
    pbr_free(w->env, w);
}

static int check_state(const struct pbr_pcat_writer *w, struct pbr_diag *diag)
{
    if (w->failed || w->finished)
        return pbr_fail_at(diag, PBR_E_STATE, "CAT-053", "catalog is %s",
                           w->failed ? "broken" : "finished");
    return PBR_OK;
}

/* Names come from a file system or are archive names, so these are errors of the caller. */
static int check_name(struct pbr_span name, struct pbr_diag *diag)
{
    if (name.len == 0 || memchr(name.ptr, '/', name.len) || memchr(name.ptr, 0, name.len))
        return pbr_fail_at(diag, PBR_E_ARG, "CAT-053", "catalog: '%.*s' is no file name",
                           (int)name.len, name.len ? (const char *)name.ptr : "");
    if (name.len > PBR_CATALOG_NAME_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "CAT-043", "catalog: name of %zu bytes", name.len);
    return PBR_OK;
}

int pbr_pcat_writer_start_dir(struct pbr_pcat_writer *w, struct pbr_span name,
                              struct pbr_diag *diag)
{
    int rc = check_state(w, diag);
    if (rc == PBR_OK)
        rc = check_name(name, diag);
    if (rc < 0)
        return rc;
    if (w->dir_nr > PBR_PATH_DEPTH_MAX)
        return out_of_room(w, PBR_E_LIMIT, diag);
    rc = push_dir(w, &name);
    return rc < 0 ? out_of_room(w, rc, diag) : PBR_OK;
}

int pbr_pcat_writer_add(struct pbr_pcat_writer *w, const struct pbr_pcat_entry *entry,
                        struct pbr_diag *diag)
{
    int rc = check_state(w, diag);
    if (rc == PBR_OK)
        rc = check_name(entry->name, diag);
    if (rc < 0)
        return rc;
    if (entry->type == PBR_PCAT_REF && !w->extended)
        return pbr_fail_at(diag, PBR_E_ARG, "APX-073", "catalog: a reference needs the extended format");
    if (pbr_pcat_is_dir(entry))
        return pbr_fail_at(diag, PBR_E_ARG, "CAT-053",
                           "catalog: a directory has a start and an end");
    struct open_dir *dir = &w->dirs[w->dir_nr - 1];
    rc = pbr_pcat_entry_emit(entry, w->extended, &dir->entries);
    if (rc < 0)
        return out_of_room(w, rc, diag);
    dir->entry_nr++;
    return PBR_OK;
}

/* Puts the table of `dir`, as it is when it starts at w->pos, into w->table [CAT-004, CAT-012]. */
static int build_table(struct pbr_pcat_writer *w, const struct open_dir *dir)
{
    uint8_t number[PBR_PCAT_U64_MAX];
    const struct pbr_span entries = pbr_buf_span(&dir->entries);
    uint64_t len = pbr_pcat_u64_emit(dir->entry_nr, number) + entries.len;
    for (size_t i = 0; i < dir->child_nr; i++)
        len += pbr_pcat_u64_emit(w->pos - dir->children[i].table, number);

    pbr_buf_clear(&w->table);
    int rc = pbr_buf_append(&w->table, pbr_span(number, pbr_pcat_u64_emit(len, number)));
    if (rc == PBR_OK)
        rc = pbr_buf_append(&w->table, pbr_span(number, pbr_pcat_u64_emit(dir->entry_nr, number)));
    size_t from = 0;
    for (size_t i = 0; rc == PBR_OK && i < dir->child_nr; i++) {
        const struct child *c = &dir->children[i];
        rc = pbr_buf_append(&w->table, pbr_span_sub(entries, from, c->at - from));
        from = c->at;
        if (rc == PBR_OK)
            rc = pbr_buf_append(&w->table,
                                pbr_span(number, pbr_pcat_u64_emit(w->pos - c->table, number)));
    }
    if (rc == PBR_OK)
        rc = pbr_buf_append(&w->table, pbr_span_sub(entries, from, entries.len - from));
    return rc;
}

static int write_table(struct pbr_pcat_writer *w, const struct open_dir *dir, struct pbr_diag *diag)
{
    const int rc = build_table(w, dir);
    return rc < 0 ? out_of_room(w, rc, diag) : put(w, pbr_buf_span(&w->table), diag);
}

/* Enters a directory whose table starts at `table` into its parent; as an archive if appendix_start is not NULL. */
static int add_child(struct pbr_pcat_writer *w, struct open_dir *parent, const char *name,
                     uint64_t table, const uint64_t *appendix_start)
{
    uint8_t number[PBR_PCAT_U64_MAX];
    if (parent->child_nr == parent->child_cap) {
        const size_t cap = parent->child_cap ? parent->child_cap * 2 : 8;
        struct child *children = pbr_realloc(w->env, parent->children, cap * sizeof(*children));
        if (!children)
            return PBR_E_NOMEM;
        parent->children = children;
        parent->child_cap = cap;
    }
    const struct pbr_pcat_entry entry = { .type = appendix_start ? PBR_PCAT_ARCHIVE : PBR_PCAT_DIR,
                                          .name = pbr_span_str(name) };
    int rc = pbr_pcat_entry_emit(&entry, w->extended, &parent->entries);
    if (rc < 0)
        return rc;
    parent->children[parent->child_nr++] =
        (struct child){ .at = parent->entries.len, .table = table };
    parent->entry_nr++;
    if (appendix_start) /* stands behind the distance */
        rc = pbr_buf_append(&parent->entries, pbr_span(number, pbr_pcat_u64_emit(*appendix_start, number)));
    return rc;
}

static int end_dir(struct pbr_pcat_writer *w, const uint64_t *appendix_start, struct pbr_diag *diag)
{
    int rc = check_state(w, diag);
    if (rc < 0)
        return rc;
    if (w->dir_nr == 1)
        return pbr_fail_at(diag, PBR_E_STATE, "CAT-053", "catalog: no directory is open");
    if (appendix_start && (w->dir_nr != 2 || !w->extended))
        return pbr_fail_at(diag, PBR_E_STATE, "APX-074", "catalog: no place for an archive");
    struct open_dir *dir = &w->dirs[w->dir_nr - 1];
    const uint64_t table = w->pos;
    rc = write_table(w, dir, diag);
    if (rc < 0)
        return rc;
    rc = add_child(w, dir - 1, dir->name, table, appendix_start);
    if (rc < 0)
        return out_of_room(w, rc, diag);
    release_dir(w->env, dir);
    w->dir_nr--;
    return PBR_OK;
}

int pbr_pcat_writer_end_dir(struct pbr_pcat_writer *w, struct pbr_diag *diag)
{
    return end_dir(w, NULL, diag);
}

int pbr_pcat_writer_end_archive(struct pbr_pcat_writer *w, uint64_t appendix_start, struct pbr_diag *diag)
{
    return end_dir(w, &appendix_start, diag);
}

int pbr_pcat_writer_finish(struct pbr_pcat_writer *w, struct pbr_diag *diag)
{
    uint8_t pointer[PCAT_POINTER_LEN];
    int rc = check_state(w, diag);
    if (rc < 0)
        return rc;
    if (w->dir_nr != 1)
        return pbr_fail_at(diag, PBR_E_STATE, "CAT-053", "catalog: %zu directories are open",
                           w->dir_nr - 1);
    pbr_put_u64le(pointer, w->pos);
    rc = write_table(w, &w->dirs[0], diag);
    if (rc == PBR_OK)
        rc = put(w, pbr_span(pointer, sizeof(pointer)), diag);
    if (rc < 0)
        return rc;
    w->finished = true;
    return PBR_OK;
}

uint64_t pbr_pcat_writer_size(const struct pbr_pcat_writer *w)
{
    return w->pos;
}
