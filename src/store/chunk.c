/* SPDX-License-Identifier: MIT */
/* Chunk files; see chunk.h. */
#include "store/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/store_int.h"
#include "sys/fd.h"

/* "bb9f" and "bb9f/bb9f8df6..." */
struct chunk_path {
    char prefix[5];
    char name[2 * PBR_DIGEST_LEN + 1];
    char path[2 * PBR_DIGEST_LEN + 6];
};

static struct chunk_path path_of(const uint8_t *digest)
{
    struct chunk_path p;
    pbr_format_hex(digest, PBR_DIGEST_LEN, p.name);
    (void)snprintf(p.prefix, sizeof(p.prefix), "%.4s", p.name);
    (void)snprintf(p.path, sizeof(p.path), "%.4s/%s", p.name, p.name);
    return p;
}

static void now(const struct pbr_store *s, struct timespec times[2])
{
    times[0] = (struct timespec){ .tv_sec = (time_t)s->env->now_s(s->env->ctx) };
    times[1] = (struct timespec){ .tv_nsec = UTIME_OMIT };
}

/* ---- check ---- */

int pbr_store_chunk_check(struct pbr_store *s, uint8_t *raw, size_t len, const uint8_t digest[PBR_DIGEST_LEN],
                          uint64_t plain_size, struct pbr_diag *diag)
{
    struct pbr_blob blob;
    struct pbr_span plain;
    const struct pbr_open_opts opts = {
        .want = PBR_OPEN_UNENCRYPTED, .skip_crc = true, .digest = digest, .has_len = true, .len = plain_size
    };
    if (len > PBR_CHUNK_RAW_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, "BLOB-080", "chunk of %zu raw bytes", len);
    int rc = pbr_blob_parse(pbr_span(raw, len), &blob, diag);
    if (rc < 0)
        return rc;
    if (!pbr_blob_is_encrypted(blob.kind)) { /* content of encrypted ones is taken on trust [BKP-116] */
        rc = store_need_coders(s, diag);
        if (rc < 0)
            return rc;
        pbr_buf_clear(&s->plain);
        rc = pbr_open_blob(s->opener, pbr_span(raw, len), &opts, &s->plain, &plain, diag);
        if (rc < 0)
            return rc;
    }
    pbr_blob_fix_crc(raw, len); /* [BKP-117] */
    return PBR_OK;
}

/* ---- insert ---- */

static int open_prefix(struct pbr_store *s, const struct chunk_path *p, struct pbr_diag *diag)
{
    int fd = store_open_dir(s->chunks_fd, p->prefix);
    if (fd < 0 && errno == ENOENT) {
        if (store_mkdir(s, s->chunks_fd, p->prefix, 0750) == 0 || errno == EEXIST)
            fd = store_open_dir(s->chunks_fd, p->prefix);
    }
    return fd < 0 ? pbr_fail_os(diag, errno, "cannot open %s/.chunks/%s", s->path, p->prefix) : fd;
}

/* Reads the kind of a stored chunk; false if it is none or cannot be read. */
static bool stored_kind(int dirfd, const struct chunk_path *p, enum pbr_blob_kind *ret)
{
    uint8_t head[PBR_BLOB_HDR_MAX];
    uint64_t size;
    struct pbr_blob blob;
    int fd = store_open_regular(dirfd, p->name, &size);
    if (fd < 0)
        return false;
    const size_t len = size < sizeof(head) ? (size_t)size : sizeof(head);
    const bool ok = pbr_pread_all(fd, 0, head, len, p->name, NULL) == PBR_OK &&
                    pbr_blob_parse(pbr_span(head, len), &blob, NULL) == PBR_OK;
    pbr_close(&fd);
    if (ok)
        *ret = blob.kind;
    return ok;
}

/* May the new chunk stand beside an existing one of other raw length [BLOB-089 c, d, BLOB-090]? *ret_keep: the old one
 * stays. A stored file that is no blob at all is replaced. */
static int judge(struct pbr_store *s, int dirfd, const struct chunk_path *p, struct pbr_span raw, uint64_t old_size,
                 bool *ret_keep, struct pbr_diag *diag)
{
    struct pbr_blob fresh;
    enum pbr_blob_kind old;
    const int rc = pbr_blob_parse(raw, &fresh, diag);
    if (rc < 0)
        return rc;
    if (!pbr_blob_is_encrypted(fresh.kind)) {
        *ret_keep = old_size < raw.len;
        return PBR_OK;
    }
    if (!stored_kind(dirfd, p, &old)) {
        *ret_keep = false;
        return PBR_OK;
    }
    if (!pbr_blob_is_encrypted(old))
        return pbr_fail_at(diag, PBR_E_EXIST, "BLOB-090",
                           "Overwriting unencrypted chunk '%s' on store '%s' with encrypted chunk with same digest "
                           "not allowed!", p->name, s->name);
    if (old == PBR_BLOB_ENC && fresh.kind == PBR_BLOB_ENC)
        return pbr_fail_at(diag, PBR_E_EXIST, "BLOB-090",
                           "Overwriting existing (encrypted) chunk '%s' on store '%s' is not allowed!", p->name,
                           s->name);
    *ret_keep = true;
    return PBR_OK;
}

