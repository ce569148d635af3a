/* SPDX-License-Identifier: MIT */
/* What a client sends to the listening side: requests of HTTP/1.1, one after the other.
 *
 * Reaches: pbr_http1_step, _get, _idle (http1.c).
 * Asserts: heads, bodies and the result do not depend on how the input is split; nothing is taken behind the end of a
 * request that asks for an upgrade; header names are lower case and texts without control characters. */
#include "fuzz.h"

#include "net/http1.h"

static void verify_text(const char *text)
{
    for (; *text; text++)
        MUST((unsigned char)*text >= ' ' || *text == '\t');
}

static void hash_head(uint64_t *h, const struct pbr_http1 *p)
{
    fuzz_hash_str(h, p->method);
    fuzz_hash_str(h, p->target);
    verify_text(p->method);
    verify_text(p->target);
    MUST(p->header_nr <= PBR_HTTP1_HEADERS_MAX);
    for (size_t i = 0; i < p->header_nr; i++) {
        fuzz_hash_str(h, p->header[i].name);
        fuzz_hash_str(h, p->header[i].value);
        verify_text(p->header[i].value);
        for (const char *c = p->header[i].name; *c; c++)
            MUST(*c < 'A' || *c > 'Z');
        MUST(pbr_http1_get(p, p->header[i].name));
    }
    fuzz_hash_u64(h, p->keep_alive);
    fuzz_hash_u64(h, p->expect_continue);
}

struct result {
    int rc;
    uint64_t hash, used;
    bool idle;
};

static struct result parse(struct pbr_span in, enum fuzz_split how)
{
    struct result r = { .hash = 1 };
    struct pbr_http1 p;
    struct pbr_diag diag = { 0 };
    uint64_t state = in.len;
    size_t given = 0;
    struct pbr_span view = pbr_span(in.ptr, 0);
    pbr_http1_init(&p, &fuzz_env);
    for (;;) {
        struct pbr_span body;
        const size_t before = view.len;
        r.rc = pbr_http1_step(&p, &view, &body, &diag);
        if (r.rc < 0)
            break;
        MUST(view.len <= before);
        r.used += before - view.len;
        if (r.rc == PBR_HTTP1_MORE) {
            MUST(view.len == 0);
            if (given == in.len)
                break;
            const size_t n = fuzz_piece(how, &state, in.len - given);
            view = pbr_span_sub(in, given, n);
            given += n;
            continue;
        }
        if (r.rc == PBR_HTTP1_HEAD)
            hash_head(&r.hash, &p);
        else if (r.rc == PBR_HTTP1_BODY)
            fuzz_hash(&r.hash, body.ptr, body.len);
        else
            fuzz_hash_u64(&r.hash, r.used);
        if (r.rc == PBR_HTTP1_END && pbr_http1_get(&p, "upgrade"))
            break; /* what follows belongs to somebody else */
    }
    r.idle = r.rc > 0 && pbr_http1_idle(&p);
    if (r.rc < 0) {
        MUST((int)diag.code == r.rc);
        r.used = 0; /* how much was looked at before it failed is not promised */
    }
    pbr_http1_release(&p);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct pbr_span in = pbr_span(data, len);
    const struct result whole = parse(in, FUZZ_WHOLE);
    for (enum fuzz_split how = FUZZ_BYTES; how < FUZZ_SPLITS; how++) {
        const struct result split = parse(in, how);
        MUST(split.rc == whole.rc && split.hash == whole.hash && split.used == whole.used && split.idle == whole.idle);
    }
    return 0;
}
