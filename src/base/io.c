/* SPDX-License-Identifier: MIT */
/* Memory and fault-injecting versions of the byte interfaces; see io.h. */
#include "base/io.h"

#include <string.h>

/* ---- source ---- */

int pbr_source_read_at(const struct pbr_source *src, uint64_t off, uint8_t *out, size_t len,
                       struct pbr_diag *diag)
{
    if (off > src->size || len > src->size - off)
        return pbr_fail(diag, PBR_E_TRUNCATED, NULL, off, "%zu bytes wanted, input ends at %" PRIu64, len, src->size);
    return src->read_at(src->ctx, off, out, len, diag);
}

void pbr_source_close(struct pbr_source *src)
{
    if (src->close)
        src->close(src->ctx);
    *src = (struct pbr_source){ 0 };
}

static int mem_read_at(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    const struct pbr_span *in = ctx;
    if (off > in->len || len > in->len - off)
        return pbr_fail(diag, PBR_E_TRUNCATED, NULL, off, "%zu bytes wanted, input ends at %zu", len, in->len);
    if (len)
        memcpy(out, in->ptr + off, len);
    return PBR_OK;
}

struct pbr_source pbr_source_mem(const struct pbr_span *in)
{
    return (struct pbr_source){ .ctx = (void *)(uintptr_t)in, .size = in->len, .read_at = mem_read_at };
}

/* ---- stream ---- */

int pbr_stream_peek(struct pbr_stream *s, struct pbr_span *ret, struct pbr_diag *diag)
{
    return s->peek(s->ctx, ret, diag);
}

void pbr_stream_consume(struct pbr_stream *s, size_t n)
{
    s->consume(s->ctx, n);
}

int pbr_stream_skip(struct pbr_stream *s, uint64_t n, struct pbr_diag *diag)
{
    if (s->skip)
        return s->skip(s->ctx, n, diag);
    while (n > 0) {
        struct pbr_span view;
        const int rc = s->peek(s->ctx, &view, diag);
        if (rc < 0)
            return rc;
        if (view.len == 0)
            return pbr_fail_at(diag, PBR_E_TRUNCATED, NULL, "input ends %" PRIu64 " bytes early", n);
        const size_t step = n < view.len ? (size_t)n : view.len;
        s->consume(s->ctx, step);
        n -= step;
    }
    return PBR_OK;
}

void pbr_stream_expect(struct pbr_stream *s, uint64_t n)
{
    if (s->expect)
        s->expect(s->ctx, n);
}

int pbr_stream_read(struct pbr_stream *s, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    while (len > 0) {
        struct pbr_span view;
        const int rc = s->peek(s->ctx, &view, diag);
        if (rc < 0)
            return rc;
        if (view.len == 0)
            return pbr_fail_at(diag, PBR_E_TRUNCATED, NULL, "input ends %zu bytes early", len);
        const size_t step = len < view.len ? len : view.len;
        memcpy(out, view.ptr, step);
        s->consume(s->ctx, step);
        out += step;
        len -= step;
    }
    return PBR_OK;
}

void pbr_stream_close(struct pbr_stream *s)
{
    if (s->close)
        s->close(s->ctx);
    *s = (struct pbr_stream){ 0 };
}

static int mem_peek(void *ctx, struct pbr_span *ret, struct pbr_diag *diag)
{
    (void)diag;
    struct pbr_stream_mem *m = ctx;
    *ret = pbr_span_sub(m->in, m->pos, m->step ? m->step : m->in.len);
    return PBR_OK;
}

static void mem_consume(void *ctx, size_t n)
{
    struct pbr_stream_mem *m = ctx;
    m->pos += n;
}

struct pbr_stream pbr_stream_mem(struct pbr_stream_mem *m)
{
    return (struct pbr_stream){ .ctx = m, .peek = mem_peek, .consume = mem_consume };
}

/* ---- sink ---- */

int pbr_sink_write(struct pbr_sink *s, struct pbr_span in, struct pbr_diag *diag)
{
    return in.len ? s->write(s->ctx, in, diag) : PBR_OK;
}

static int buf_write(void *ctx, struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_buf *b = ctx;
    const int rc = pbr_buf_append(b, in);
    if (rc < 0)
        return pbr_fail(diag, rc, NULL, b->len, "cannot hold %zu more bytes in memory", in.len);
    return PBR_OK;
}

struct pbr_sink pbr_sink_buf(struct pbr_buf *b)
{
    return (struct pbr_sink){ .ctx = b, .write = buf_write };
}

/* ---- faults ---- */

bool pbr_fault_step(struct pbr_fault *f)
{
    if (f->hit && f->sticky)
        return true;
    if (f->nth < 0)
        return false;
    if (f->nth-- > 0)
        return false;
    f->hit = true;
    return true;
}

static int faulty_read_at(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    struct pbr_source_fault *f = ctx;
    if (pbr_fault_step(f->fault))
        return pbr_fail(diag, PBR_E_IO, NULL, off, "injected read error");
    return f->inner.read_at(f->inner.ctx, off, out, len, diag);
}

struct pbr_source pbr_source_faulty(struct pbr_source_fault *f)
{
    return (struct pbr_source){ .ctx = f, .size = f->inner.size, .read_at = faulty_read_at };
}

static int faulty_write(void *ctx, struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_sink_fault *f = ctx;
    if (pbr_fault_step(f->fault))
        return pbr_fail_at(diag, PBR_E_IO, NULL, "injected write error");
    return f->inner.write(f->inner.ctx, in, diag);
}

struct pbr_sink pbr_sink_faulty(struct pbr_sink_fault *f)
{
    return (struct pbr_sink){ .ctx = f, .write = faulty_write };
}
