/* SPDX-License-Identifier: MIT */
/* One backup session on the datastore; see backup.h. */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/store_int.h"
#include "sys/fd.h"

enum {
    WID_MAX = 256,      /* ids above cannot be named in a request [BKP-104] */
    WRITERS_MAX = 1024, /* ours: bounds what a peer can make us hold */
};

struct pbr_store_backup {
    struct pbr_store *store;
    const struct pbr_env *env;
    char ns[PBR_NS_MAX + 1];
    struct pbr_snapshot snapshot;
    char rel[STORE_PATH_MAX]; /* snapshot directory below the root */
    char *path;               /* absolute */
    int dirfd;                /* snapshot directory; -1 before it was made */
    enum pbr_backup_state state;
    bool benchmark;
    bool has_base;
    bool new_group;           /* made by us: taken back if begin fails */
    struct pbr_snapshot base;
    struct pbr_store_lock *group_lock, *snapshot_lock, *base_lock, *chunks_lock;
    struct pbr_known known;
    struct pbr_store_writer **writers; /* index wid - 1; NULL once closed well */
    size_t writer_nr, writer_cap;
    uint64_t file_nr;                  /* indexes closed and blobs uploaded */
    struct pbr_upload_stats stats;
};

/* ---- begin ---- */

static int check_benchmark(const struct pbr_store_backup *b, struct pbr_diag *diag)
{
    const struct pbr_group *g = &b->snapshot.group;
    const bool is_group = strcmp(g->type, "host") == 0 && strcmp(g->id, "benchmark") == 0;
    if (is_group && !b->benchmark)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-036", "unable to run benchmark without --benchmark flags");
    if (!is_group && b->benchmark)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-036", "benchmark flags is only allowed on 'host/benchmark'");
    return PBR_OK;
}

/* Group lock, group directory with owner, owner check [BKP-037, BKP-038]. */
static int enter_group(struct pbr_store_backup *b, const char *auth_id, struct pbr_diag *diag)
{
    const struct pbr_group *g = &b->snapshot.group;
    char *owner;
    int rc = pbr_store_lock_group(b->store, b->ns, g, &b->group_lock, diag);
    if (rc < 0) {
        pbr_diag_context(diag, "while creating locked backup group '%s/%s'", g->type, g->id);
        return rc;
    }
    rc = store_create_group(b->store, b->ns, g, auth_id, diag);
    if (rc == PBR_OK)
        b->new_group = true;
    if (rc < 0 && rc != PBR_E_EXIST)
        return rc;
    rc = pbr_store_get_owner(b->store, b->ns, g, &owner, diag);
    if (rc < 0)
        return rc;
    if (!b->benchmark && !pbr_store_owner_allows(owner, auth_id))
        rc = pbr_fail_at(diag, PBR_E_STATE, "BKP-038", "backup owner check failed (%s != %s)", auth_id, owner);
    pbr_free(b->env, owner);
    return rc;
}

/* Newest time whose directory has a manifest; 0 if none. */
static int newest_finished(struct pbr_store_backup *b, int64_t *ret, struct pbr_diag *diag)
{
    struct store_times times;
    uint64_t size;
    int group_fd;
    int rc = store_open_group(b->store, b->ns, &b->snapshot.group, "BKP-039", &group_fd, diag);
    if (rc < 0)
        return rc;
    rc = store_read_times(b->store, group_fd, &times, diag);
    if (rc < 0) {
        pbr_close(&group_fd);
        return rc;
    }
    *ret = 0;
    for (size_t i = times.nr; i > 0 && *ret == 0; i--) {
        char name[PBR_TIME_TEXT + sizeof("/" STORE_MANIFEST)];
        if (!pbr_time_format(times.items[i - 1], name))
            continue;
        (void)snprintf(name + PBR_TIME_TEXT, sizeof(name) - PBR_TIME_TEXT, "/" STORE_MANIFEST);
        int fd = store_open_regular(group_fd, name, &size);
        if (fd >= 0)
            *ret = times.items[i - 1];
        pbr_close(&fd);
    }
    pbr_free(b->env, times.items);
    pbr_close(&group_fd);
    return PBR_OK;
}

