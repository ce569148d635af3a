/* SPDX-License-Identifier: MIT */
/* Writers of index files on the server's side; see writer.h. */
#include "store/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/store_int.h"
#include "sys/fd.h"

enum { BLOCK = 64 << 10 }; /* bytes buffered, and read back at a time; a multiple of both record sizes is not needed */

enum writer_state {
    WRITER_OPEN,
    WRITER_CLOSED,  /* renamed; whether the checksum fitted or not */
    WRITER_UNUSABLE /* closing an empty growing index was tried [BKP-165] */
};

struct pbr_store_writer {
    struct pbr_store *store;
    struct pbr_index head;    /* kind, uuid, ctime, size, chunk_size */
    enum writer_state state;
    int dirfd;                /* not owned */
    int fd;
    char *path;               /* of the directory, for messages */
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    char tmp_name[PBR_ARCHIVE_NAME_MAX + 16];
    struct pbr_upload_stats stats;
    uint64_t appended;        /* entries appended in this session */
    /* dynamic */
    struct pbr_sha256 *sum;
    struct pbr_buf pending;   /* records not yet in the file */
    uint64_t file_end;        /* where pending goes */
    /* fixed */
    bool incremental, growing, frozen;
    bool has_end_chunk;       /* one short chunk was uploaded [BKP-119] */
};

static const char *kind_name(const struct pbr_store_writer *w)
{
    return w->head.kind == PBR_INDEX_DYNAMIC ? "dynamic" : "fixed";
}

/* Chunks of a fixed index of this size; no overflow. */
static uint64_t fixed_count(uint64_t size)
{
    return size / PBR_FIDX_CHUNK_SIZE + (size % PBR_FIDX_CHUNK_SIZE != 0);
}

static bool fits_limit(uint64_t entries, uint64_t record)
{
    return entries <= (PBR_INDEX_SIZE_MAX - PBR_INDEX_HDR) / record;
}

/* ---- creating ---- */

static int new_uuid(struct pbr_store *s, uint8_t uuid[16], struct pbr_diag *diag)
{
    const int rc = s->env->random(s->env->ctx, uuid, 16);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no random bytes for a UUID");
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* version 4, variant 1 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return PBR_OK;
}

static int write_head(struct pbr_store_writer *w, struct pbr_diag *diag)
{
    uint8_t head[PBR_INDEX_HDR];
    pbr_index_hdr_emit(&w->head, head);
    return store_pwrite(w->store, w->fd, 0, pbr_span(head, sizeof(head)), w->tmp_name, diag);
}

static int check_name(const char *name, enum pbr_index_kind kind, struct pbr_diag *diag)
{
    enum pbr_file_type type;
    const enum pbr_file_type want = kind == PBR_INDEX_DYNAMIC ? PBR_FILE_DIDX : PBR_FILE_FIDX;
    if (!pbr_name_file_type(pbr_span_str(name), &type) || type != want)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-100", "wrong archive extension: '%s'", name);
    return store_check_name(name, &type, diag);
}

/* The object with its temporary file, an existing one truncated [BKP-102, BKP-103]. */
static int new_writer(struct pbr_store *s, enum pbr_index_kind kind, int dirfd, const char *path, const char *name,
                      struct pbr_store_writer **ret, struct pbr_diag *diag)
{
    int rc = check_name(name, kind, diag);
    if (rc < 0)
        return rc;
    struct pbr_store_writer *w = pbr_alloc(s->env, 1, sizeof(*w));
    if (!w)
        return store_nomem(diag);
    *w = (struct pbr_store_writer){ .store = s,
                                    .head = { .kind = kind, .ctime_s = s->env->now_s(s->env->ctx) },
                                    .dirfd = dirfd,
                                    .fd = -1,
                                    .file_end = PBR_INDEX_HDR };
    (void)snprintf(w->name, sizeof(w->name), "%s", name);
    store_replace_ext(name, kind == PBR_INDEX_DYNAMIC ? ".tmp_didx" : ".tmp_fidx", w->tmp_name, sizeof(w->tmp_name));
    pbr_buf_init(&w->pending, s->env, BLOCK);
    w->path = pbr_strdup(s->env, path);
    rc = w->path ? new_uuid(s, w->head.uuid, diag) : store_nomem(diag);
    if (rc == PBR_OK && (w->fd = store_create(s, dirfd, w->tmp_name, O_TRUNC, 0644)) < 0)
        rc = pbr_fail_os(diag, errno, "cannot create \"%s/%s\"", path, w->tmp_name);
    if (rc < 0) {
        pbr_store_writer_free(w);
        return rc;
    }
    *ret = w;
    return PBR_OK;
}