static int write_chunk(struct pbr_store *s, int dirfd, const struct chunk_path *p, struct pbr_span raw,
                       struct pbr_diag *diag)
{
    struct store_file f;
    struct timespec times[2];
    int rc = store_file_create(s, &f, dirfd, p->name, diag);
    if (rc < 0)
        return rc;
    rc = store_pwrite(s, f.fd, 0, raw, p->path, diag);
    now(s, times);
    if (rc == PBR_OK && futimens(f.fd, times) != 0)
        rc = pbr_fail_os(diag, errno, "cannot set the access time of %s", p->path);
    if (rc < 0) {
        store_file_abort(s, &f);
        return rc;
    }
    return store_file_commit(s, &f, diag);
}

int pbr_store_chunk_insert(struct pbr_store *s, struct pbr_span raw, const uint8_t digest[PBR_DIGEST_LEN],
                           struct pbr_store_put *ret, struct pbr_diag *diag)
{
    const struct chunk_path p = path_of(digest);
    struct timespec times[2];
    struct stat st;
    bool keep = false;
    int rc = PBR_OK;
    int dirfd = open_prefix(s, &p, diag);
    if (dirfd < 0)
        return dirfd;

    if (fstatat(dirfd, p.name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        const uint64_t old_size = (uint64_t)st.st_size;
        if (S_ISREG(st.st_mode) && old_size == raw.len)
            keep = true; /* [BLOB-089 a]: contents are not compared */
        else if (S_ISREG(st.st_mode) && old_size > 0)
            rc = judge(s, dirfd, &p, raw, old_size, &keep, diag);
    } else if (errno != ENOENT) {
        rc = pbr_fail_os(diag, errno, "cannot stat %s/.chunks/%s", s->path, p.path);
    }
    now(s, times);
    if (rc == PBR_OK && keep && utimensat(dirfd, p.name, times, AT_SYMLINK_NOFOLLOW) != 0)
        rc = pbr_fail_os(diag, errno, "cannot set the access time of %s", p.path);
    else if (rc == PBR_OK && !keep)
        rc = write_chunk(s, dirfd, &p, raw, diag);
    pbr_close(&dirfd);
    if (rc == PBR_OK)
        *ret = (struct pbr_store_put){ .duplicate = keep, .stored_size = keep ? (uint64_t)st.st_size : raw.len };
    return rc;
}

int pbr_store_chunk_put(struct pbr_store *s, uint8_t *raw, size_t len, const uint8_t digest[PBR_DIGEST_LEN],
                        uint64_t plain_size, struct pbr_store_put *ret, struct pbr_diag *diag)
{
    const int rc = pbr_store_chunk_check(s, raw, len, digest, plain_size, diag);
    return rc < 0 ? rc : pbr_store_chunk_insert(s, pbr_span(raw, len), digest, ret, diag);
}

/* ---- read ---- */

int pbr_store_chunk_open(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN], int *ret_fd, uint64_t *ret_size,
                         struct pbr_diag *diag)
{
    const struct chunk_path p = path_of(digest);
    const int fd = store_open_regular(s->chunks_fd, p.path, ret_size);
    if (fd >= 0) {
        *ret_fd = fd;
        return PBR_OK;
    }
    const int os_errno = errno;
    return pbr_fail_at(diag, os_errno == ENOENT ? PBR_E_NOENT : PBR_E_IO, "RDR-033",
                       "reading file \"%s/.chunks/%s\" failed: %s", s->path, p.path, store_cause(os_errno).text);
}

int pbr_store_chunk_load(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN], struct pbr_buf *ret,
                         struct pbr_diag *diag)
{
    struct pbr_buf b;
    uint8_t *room;
    uint64_t size;
    int fd;
    int rc = pbr_store_chunk_open(s, digest, &fd, &size, diag);
    if (rc < 0)
        return rc;
    pbr_buf_init(&b, s->env, PBR_CHUNK_RAW_MAX);
    if (size > PBR_CHUNK_RAW_MAX)
        rc = pbr_fail_at(diag, PBR_E_LIMIT, "BLOB-080", "chunk file of %" PRIu64 " bytes", size);
    else if (pbr_buf_reserve(&b, (size_t)size, &room) < 0)
        rc = store_nomem(diag);
    else
        rc = pbr_pread_all(fd, 0, room, (size_t)size, "a chunk file", diag);
    pbr_close(&fd);
    if (rc < 0) {
        pbr_buf_release(&b);
        return rc;
    }
    b.len = (size_t)size;
    *ret = b;
    return PBR_OK;
}

int pbr_store_chunk_stat(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN], uint64_t *ret_size)
{
    const struct chunk_path p = path_of(digest);
    struct stat st;
    if (fstatat(s->chunks_fd, p.path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return PBR_E_NOENT;
    *ret_size = (uint64_t)st.st_size;
    return PBR_OK;
}

int pbr_store_chunk_touch(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN])
{
    const struct chunk_path p = path_of(digest);
    struct timespec times[2];
    now(s, times);
    if (utimensat(s->chunks_fd, p.path, times, AT_SYMLINK_NOFOLLOW) == 0)
        return PBR_OK;
    return errno == ENOENT ? PBR_E_NOENT : PBR_E_IO;
}

int pbr_store_chunk_mark_bad(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    const struct chunk_path p = path_of(digest);
    char bad[sizeof(p.path) + 8];
    for (char n = '0'; n <= '9'; n++) {
        (void)snprintf(bad, sizeof(bad), "%s.%c.bad", p.path, n);
        if (faccessat(s->chunks_fd, bad, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            break; /* none free: 9 is overwritten [IDX-105] */
    }
    if (store_rename(s, s->chunks_fd, p.path, bad) != 0)
        return pbr_fail_os(diag, errno, "cannot rename %s to %s", p.path, bad);
    return PBR_OK;
}