/* Base snapshot [BKP-039, MAN-064], the order of times [BKP-040], shared lock on it [BKP-041]. */
static int choose_base(struct pbr_store_backup *b, struct pbr_diag *diag)
{
    struct pbr_manifest m = { 0 };
    char text[512];
    int64_t time_s;
    int rc = newest_finished(b, &time_s, diag);
    if (rc < 0 || time_s == 0)
        return rc;

    b->base = (struct pbr_snapshot){ .group = b->snapshot.group, .time_s = time_s };
    rc = pbr_store_load_manifest(b->store, b->ns, &b->base, &m, NULL, diag);
    if (rc < 0)
        return rc;
    const char *state = json_string_value(json_object_get(json_object_get(m.unprotected, "verify_state"), "state"));
    const bool failed = state && strcmp(state, "failed") == 0;
    pbr_manifest_release(&m);
    if (failed)
        return PBR_OK; /* older ones are not considered */
    if (b->snapshot.time_s <= time_s)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-040", "backup timestamp is older than last backup.");

    rc = pbr_store_lock_snapshot(b->store, b->ns, &b->base, PBR_STORE_SHARED, &b->base_lock, diag);
    if (rc < 0) {
        pbr_snapshot_format(&b->base, text, sizeof(text));
        pbr_diag_context(diag, "while locking last snapshot during backup '%s'", text);
        return rc;
    }
    b->has_base = true;
    return PBR_OK;
}

/* [BKP-042] */
static int make_snapshot(struct pbr_store_backup *b, struct pbr_diag *diag)
{
    int group_fd;
    int rc = pbr_store_lock_snapshot(b->store, b->ns, &b->snapshot, PBR_STORE_EXCLUSIVE, &b->snapshot_lock, diag);
    if (rc == PBR_OK)
        rc = store_open_group(b->store, b->ns, &b->snapshot.group, "BKP-042", &group_fd, diag);
    if (rc < 0)
        return rc;
    const char *name = strrchr(b->rel, '/') + 1;
    if (store_mkdir(b->store, group_fd, name, 0755) != 0) {
        rc = errno == EEXIST ? pbr_fail_at(diag, PBR_E_EXIST, "BKP-042", "backup directory already exists.")
                             : pbr_fail_os(diag, errno, "cannot create %s", b->path);
    } else if ((b->dirfd = store_open_dir(group_fd, name)) < 0) {
        rc = pbr_fail_os(diag, errno, "cannot open %s", b->path);
        (void)unlinkat(group_fd, name, AT_REMOVEDIR);
    }
    pbr_close(&group_fd);
    return rc;
}

static int begin(struct pbr_store_backup *b, const char *auth_id, struct pbr_diag *diag)
{
    int rc;
    if (!pbr_store_has_namespace(b->store, b->ns)) {
        rc = pbr_fail_at(diag, PBR_E_NOENT, "BKP-035", "namespace not found");
        if (diag)
            diag->status = 404;
        return rc;
    }
    rc = check_benchmark(b, diag);
    if (rc == PBR_OK)
        rc = enter_group(b, auth_id, diag);
    if (rc == PBR_OK)
        rc = choose_base(b, diag);
    if (rc == PBR_OK)
        rc = make_snapshot(b, diag);
    if (rc == PBR_OK)
        rc = pbr_store_lock_chunks(b->store, PBR_STORE_SHARED, &b->chunks_lock, diag);
    return rc;
}

int pbr_store_backup_begin(struct pbr_store *s, const struct pbr_store_backup_opts *opts,
                           struct pbr_store_backup **ret, struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX];
    if (s->read_only)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "datastore '%s' is open for reading only", s->name);
    int rc = store_snap_path(opts->ns, &opts->snapshot, rel, diag);
    if (rc < 0)
        return rc;
    struct pbr_store_backup *b = pbr_alloc(s->env, 1, sizeof(*b));
    if (!b)
        return store_nomem(diag);
    b->store = s;
    b->env = s->env;
    b->snapshot = opts->snapshot;
    b->benchmark = opts->benchmark;
    b->dirfd = -1;
    pbr_known_init(&b->known, s->env);
    (void)snprintf(b->ns, sizeof(b->ns), "%s", opts->ns);
    memcpy(b->rel, rel, sizeof(rel));
    b->path = pbr_asprintf(s->env, "%s/%s", s->path, rel);
    rc = b->path ? begin(b, opts->auth_id, diag) : store_nomem(diag);
    if (rc < 0) {
        pbr_store_backup_end(b);
        return rc;
    }
    *ret = b;
    return PBR_OK;
}

/* ---- end ---- */