int pbr_store_didx_new(struct pbr_store *s, int dirfd, const char *path, const char *name,
                       struct pbr_store_writer **ret, struct pbr_diag *diag)
{
    struct pbr_store_writer *w;
    int rc = new_writer(s, PBR_INDEX_DYNAMIC, dirfd, path, name, &w, diag);
    if (rc < 0)
        return rc;
    rc = pbr_sha256_new(s->env, &w->sum);
    if (rc < 0)
        rc = pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    if (rc == PBR_OK)
        rc = write_head(w, diag);
    if (rc < 0) {
        pbr_store_writer_free(w);
        return rc;
    }
    *ret = w;
    return PBR_OK;
}

int pbr_store_fidx_new(struct pbr_store *s, int dirfd, const char *path, const char *name, uint64_t size,
                       const struct pbr_index *reuse, struct pbr_store_writer **ret, struct pbr_diag *diag)
{
    struct pbr_store_writer *w;
    const uint64_t entries = fixed_count(size);
    if (!fits_limit(entries, PBR_FIDX_REC))
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "index of an image of %" PRIu64 " bytes", size);
    int rc = new_writer(s, PBR_INDEX_FIXED, dirfd, path, name, &w, diag);
    if (rc < 0)
        return rc;
    w->head.size = size;
    w->head.chunk_size = PBR_FIDX_CHUNK_SIZE;
    w->growing = size == 0;
    w->incremental = reuse != NULL;
    rc = write_head(w, diag);
    if (rc == PBR_OK && store_truncate(s, w->fd, PBR_INDEX_HDR + entries * PBR_FIDX_REC) != 0)
        rc = pbr_fail_os(diag, errno, "cannot write %s", w->tmp_name);
    if (rc == PBR_OK && reuse)
        rc = store_pwrite(s, w->fd, PBR_INDEX_HDR, reuse->entries, w->tmp_name, diag);
    if (rc < 0) {
        pbr_store_writer_free(w);
        return rc;
    }
    *ret = w;
    return PBR_OK;
}

void pbr_store_writer_free(struct pbr_store_writer *w)
{
    if (!w)
        return;
    const struct pbr_env *env = w->store->env;
    if (w->fd >= 0 && w->state != WRITER_CLOSED)
        (void)unlinkat(w->dirfd, w->tmp_name, 0);
    pbr_close(&w->fd);
    pbr_sha256_free(w->sum);
    pbr_buf_release(&w->pending);
    pbr_free(env, w->path);
    pbr_free(env, w);
}

enum pbr_index_kind pbr_store_writer_kind(const struct pbr_store_writer *w)
{
    return w->head.kind;
}

const char *pbr_store_writer_name(const struct pbr_store_writer *w)
{
    return w->name;
}

const struct pbr_upload_stats *pbr_store_writer_stats(const struct pbr_store_writer *w)
{
    return &w->stats;
}

/* ---- uploads ---- */

int pbr_store_writer_register(struct pbr_store_writer *w, uint64_t wid, uint64_t size, uint64_t stored_size,
                              bool duplicate, struct pbr_diag *diag)
{
    if (w->state == WRITER_CLOSED)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-118", "%s writer '%s' register chunk failed - already closed",
                           kind_name(w), w->name);
    if (w->head.kind == PBR_INDEX_FIXED && size > PBR_FIDX_CHUNK_SIZE)
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-119",
                           "fixed writer '%s' - got large chunk (%" PRIu64 " > %" PRIu64, w->name, size,
                           PBR_FIDX_CHUNK_SIZE);
    if (w->head.kind == PBR_INDEX_FIXED && size < PBR_FIDX_CHUNK_SIZE) {
        if (w->has_end_chunk)
            return pbr_fail_at(diag, PBR_E_PROTO, "BKP-119",
                               "fixed writer '%" PRIu64 "' - detected multiple end chunks (chunk size too small)", wid);
        w->has_end_chunk = true;
    }
    w->stats.count++;
    w->stats.size += size;
    w->stats.compressed_size += stored_size;
    w->stats.duplicates += duplicate;
    return PBR_OK;
}

/* ---- appending ---- */

static int flush(struct pbr_store_writer *w, struct pbr_diag *diag)
{
    if (w->pending.len == 0)
        return PBR_OK;
    const int rc = store_pwrite(w->store, w->fd, w->file_end, pbr_buf_span(&w->pending), w->tmp_name, diag);
    if (rc < 0)
        return rc;
    w->file_end += w->pending.len;
    pbr_buf_clear(&w->pending);
    return PBR_OK;
}

