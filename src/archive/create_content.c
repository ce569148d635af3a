/* SPDX-License-Identifier: MIT */
/* Contents of regular files, read straight into the encoder's room; see create_emit.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "archive/create_emit.h"

enum {
    READ_MAX = 4 << 20,       /* as the original's buffer [CRT-140] */
    SEQUENTIAL_MIN = 8 << 20, /* below, the kernel's own read-ahead has it all before the hint would help */
};

/* One read of up to `len` bytes; where that is all that is missing, with one byte more, which tells a file that grew
 * without another call. */
static ssize_t read_into(int fd, uint8_t *room, size_t len, bool is_last)
{
    uint8_t extra;
    struct iovec parts[2] = { { .iov_base = room, .iov_len = len }, { .iov_base = &extra, .iov_len = 1 } };
    ssize_t n;
    do {
        n = readv(fd, parts, is_last ? 2 : 1);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* CRT-142. */
static int fill_with_zeros(struct pbr_create *cr, uint64_t left, struct pbr_diag *diag)
{
    while (left > 0) {
        uint8_t *room;
        size_t len;
        int rc = pbr_pxar_enc_file_reserve(cr->enc, left < READ_MAX ? (size_t)left : READ_MAX, &room, &len, diag);
        if (rc < 0)
            return rc;
        memset(room, 0, len);
        rc = pbr_pxar_enc_file_commit(cr->enc, len, diag);
        if (rc < 0)
            return rc;
        left -= len;
    }
    return PBR_OK;
}

int pbr_create_content(struct pbr_create *cr, int fd, struct pbr_span path, uint64_t size, struct pbr_diag *diag)
{
    struct pbr_quoted q;
    uint64_t left = size;

    if (size >= SEQUENTIAL_MIN)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint only */
    while (left > 0) {
        uint8_t *room;
        size_t len;
        int rc = pbr_pxar_enc_file_reserve(cr->enc, left < READ_MAX ? (size_t)left : READ_MAX, &room, &len, diag);
        if (rc < 0)
            return rc;
        const ssize_t n = read_into(fd, room, len, len == left);
        if (n < 0)
            return pbr_fail_os(diag, errno, "failed to read %s", pbr_quote_path(&q, path));
        if (n == 0) {
            pbr_walk_warn(&cr->walk, "warning: file size shrunk while reading: ", path,
                          ", file will be padded with zeros!");
            return fill_with_zeros(cr, left, diag);
        }
        if ((uint64_t)n > left) /* [CRT-141] */
            pbr_walk_warn(&cr->walk, "warning: file size increased while reading: ", path,
                          ", file will be truncated!");
        const size_t got = (uint64_t)n > left ? (size_t)left : (size_t)n;
        rc = pbr_pxar_enc_file_commit(cr->enc, got, diag);
        if (rc < 0)
            return rc;
        left -= got;
    }
    return PBR_OK;
}