static void release_locks(struct pbr_store_backup *b)
{
    pbr_store_unlock(b->snapshot_lock);
    pbr_store_unlock(b->base_lock);
    pbr_store_unlock(b->group_lock);
    b->snapshot_lock = b->base_lock = b->group_lock = NULL;
}

/* The whole directory of an unfinished snapshot, then the group if it is empty now [BKP-203]. */
static void take_back(struct pbr_store_backup *b)
{
    struct pbr_diag diag = { 0 };
    int rc = PBR_OK;
    if (b->dirfd >= 0)
        rc = store_drop_snapshot(b->store, b->ns, &b->snapshot, &diag);
    if (rc == PBR_OK && (b->dirfd >= 0 || b->new_group))
        rc = store_drop_empty_group(b->store, b->ns, &b->snapshot.group, &diag);
    if (rc < 0)
        pbr_log(b->env, PBR_LOG_DEBUG, "cannot remove unfinished %s: %s", b->path, diag.text);
}

void pbr_store_backup_end(struct pbr_store_backup *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->writer_nr; i++)
        pbr_store_writer_free(b->writers[i]);
    pbr_free(b->env, b->writers);
    if (b->state != PBR_BACKUP_FINISHED && b->group_lock)
        take_back(b);
    pbr_close(&b->dirfd);
    release_locks(b);
    pbr_store_unlock(b->chunks_lock);
    pbr_known_release(&b->known);
    pbr_free(b->env, b->path);
    pbr_free(b->env, b);
}

enum pbr_backup_state pbr_store_backup_state(const struct pbr_store_backup *b)
{
    return b->state;
}

const struct pbr_snapshot *pbr_store_backup_base(const struct pbr_store_backup *b)
{
    return b->has_base ? &b->base : NULL;
}

const struct pbr_known *pbr_store_backup_known(const struct pbr_store_backup *b)
{
    return &b->known;
}

/* ---- state, writers ---- */

static int check_active(const struct pbr_store_backup *b, struct pbr_diag *diag)
{
    if (b->state == PBR_BACKUP_FINISHING)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-080", "backup is already in the process of finishing.");
    if (b->state == PBR_BACKUP_FINISHED)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-080", "backup already marked as finished.");
    return PBR_OK;
}

static int find_writer(const struct pbr_store_backup *b, enum pbr_index_kind kind, uint64_t wid,
                       struct pbr_store_writer **ret, struct pbr_diag *diag)
{
    struct pbr_store_writer *w = wid >= 1 && wid <= b->writer_nr && wid <= WID_MAX ? b->writers[wid - 1] : NULL;
    if (!w || pbr_store_writer_kind(w) != kind)
        return pbr_fail_at(diag, PBR_E_NOENT, "BKP-125", "%s writer '%" PRIu64 "' not registered",
                           kind == PBR_INDEX_DYNAMIC ? "dynamic" : "fixed", wid);
    *ret = w;
    return PBR_OK;
}

int pbr_store_backup_previous(struct pbr_store_backup *b, const char *name, int *ret_fd, uint64_t *ret_size,
                              struct pbr_diag *diag)
{
    struct pbr_store_index ix;
    enum pbr_file_type type;
    int rc;
    if (!b->has_base)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-091", "no valid previous backup");
    if (!pbr_name_file_type(pbr_span_str(name), &type))
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-092", "unknown archive type: \"%s\"", name);
    if (type != PBR_FILE_BLOB) {
        rc = pbr_store_load_index(b->store, b->ns, &b->base, name, &ix, diag);
        if (rc < 0)
            return rc;
        rc = check_active(b, diag);
        if (rc == PBR_OK)
            rc = pbr_store_known_add(&b->known, &ix.ix, diag);
        pbr_store_index_release(&ix);
        if (rc < 0)
            return rc;
    }
    return pbr_store_open_file(b->store, b->ns, &b->base, name, ret_fd, ret_size, diag);
}

/* ---- create ---- */