static int append_dynamic(struct pbr_store_writer *w, uint64_t off, uint64_t size, const uint8_t *digest,
                          struct pbr_diag *diag)
{
    uint8_t rec[PBR_DIDX_REC];
    uint64_t end;
    if (off != w->head.size)
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-133",
                           "dynamic writer '%s' append chunk failed - got strange chunk offset (%" PRIu64
                           " != %" PRIu64 ")", w->name, w->head.size, off);
    if (!pbr_add(off, size, &end) || !fits_limit(w->appended + 1, PBR_DIDX_REC))
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "dynamic writer '%s': index too large", w->name);
    if (sizeof(rec) > w->pending.max - w->pending.len) {
        const int rc = flush(w, diag);
        if (rc < 0)
            return rc;
    }
    pbr_didx_rec_emit(end, digest, rec);
    int rc = pbr_buf_append(&w->pending, pbr_span(rec, sizeof(rec)));
    if (rc < 0)
        return store_nomem(diag);
    rc = pbr_sha256_update(w->sum, pbr_span(rec, sizeof(rec)));
    if (rc < 0) {
        w->pending.len -= sizeof(rec);
        return pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    }
    w->head.size = end;
    w->appended++;
    return PBR_OK;
}

/* The rules for one chunk of a fixed index, texts bare as the original's [BKP-156, BKP-158]. *ret_size: the image size
 * with this chunk. */
static int check_fixed(const struct pbr_store_writer *w, uint64_t off, uint64_t size, uint64_t *ret_size,
                       struct pbr_diag *diag)
{
    const uint64_t end = off + size; /* may wrap: then end < size */
    uint64_t image = w->head.size;

    if (end >= size && end > image) {
        if (!w->growing || w->frozen)
            return pbr_fail_at(diag, PBR_E_PROTO, "BKP-156", "refusing to resize from %" PRIu64 " to %" PRIu64, image,
                               end);
        image = end;
    }
    if (size == 0 || size > PBR_FIDX_CHUNK_SIZE || (size != PBR_FIDX_CHUNK_SIZE && end != image))
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-156",
                           "chunk with unexpected length (%" PRIu64 " != %" PRIu64, size, PBR_FIDX_CHUNK_SIZE);
    if (end < size)
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-156", "got chunk with small offset (%" PRIu64 " < %" PRIu64, end,
                           size);
    if (off % PBR_FIDX_CHUNK_SIZE != 0)
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-156", "got unaligned chunk (pos = %" PRIu64 ")", off);
    *ret_size = image;
    return PBR_OK;
}

static int append_fixed(struct pbr_store_writer *w, uint64_t off, uint64_t size, const uint8_t *digest,
                        struct pbr_diag *diag)
{
    uint64_t image = 0;
    int rc = check_fixed(w, off, size, &image, diag);
    if (rc < 0)
        return rc;
    if (!fits_limit(fixed_count(image), PBR_FIDX_REC))
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "fixed writer '%s': index too large", w->name);
    rc = store_pwrite(w->store, w->fd, PBR_INDEX_HDR + off / PBR_FIDX_CHUNK_SIZE * PBR_FIDX_REC,
                      pbr_span(digest, PBR_DIGEST_LEN), w->tmp_name, diag);
    if (rc < 0)
        return rc;
    w->head.size = image;
    w->frozen = w->frozen || (off + size) % PBR_FIDX_CHUNK_SIZE != 0;
    w->appended++;
    return PBR_OK;
}

int pbr_store_writer_append(struct pbr_store_writer *w, uint64_t off, uint64_t size,
                            const uint8_t digest[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    if (w->state == WRITER_CLOSED)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-136", "%s writer '%s' append chunk failed - already closed",
                           kind_name(w), w->name);
    if (w->state == WRITER_UNUSABLE)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-165", "cannot write to closed index file.");
    return w->head.kind == PBR_INDEX_DYNAMIC ? append_dynamic(w, off, size, digest, diag)
                                             : append_fixed(w, off, size, digest, diag);
}

/* ---- closing ---- */

static int close_failed(struct pbr_store_writer *w, const char *rule, const char *what, uint64_t ours, uint64_t theirs,
                        struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_PROTO, rule, "%s writer '%s' close failed - %s (%" PRIu64 " != %" PRIu64 ")",
                       kind_name(w), w->name, what, ours, theirs);
}

