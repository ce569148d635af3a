/* SPDX-License-Identifier: MIT */
/* Garbage collection [IDX-120, IDX-121] and figures; see gc.h. */
#include "store/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "store/chunk.h"
#include "store/store_int.h"
#include "sys/fd.h"

enum { HEX_LEN = 2 * PBR_DIGEST_LEN };

/* ---- what lies in .chunks ---- */

enum chunk_file { FILE_OTHER, FILE_CHUNK, FILE_BAD, FILE_TEMPORARY };

static enum chunk_file file_kind(const char *name)
{
    const size_t hex = strspn(name, "0123456789abcdef");
    const char *rest = name + hex;
    if (hex != HEX_LEN)
        return FILE_OTHER;
    if (!*rest)
        return FILE_CHUNK;
    if (rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9' && strcmp(rest + 2, ".bad") == 0)
        return FILE_BAD;
    return strncmp(rest, ".tmp_", 5) == 0 ? FILE_TEMPORARY : FILE_OTHER;
}

static bool want_prefix(const char *name)
{
    return strlen(name) == 4 && strspn(name, "0123456789abcdef") == 4;
}

static bool want_chunk_file(const char *name)
{
    return file_kind(name) != FILE_OTHER;
}

typedef int chunk_fn(void *ctx, int dirfd, const char *name, const struct stat *st, struct pbr_diag *diag);

static int walk_prefix(struct pbr_store *s, const char *prefix, chunk_fn *each, void *ctx, struct pbr_diag *diag)
{
    struct store_names names;
    int fd = store_open_dir(s->chunks_fd, prefix);
    if (fd < 0)
        return PBR_OK;
    int rc = store_read_dir(s->env, fd, want_chunk_file, &names, diag);
    if (rc < 0) {
        pbr_close(&fd);
        return rc;
    }
    for (size_t i = 0; rc == PBR_OK && i < names.nr; i++) {
        struct stat st;
        if (fstatat(fd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            rc = each(ctx, fd, names.items[i], &st, diag);
    }
    store_names_release(&names);
    pbr_close(&fd);
    return rc;
}

/* All files in .chunks that belong there. */
static int walk_chunks(struct pbr_store *s, chunk_fn *each, void *ctx, struct pbr_diag *diag)
{
    struct store_names names;
    int rc = store_read_dir(s->env, s->chunks_fd, want_prefix, &names, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < names.nr; i++)
        rc = walk_prefix(s, names.items[i], each, ctx, diag);
    store_names_release(&names);
    return rc;
}

/* ---- phase 1: mark ---- */

struct gc_run {
    struct pbr_store *s;
    bool dry_run;
    int64_t start_s, cutoff_s;
    struct pbr_known seen; /* digests marked in this run */
    struct pbr_gc_result result;
};

static int load_index(struct pbr_store *s, int dirfd, const char *name, const char *path, struct pbr_store_index *ret,
                      struct pbr_diag *diag)
{
    struct pbr_store_index ix = { 0 };
    struct pbr_diag cause = { 0 };
    int rc = store_load(s, dirfd, name, PBR_INDEX_SIZE_MAX, &ix.file, &cause);
    if (rc == PBR_OK)
        rc = pbr_index_parse(pbr_buf_span(&ix.file), false, &ix.ix, &cause);
    if (rc < 0) {
        pbr_store_index_release(&ix);
        return pbr_fail_at(diag, rc, "IDX-120", "can't open index \"%s/%s\" - %s", s->path, path, cause.text);
    }
    *ret = ix;
    return PBR_OK;
}

static int mark_chunk(struct gc_run *run, const uint8_t *digest, struct pbr_diag *diag)
{
    if (pbr_known_get(&run->seen, digest, NULL))
        return PBR_OK;
    int rc = pbr_store_chunk_touch(run->s, digest);
    if (rc == PBR_E_NOENT) {
        char hex[HEX_LEN + 1];
        pbr_format_hex(digest, PBR_DIGEST_LEN, hex);
        pbr_log(run->s->env, PBR_LOG_DEBUG, "chunk %s is missing", hex);
        run->result.missing_chunks++;
    } else if (rc < 0) {
        return pbr_fail_at(diag, rc, "IDX-121", "cannot set the access time of a chunk");
    }
    rc = pbr_known_set(&run->seen, digest, 0);
    return rc < 0 ? store_nomem(diag) : PBR_OK;
}

static int mark_file(void *ctx, int dirfd, const char *name, const char *path, struct pbr_diag *diag)
{
    struct gc_run *run = ctx;
    struct pbr_store_index ix;
    enum pbr_file_type type;
    if (!pbr_name_file_type(pbr_span_str(name), &type) || type == PBR_FILE_BLOB)
        return PBR_OK;
    int rc = load_index(run->s, dirfd, name, path, &ix, diag);
    if (rc < 0)
        return rc;
    run->result.index_files++;
    run->result.index_data_bytes += ix.ix.size;
    for (uint64_t i = 0; rc == PBR_OK && i < ix.ix.entry_nr; i++)
        rc = mark_chunk(run, pbr_index_digest(&ix.ix, i), diag);
    pbr_store_index_release(&ix);
    return rc;
}

/* ---- phase 2: sweep ---- */

static int remove_file(struct gc_run *run, int dirfd, const char *name, struct pbr_diag *diag)
{
    if (run->dry_run || store_unlink(run->s, dirfd, name, 0) == 0 || errno == ENOENT)
        return PBR_OK;
    return pbr_fail_os(diag, errno, "cannot remove chunk %s", name);
}

static int sweep_file(void *ctx, int dirfd, const char *name, const struct stat *st, struct pbr_diag *diag)
{
    struct gc_run *run = ctx;
    struct pbr_gc_result *r = &run->result;
    const uint64_t size = (uint64_t)st->st_size;
    const bool old = st->st_atim.tv_sec < run->cutoff_s;
    const enum chunk_file kind = file_kind(name);
    const int rc = old ? remove_file(run, dirfd, name, diag) : PBR_OK;
    if (rc < 0)
        return rc;

    if (kind == FILE_BAD) {
        *(old ? &r->removed_bad : &r->still_bad) += 1;
    } else if (kind == FILE_TEMPORARY) {
        r->removed_temporary += old;
    } else if (old) {
        r->removed_chunks++;
        r->removed_bytes += size;
    } else {
        r->disk_chunks++;
        r->disk_bytes += size;
        if (st->st_atim.tv_sec < run->start_s) {
            r->pending_chunks++;
            r->pending_bytes += size;
        }
    }
    return PBR_OK;
}

int pbr_store_gc(struct pbr_store *s, const struct pbr_gc_opts *opts, struct pbr_gc_result *ret, struct pbr_diag *diag)
{
    static const struct pbr_gc_opts standard = { 0 };
    struct pbr_store_lock *lock;
    if (!opts)
        opts = &standard;
    if (s->read_only)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "datastore '%s' is open for reading only", s->name);
    const uint64_t age = opts->has_cutoff ? opts->cutoff_s : PBR_GC_CUTOFF_S;
    if (age > INT32_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "cutoff of %" PRIu64 " seconds", age);
    int rc = pbr_store_lock_chunks(s, PBR_STORE_EXCLUSIVE, &lock, diag);
    if (rc < 0)
        return rc;

    struct gc_run run = { .s = s, .dry_run = opts->dry_run, .start_s = s->env->now_s(s->env->ctx) };
    run.cutoff_s = run.start_s - (int64_t)age;
    pbr_known_init(&run.seen, s->env);
    rc = store_walk(s, mark_file, &run, diag);
    if (rc == PBR_OK)
        rc = walk_chunks(s, sweep_file, &run, diag);
    pbr_known_release(&run.seen);
    pbr_store_unlock(lock);
    if (rc == PBR_OK)
        *ret = run.result;
    return rc;
}

/* ---- figures ---- */

struct figures_run {
    struct pbr_store *s;
    struct pbr_store_figures f;
};

static int count_file(void *ctx, int dirfd, const char *name, const char *path, struct pbr_diag *diag)
{
    struct figures_run *run = ctx;
    struct pbr_store_index ix;
    enum pbr_file_type type;
    struct stat st;
    if (!pbr_name_file_type(pbr_span_str(name), &type))
        return PBR_OK;
    if (type == PBR_FILE_BLOB) {
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            run->f.blobs++;
            run->f.blob_bytes += (uint64_t)st.st_size;
        }
        return PBR_OK;
    }
    const int rc = load_index(run->s, dirfd, name, path, &ix, diag);
    if (rc < 0)
        return rc;
    run->f.indexes++;
    run->f.index_data_bytes += ix.ix.size;
    run->f.index_chunks += ix.ix.entry_nr;
    pbr_store_index_release(&ix);
    return PBR_OK;
}

static int count_chunk(void *ctx, int dirfd, const char *name, const struct stat *st, struct pbr_diag *diag)
{
    struct figures_run *run = ctx;
    const enum chunk_file kind = file_kind(name);
    (void)dirfd;
    (void)diag;
    if (kind == FILE_CHUNK) {
        run->f.chunks++;
        run->f.chunk_bytes += (uint64_t)st->st_size;
    }
    run->f.bad_chunks += kind == FILE_BAD;
    return PBR_OK;
}

static int count_namespace(struct figures_run *run, const char *ns, struct pbr_diag *diag)
{
    struct pbr_store_groups groups;
    struct pbr_store_snapshots snaps;
    int rc = pbr_store_list_groups(run->s, ns, &groups, diag);
    if (rc < 0)
        return rc;
    run->f.namespaces++;
    run->f.groups += groups.nr;
    pbr_store_groups_release(&groups);
    rc = pbr_store_list_snapshots(run->s, ns, NULL, NULL, &snaps, diag);
    if (rc < 0)
        return rc;
    run->f.snapshots += snaps.nr;
    for (size_t i = 0; i < snaps.nr; i++) {
        run->f.unfinished_snapshots += !snaps.items[i].finished;
        run->f.protected_snapshots += snaps.items[i].is_protected;
    }
    pbr_store_snapshots_release(&snaps);
    return PBR_OK;
}

int pbr_store_figures(struct pbr_store *s, struct pbr_store_figures *ret, struct pbr_diag *diag)
{
    struct figures_run run = { .s = s };
    struct pbr_store_namespaces all;
    int rc = pbr_store_list_namespaces(s, "", PBR_NS_DEPTH_MAX, &all, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < all.nr; i++)
        rc = count_namespace(&run, all.items[i], diag);
    pbr_store_namespaces_release(&all);
    if (rc == PBR_OK)
        rc = store_walk(s, count_file, &run, diag);
    if (rc == PBR_OK)
        rc = walk_chunks(s, count_chunk, &run, diag);
    if (rc < 0)
        return rc;
    run.f.dedup_factor = run.f.chunk_bytes ? (double)run.f.index_data_bytes / (double)run.f.chunk_bytes : 1.0;
    *ret = run.f;
    return PBR_OK;
}