/* The base's index for an incremental writer [BKP-151]. */
static int load_reuse(struct pbr_store_backup *b, const struct pbr_store_index_opts *opts, struct pbr_store_index *ret,
                      struct pbr_diag *diag)
{
    uint8_t csum[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1];
    struct pbr_store_index ix;
    if (!opts->has_size)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-151", "size is required for incremental backups");
    if (!b->has_base)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-151", "cannot reuse index - no valid previous backup exists");
    int rc = pbr_store_load_index(b->store, b->ns, &b->base, opts->name, &ix, NULL);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "BKP-151", "cannot reuse index - no previous backup exists for archive");
    rc = pbr_index_csum(&ix.ix, csum);
    if (rc < 0) {
        rc = pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    } else {
        const uint64_t entries = opts->size / PBR_FIDX_CHUNK_SIZE + (opts->size % PBR_FIDX_CHUNK_SIZE != 0);
        pbr_format_hex(csum, sizeof(csum), hex);
        if (strcmp(hex, opts->reuse_csum) != 0)
            rc = pbr_fail_at(diag, PBR_E_INTEGRITY, "BKP-151",
                             "expected csum (%.80s) doesn't match last backup's (%s), cannot do incremental backup",
                             opts->reuse_csum, hex);
        else if (entries != ix.ix.entry_nr)
            rc = pbr_fail_at(diag, PBR_E_STATE, "BKP-151",
                             "cannot reuse index - index sizes not equal (%" PRIu64 " != %" PRIu64 ")", entries,
                             ix.ix.entry_nr);
    }
    if (rc < 0) {
        pbr_store_index_release(&ix);
        return rc;
    }
    *ret = ix;
    return PBR_OK;
}

static int new_fixed(struct pbr_store_backup *b, const struct pbr_store_index_opts *opts,
                     struct pbr_store_writer **ret, struct pbr_diag *diag)
{
    struct pbr_store_index reuse;
    int rc;
    if (!opts->reuse_csum)
        return pbr_store_fidx_new(b->store, b->dirfd, b->path, opts->name, opts->has_size ? opts->size : 0, NULL, ret,
                                  diag);
    rc = load_reuse(b, opts, &reuse, diag);
    if (rc < 0)
        return rc;
    rc = pbr_store_fidx_new(b->store, b->dirfd, b->path, opts->name, opts->size, &reuse.ix, ret, diag);
    pbr_store_index_release(&reuse);
    return rc;
}

int pbr_store_backup_create(struct pbr_store_backup *b, const struct pbr_store_index_opts *opts, uint64_t *ret_wid,
                            struct pbr_diag *diag)
{
    const char *ext = opts->kind == PBR_INDEX_DYNAMIC ? ".didx" : ".fidx";
    struct pbr_store_writer *w;
    void *items = b->writers;
    int rc = check_active(b, diag);
    if (rc < 0)
        return rc;
    if (!pbr_span_ends(pbr_span_str(opts->name), ext))
        return pbr_fail_at(diag, PBR_E_ARG, opts->kind == PBR_INDEX_DYNAMIC ? "BKP-100" : "BKP-147",
                           "wrong archive extension: '%s'", opts->name);
    if (opts->kind == PBR_INDEX_FIXED && opts->has_size && opts->size == 0)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-147", "size must be at least 1");
    if (b->writer_nr >= WRITERS_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, "BKP-104", "more than %d indexes in one session", WRITERS_MAX);
    if (!store_grow(b->env, &items, b->writer_nr, &b->writer_cap, sizeof(*b->writers)))
        return store_nomem(diag);
    b->writers = items;

    rc = opts->kind == PBR_INDEX_DYNAMIC ? pbr_store_didx_new(b->store, b->dirfd, b->path, opts->name, &w, diag)
                                         : new_fixed(b, opts, &w, diag);
    if (rc < 0)
        return rc;
    b->writers[b->writer_nr++] = w;
    *ret_wid = b->writer_nr;
    return PBR_OK;
}

/* ---- chunks ---- */

int pbr_store_backup_chunk(struct pbr_store_backup *b, const struct pbr_store_upload *up, uint8_t *raw, size_t len,
                           struct pbr_store_put *ret, struct pbr_diag *diag)
{
    struct pbr_store_writer *w;
    struct pbr_store_put put;
    int rc;
    if (len > up->encoded_size)
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-113", "uploaded chunk is larger than announced.");
    if (len < up->encoded_size)
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-113", "uploaded chunk has unexpected size.");
    if (up->size < 1 || up->size > PBR_CHUNK_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "BLOB-080", "chunk of %" PRIu64 " bytes", up->size);