static int check_close(struct pbr_store_writer *w, uint64_t chunk_nr, uint64_t size, struct pbr_diag *diag)
{
    const uint64_t entries = fixed_count(w->head.size);
    if (w->head.kind == PBR_INDEX_DYNAMIC) {
        if (chunk_nr != w->appended)
            return close_failed(w, "BKP-142", "unexpected chunk count", w->appended, chunk_nr, diag);
        if (size != w->head.size)
            return close_failed(w, "BKP-142", "unexpected file size", w->head.size, size, diag);
        return PBR_OK;
    }
    if (chunk_nr != w->appended)
        return close_failed(w, "BKP-161", "received wrong number of chunk", w->appended, chunk_nr, diag);
    if (!w->incremental && chunk_nr != entries)
        return close_failed(w, "BKP-162", "unexpected chunk count", entries, chunk_nr, diag);
    if (!w->incremental && !w->growing && size != w->head.size)
        return close_failed(w, "BKP-162", "unexpected file size", w->head.size, size, diag);
    if (!w->incremental && size != w->head.size)
        return close_failed(w, "BKP-162", "unexpected size", size, w->head.size, diag);
    if (w->growing && entries == 0) {
        w->state = WRITER_UNUSABLE;
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-165", "fidx file must have at least one chunk");
    }
    return PBR_OK;
}

/* Checksum over all digests of a fixed index, read back from the file. */
static int sum_file(struct pbr_store_writer *w, uint8_t out[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    struct pbr_sha256 *sum;
    uint64_t left = fixed_count(w->head.size) * PBR_FIDX_REC, at = PBR_INDEX_HDR;
    uint8_t *block;
    int rc = pbr_sha256_new(w->store->env, &sum);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    pbr_buf_clear(&w->pending);
    if (pbr_buf_reserve(&w->pending, BLOCK, &block) < 0)
        rc = store_nomem(diag);
    while (rc == PBR_OK && left > 0) {
        const size_t n = left < BLOCK ? (size_t)left : BLOCK;
        rc = pbr_pread_all(w->fd, at, block, n, w->tmp_name, diag);
        if (rc == PBR_OK && (rc = pbr_sha256_update(sum, pbr_span(block, n))) < 0)
            rc = pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
        at += n;
        left -= n;
    }
    if (rc == PBR_OK && (rc = pbr_sha256_result(sum, out)) < 0)
        rc = pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    pbr_sha256_free(sum);
    return rc;
}

static int finish_sum(struct pbr_store_writer *w, struct pbr_diag *diag)
{
    int rc;
    if (w->head.kind == PBR_INDEX_FIXED)
        return sum_file(w, w->head.stored_csum, diag);
    rc = flush(w, diag);
    if (rc == PBR_OK && (rc = pbr_sha256_result(w->sum, w->head.stored_csum)) < 0)
        rc = pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    return rc;
}

int pbr_store_writer_close(struct pbr_store_writer *w, uint64_t chunk_nr, uint64_t size,
                           const uint8_t csum[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    struct pbr_store *s = w->store;
    if (w->state == WRITER_CLOSED)
        return pbr_fail_at(diag, PBR_E_STATE, w->head.kind == PBR_INDEX_DYNAMIC ? "BKP-142" : "BKP-160",
                           "%s writer '%s' close failed - already closed", kind_name(w), w->name);
    if (w->state == WRITER_UNUSABLE)
        return pbr_fail_at(diag, PBR_E_STATE, "BKP-165", "cannot close already closed index file.");
    int rc = check_close(w, chunk_nr, size, diag);
    if (rc == PBR_OK)
        rc = finish_sum(w, diag);
    if (rc == PBR_OK)
        rc = write_head(w, diag);
    if (rc == PBR_OK && s->sync == PBR_STORE_SYNC_FILE && store_fsync(s, w->fd) != 0)
        rc = pbr_fail_os(diag, errno, "cannot sync %s", w->tmp_name);
    if (rc < 0)
        return rc;
    if (store_rename(s, w->dirfd, w->tmp_name, w->name) != 0) {
        const int os_errno = errno;
        return pbr_fail_at(diag, PBR_E_IO, "BKP-103", "Atomic rename file \"%s/%s\" failed - %s", w->path, w->name,
                           store_cause(os_errno).text);
    }
    w->state = WRITER_CLOSED;
    pbr_close(&w->fd);
    if (memcmp(csum, w->head.stored_csum, PBR_DIGEST_LEN) != 0) /* after the rename: [IDX-071] */
        return pbr_fail_at(diag, PBR_E_INTEGRITY, w->head.kind == PBR_INDEX_DYNAMIC ? "BKP-142" : "BKP-164",
                           "%s writer '%s' close failed - got unexpected checksum", kind_name(w), w->name);
    return PBR_OK;
}
