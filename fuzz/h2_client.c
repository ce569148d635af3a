/* SPDX-License-Identifier: MIT */
/* What a server sends on an upgraded connection. Input: byte 0 bytes that the connection takes from us between two reads
 * (times 64; 0 = no limit); byte 1 reserved; then the server's bytes, read in pieces. Three requests are outstanding, one
 * with a body that no window lets pass.
 *
 * Reaches: pbr_h2_client_submit, _step, _free (h2_client.c) and nghttp2 below it.
 * Asserts: every request is called back exactly once; answers keep their limit; a failure is final. */
#include "fuzz.h"

#include <unistd.h>

#include "net/h2_client.h"

enum { HEAD = 2, REQUESTS = 3, REPLY_MAX = 1000, STEPS_MAX = 2000 };

struct wire {
    struct pbr_span in;
    size_t pos, budget, limit;
    uint64_t state;
    int closed;
};

static int wire_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct wire *w = ctx;
    (void)diag;
    size_t n = fuzz_piece(FUZZ_RANDOM, &w->state, w->in.len - w->pos);
    n = n < len ? n : len;
    memcpy(out, w->in.ptr + w->pos, n);
    w->pos += n;
    *ret = n;
    *ret_want = 0; /* the end of input is the end of the connection */
    w->budget = w->limit;
    return PBR_OK;
}

static int wire_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct wire *w = ctx;
    (void)diag;
    *ret = w->limit && w->budget < in.len ? w->budget : in.len;
    *ret_want = *ret ? 0 : PBR_PIPE_WRITE;
    w->budget -= w->limit ? *ret : 0;
    return PBR_OK;
}

static void wire_close(void *ctx)
{
    ((struct wire *)ctx)->closed++;
}

static void on_done(void *ctx, int rc, struct pbr_h2_reply *reply, const struct pbr_diag *diag)
{
    int *calls = ctx;
    ++*calls;
    MUST(reply->body.len <= REPLY_MAX);
    MUST(rc == PBR_OK ? reply->status >= 100 : (int)diag->code == rc && reply->status == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t body[100000];
    struct pbr_h2_client *c = NULL;
    int calls[REQUESTS] = { 0 };
    if (len < HEAD)
        return 0;
    struct wire w = { .in = pbr_span(data + HEAD, len - HEAD), .limit = data[0] * 64u, .budget = data[0] * 64u };
    const struct pbr_pipe pipe = { .ctx = &w, .fd = -1, .read = wire_read, .write = wire_write, .close = wire_close };
    MUST(pbr_h2_client_new(&fuzz_env, &pipe, &c, NULL) == PBR_OK);
    for (int i = 0; i < REQUESTS; i++) {
        const struct pbr_h2_req req = { .method = i ? "POST" : "GET",
                                        .path = "/chunk?digest=00",
                                        .body = pbr_span(body, i == 1 ? sizeof(body) : 0),
                                        .reply_max = REPLY_MAX,
                                        .done = on_done,
                                        .ctx = &calls[i] };
        MUST(pbr_h2_client_submit(c, &req, NULL) == PBR_OK);
    }
    int rc = PBR_OK;
    for (int i = 0; i < STEPS_MAX && rc == PBR_OK; i++)
        rc = pbr_h2_client_step(c, -1, 0, NULL);
    MUST(rc < 0 && pbr_h2_client_pending(c) == 0); /* the input has an end */
    MUST(pbr_h2_client_step(c, -1, 0, NULL) == rc);
    pbr_h2_client_free(c);
    for (int i = 0; i < REQUESTS; i++)
        MUST(calls[i] == 1);
    MUST(w.closed == 1);
    return 0;
}