    rc = pbr_store_chunk_put(b->store, raw, len, up->digest, up->size, &put, diag);
    if (rc < 0)
        return rc;
    if (ret)
        *ret = put;
    rc = check_active(b, diag); /* the chunk is stored by now [BKP-118] */
    if (rc == PBR_OK)
        rc = find_writer(b, up->kind, up->wid, &w, diag);
    if (rc == PBR_OK && b->known.count >= PBR_STORE_KNOWN_MAX)
        rc = pbr_fail_at(diag, PBR_E_LIMIT, NULL, "more than %" PRIu64 " known chunks", PBR_STORE_KNOWN_MAX);
    if (rc == PBR_OK)
        rc = pbr_store_writer_register(w, up->wid, up->size, put.stored_size, put.duplicate, diag);
    if (rc == PBR_OK && pbr_known_set(&b->known, up->digest, (uint32_t)up->size) < 0)
        rc = store_nomem(diag);
    return rc;
}

/* What the base's index names may be gone. Then the base is damaged: it is marked, so that the next backup has none and sends
 * everything [BKP-184]. Stricter than the original, which makes a snapshot without the chunk. */
static int check_stored(struct pbr_store_backup *b, const uint8_t digest[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    char upid[128], hex[2 * PBR_DIGEST_LEN + 1];
    uint64_t stored_size;
    if (pbr_store_chunk_stat(b->store, digest, &stored_size) == PBR_OK)
        return PBR_OK;
    pbr_format_hex(digest, PBR_DIGEST_LEN, hex);
    if (b->has_base) {
        (void)snprintf(upid, sizeof(upid), "UPID:pbsref:00000000:00000000:00000000:%08" PRIX64 ":backup::root@pam:",
                       (uint64_t)b->env->now_s(b->env->ctx));
        if (pbr_store_set_verify_state(b->store, b->ns, &b->base, false, upid, NULL) < 0)
            pbr_log(b->env, PBR_LOG_WARN, "cannot mark the previous snapshot as damaged");
    }
    return pbr_fail_at(diag, PBR_E_NOENT, "BKP-132", "no such chunk %s", hex);
}

int pbr_store_backup_append(struct pbr_store_backup *b, enum pbr_index_kind kind, uint64_t wid,
                            const uint8_t digest[PBR_DIGEST_LEN], uint64_t off, struct pbr_diag *diag)
{
    struct pbr_store_writer *w;
    uint32_t size;
    if (!pbr_known_get(&b->known, digest, &size)) {
        char hex[2 * PBR_DIGEST_LEN + 1];
        pbr_format_hex(digest, PBR_DIGEST_LEN, hex);
        return pbr_fail_at(diag, PBR_E_NOENT, "BKP-132", "no such chunk %s", hex);
    }
    int rc = check_active(b, diag);
    if (rc == PBR_OK)
        rc = find_writer(b, kind, wid, &w, diag);
    if (rc == PBR_OK)
        rc = check_stored(b, digest, diag);
    return rc < 0 ? rc : pbr_store_writer_append(w, off, size, digest, diag);
}

/* ---- close ---- */

/* The hex decoder's texts, in its order [BKP-144]. */
static int parse_csum(const char *text, uint8_t out[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    const size_t len = strlen(text);
    if (len % 2 != 0)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-144", "Odd number of digits");
    if (len != 2 * PBR_DIGEST_LEN)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-144", "Invalid string length");
    if (!pbr_parse_hex(pbr_span(text, len), out, PBR_DIGEST_LEN)) {
        const size_t at = strspn(text, "0123456789abcdefABCDEF");
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-144", "Invalid character '%c' at position %zu", text[at], at);
    }
    return PBR_OK;
}

int pbr_store_backup_close(struct pbr_store_backup *b, enum pbr_index_kind kind, uint64_t wid, uint64_t chunk_nr,
                           uint64_t size, const char *csum, struct pbr_diag *diag)
{
    struct pbr_store_writer *w;
    uint8_t want[PBR_DIGEST_LEN];
    int rc = parse_csum(csum, want, diag);
    if (rc == PBR_OK)
        rc = check_active(b, diag);
    if (rc == PBR_OK)
        rc = find_writer(b, kind, wid, &w, diag);
    if (rc == PBR_OK)
        rc = pbr_store_writer_close(w, chunk_nr, size, want, diag);
    if (rc < 0)
        return rc; /* the writer stays registered and blocks finish [BKP-146] */

    const struct pbr_upload_stats *stats = pbr_store_writer_stats(w);
    b->stats.count += stats->count;
    b->stats.size += stats->size;
    b->stats.compressed_size += stats->compressed_size;
    b->stats.duplicates += stats->duplicates;
    b->file_nr++;
    b->writers[wid - 1] = NULL;
    pbr_store_writer_free(w);
    return PBR_OK;
}

/* ---- blobs ---- */

int pbr_store_backup_blob(struct pbr_store_backup *b, const char *name, uint64_t encoded_size, struct pbr_span raw,
                          struct pbr_diag *diag)
{
    struct pbr_blob blob;
    enum pbr_file_type type;
    int rc;
    if (!pbr_span_ends(pbr_span_str(name), ".blob"))
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-170", "wrong blob file extension: '%s'", name);
    rc = store_check_name(name, &type, diag);
    if (rc < 0)
        return rc;
    if (raw.len != encoded_size)
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-171",
                           "got blob with unexpected length (%" PRIu64 " != %zu)", encoded_size, raw.len);
    rc = pbr_blob_parse(raw, &blob, diag);
    if (rc == PBR_OK)
        rc = pbr_blob_check_crc(&blob, diag);
    if (rc < 0)
        return rc;
    /* Before the end the manifest waits under another name; after it, it is replaced directly [BKP-175]. */
    const bool pending = b->state != PBR_BACKUP_FINISHED && strcmp(name, STORE_MANIFEST) == 0;
    rc = store_save(b->store, b->dirfd, pending ? STORE_MANIFEST_PENDING : name, raw, diag);
    if (rc < 0)
        return rc;
    b->stats.size += raw.len;
    b->file_nr++;
    return PBR_OK;
}

/* ---- finish ---- */

static int put_stats(const struct pbr_store_backup *b, struct pbr_manifest *m, struct pbr_diag *diag)
{
    json_t *stats = json_pack("{s:I, s:I, s:I, s:I}", "count", (json_int_t)b->stats.count, "size",
                              (json_int_t)b->stats.size, "compressed_size", (json_int_t)b->stats.compressed_size,
                              "duplicates", (json_int_t)b->stats.duplicates);
    if (!stats || json_object_set_new(m->unprotected, "chunk_upload_stats", stats) != 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, "BKP-182", "cannot set the upload statistics");
    return PBR_OK;
}

static int check_finish(const struct pbr_store_backup *b, struct pbr_diag *diag)
{
    char text[512];
    const int rc = check_active(b, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < b->writer_nr; i++) {
        if (b->writers[i])
            return pbr_fail_at(diag, PBR_E_STATE, "BKP-181", "found open index writer - unable to finish backup");
    }
    if (b->file_nr == 0)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-181", "backup does not contain valid files (file count == 0)");
    if (b->has_base && !pbr_store_has_snapshot(b->store, b->ns, &b->base)) {
        pbr_snapshot_format(&b->base, text, sizeof(text));
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-181",
                           "base snapshot %s was removed during backup, cannot finish as chunks might be missing",
                           text);
    }
    return PBR_OK;
}

