/* SPDX-License-Identifier: MIT */
/* zstd with reusable contexts: one-shot compression at level 1 with the content size in the frame
 * header [BLOB-023, BLOB-024]; decompression of any sequence of frames [BLOB-027, BLOB-053,
 * BLOB-054, BLOB-060].
 *
 * The library's own work memory does not come from the env: its interface for that is not a stable
 * one. Thread: objects are not shared. */
#include <zstd.h>
#include <zstd_errors.h>

#include "prim/prim.h"

enum { LEVEL = 1, STEP_MIN = 64 << 10 };

struct pbr_zstd_enc {
    const struct pbr_env *env;
    ZSTD_CCtx *ctx;
};

struct pbr_zstd_dec {
    const struct pbr_env *env;
    ZSTD_DCtx *ctx;
};

int pbr_zstd_enc_new(const struct pbr_env *env, struct pbr_zstd_enc **ret)
{
    struct pbr_zstd_enc *z = pbr_alloc(env, 1, sizeof(*z));
    if (!z)
        return PBR_E_NOMEM;
    z->env = env;
    z->ctx = ZSTD_createCCtx();
    if (!z->ctx) {
        pbr_zstd_enc_free(z);
        return PBR_E_NOMEM;
    }
    *ret = z;
    return PBR_OK;
}

void pbr_zstd_enc_free(struct pbr_zstd_enc *z)
{
    if (!z)
        return;
    (void)ZSTD_freeCCtx(z->ctx);
    pbr_free(z->env, z);
}

int pbr_zstd_compress(struct pbr_zstd_enc *z, struct pbr_span in, uint8_t *out, size_t cap,
                      size_t *ret_len)
{
    const size_t n = ZSTD_compressCCtx(z->ctx, out, cap, in.ptr, in.len, LEVEL);
    if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return PBR_E_NOMEM;
    *ret_len = ZSTD_isError(n)
                   ? 0
                   : n; /* whatever else went wrong, the data can be stored as it is [BLOB-025] */
    return PBR_OK;
}

int pbr_zstd_dec_new(const struct pbr_env *env, struct pbr_zstd_dec **ret)
{
    struct pbr_zstd_dec *z = pbr_alloc(env, 1, sizeof(*z));
    if (!z)
        return PBR_E_NOMEM;
    z->env = env;
    z->ctx = ZSTD_createDCtx();
    if (!z->ctx) {
        pbr_zstd_dec_free(z);
        return PBR_E_NOMEM;
    }
    *ret = z;
    return PBR_OK;
}

void pbr_zstd_dec_free(struct pbr_zstd_dec *z)
{
    if (!z)
        return;
    (void)ZSTD_freeDCtx(z->ctx);
    pbr_free(z->env, z);
}

static int library_failed(size_t code, size_t at, struct pbr_diag *diag)
{
    if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
        return PBR_E_NOMEM;
    return pbr_fail(diag, PBR_E_FORMAT, "BLOB-054", at, "%s", ZSTD_getErrorName(code));
}

static int too_long(const struct pbr_buf *out, struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_LIMIT, "BLOB-060", "decompressed data is longer than %zu bytes",
                       out->max - out->len);
}

/* The ordinary case: all of `in` is one frame that says its plain length. False if it is not that
 * case. */
static bool is_single_sized_frame(struct pbr_span in, unsigned long long *ret_len)
{
    *ret_len = ZSTD_getFrameContentSize(in.ptr, in.len);
    if (*ret_len == ZSTD_CONTENTSIZE_UNKNOWN || *ret_len == ZSTD_CONTENTSIZE_ERROR || *ret_len == 0)
        return false; /* 0 also stands for a skippable frame */
    const size_t frame = ZSTD_findFrameCompressedSize(in.ptr, in.len);
    return !ZSTD_isError(frame) && frame == in.len;
}

static int one_shot(struct pbr_zstd_dec *z, struct pbr_span in, unsigned long long plain_len,
                    struct pbr_buf *out, struct pbr_diag *diag)
{
    uint8_t *p;
    if (plain_len > out->max - out->len)
        return too_long(out, diag);
    const int rc = pbr_buf_reserve(out, (size_t)plain_len, &p);
    if (rc < 0)
        return rc;
    const size_t n = ZSTD_decompressDCtx(z->ctx, p, (size_t)plain_len, in.ptr, in.len);
    if (ZSTD_isError(n))
        return library_failed(n, 0, diag);
    out->len += n;
    return PBR_OK;
}

/* Room for the next step of output; *ret_len = 0 when the maximum is reached. */
static int next_room(struct pbr_buf *out, size_t want, uint8_t **ret, size_t *ret_len)
{
    const size_t left = out->max - out->len;
    const size_t spare = out->cap - out->len;
    size_t n = want > spare ? want : spare;
    if (n < STEP_MIN)
        n = STEP_MIN;
    *ret_len = n < left ? n : left;
    return pbr_buf_reserve(out, *ret_len, ret);
}

static int streaming(struct pbr_zstd_dec *z, struct pbr_span in, size_t expect, struct pbr_buf *out,
                     struct pbr_diag *diag)
{
    ZSTD_inBuffer src = { .src = in.ptr, .size = in.len };
    size_t hint = 1; /* 0 exactly when a frame is complete and its output handed over */
    bool flushed = true;
    (void)ZSTD_DCtx_reset(z->ctx, ZSTD_reset_session_only);

    while (src.pos < src.size || !flushed) {
        uint8_t *room;
        size_t room_len;
        const int rc = next_room(out, expect, &room, &room_len);
        if (rc < 0)
            return rc;
        expect = 0;
        ZSTD_outBuffer dst = { .dst = room, .size = room_len };
        const size_t was = src.pos;
        hint = ZSTD_decompressStream(z->ctx, &dst, &src);
        if (ZSTD_isError(hint))
            return library_failed(hint, src.pos, diag);
        if (dst.pos == 0 && src.pos == was && room_len == 0)
            return too_long(out, diag);
        out->len += dst.pos;
        flushed = hint == 0 || dst.pos < dst.size;
        if (dst.pos == 0 && src.pos == was)
            break; /* no progress: the frame wants more input than there is */
    }
    if (hint != 0)
        return pbr_fail(diag, PBR_E_FORMAT, "BLOB-054", in.len, "incomplete frame");
    return PBR_OK;
}

int pbr_zstd_decompress(struct pbr_zstd_dec *z, struct pbr_span in, size_t expect,
                        struct pbr_buf *out, struct pbr_diag *diag)
{
    unsigned long long plain_len;
    if (is_single_sized_frame(in, &plain_len))
        return one_shot(z, in, plain_len, out, diag);

    const size_t before = out->len;
    const int rc = streaming(z, in, expect, out, diag);
    if (rc < 0)
        out->len = before;
    return rc;
}