int pbr_store_backup_finish(struct pbr_store_backup *b, struct pbr_diag *diag)
{
    struct pbr_manifest m = { 0 };
    struct pbr_diag cause = { 0 };
    char path[2 * STORE_PATH_MAX];
    int rc = check_finish(b, diag);
    if (rc < 0)
        return rc;

    b->state = PBR_BACKUP_FINISHING; /* for good, if the manifest is what fails [BKP-187] */
    (void)snprintf(path, sizeof(path), "%s/" STORE_MANIFEST, b->path);
    rc = store_manifest_read(b->store, b->dirfd, path, STORE_MANIFEST_PENDING, &m, NULL, &cause);
    if (rc == PBR_OK) {
        rc = put_stats(b, &m, &cause);
        if (rc == PBR_OK)
            rc = store_manifest_write(b->store, b->dirfd, &m, pbr_store_sync, &cause);
        pbr_manifest_release(&m);
    }
    if (rc < 0)
        return pbr_fail_at(diag, rc, cause.rule ? cause.rule : "BKP-181", "unable to update manifest blob - %s",
                           cause.text);
    (void)unlinkat(b->dirfd, STORE_MANIFEST_PENDING, 0);
    if (b->store->sync == PBR_STORE_SYNC_FILESYSTEM)
        (void)fsync(b->dirfd); /* a lost rename only means an unfinished snapshot */
    b->state = PBR_BACKUP_FINISHED;
    release_locks(b); /* at once, not when the connection ends [BKP-185] */
    return PBR_OK;
}
