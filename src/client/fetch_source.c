/* SPDX-License-Identifier: MIT */
/* Random access to the bytes of an index, with a cache of the chunks used last; see fetch.h. */
#include <string.h>

#include "base/limits.h"
#include "client/fetch_int.h"

enum { CACHE = 4 }; /* chunks: catalogs have 512 KiB ones, metadata archives mostly a few */

struct cached {
    uint64_t i;
    bool used;
    uint64_t stamp;        /* of the last use */
    struct pbr_buf raw, out;
    struct pbr_span plain; /* in raw or out */
};

struct fetch_source {
    const struct pbr_env *env;
    struct pbr_link *link;
    const struct pbr_fetched_index *ix;
    struct pbr_fetch_opts opts;
    struct pbr_opener *opener;
    struct cached cache[CACHE];
    uint64_t clock;
};

static void drop(struct cached *c)
{
    if (!c->used)
        return;
    pbr_buf_release(&c->raw);
    pbr_buf_release(&c->out);
    *c = (struct cached){ 0 };
}

static struct cached *find_oldest(struct fetch_source *s)
{
    struct cached *oldest = &s->cache[0];
    for (size_t k = 1; k < CACHE; k++)
        if (s->cache[k].stamp < oldest->stamp)
            oldest = &s->cache[k];
    return oldest;
}

static int load(struct fetch_source *s, struct cached *c, uint64_t i, struct pbr_diag *diag)
{
    struct pbr_buf path;
    drop(c);
    int rc = pbr_fetch_chunk_path(s->env, &s->ix->index, i, &path, diag);
    if (rc < 0)
        return rc;
    rc = pbr_link_call(s->link, "GET", pbr_buf_cstr(&path), NULL, pbr_span(NULL, 0), PBR_CHUNK_RAW_MAX, &c->raw, diag);
    pbr_buf_release(&path);
    if (rc == PBR_OK) {
        c->used = true;
        c->i = i;
        pbr_buf_init(&c->out, s->env, PBR_CHUNK_MAX);
        rc = pbr_fetch_decode(s->opener, s->ix, i, s->opts.crypt, pbr_buf_span(&c->raw), &c->out, &c->plain, diag);
        if (rc < 0)
            drop(c);
    }
    if (rc < 0)
        pbr_fetch_name_chunk(&s->ix->index, i, diag);
    return rc;
}

static int get_chunk(struct fetch_source *s, uint64_t i, struct cached **ret, struct pbr_diag *diag)
{
    struct cached *c = NULL;
    for (size_t k = 0; k < CACHE && !c; k++)
        if (s->cache[k].used && s->cache[k].i == i)
            c = &s->cache[k];
    if (!c) {
        c = find_oldest(s);
        const int rc = load(s, c, i, diag);
        if (rc < 0)
            return rc;
    }
    c->stamp = ++s->clock;
    *ret = c;
    return PBR_OK;
}

static int source_read_at(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    struct fetch_source *s = ctx;
    while (len > 0) {
        uint64_t i;
        struct cached *c;
        if (!pbr_index_lookup(&s->ix->index, off, &i))
            return pbr_fail(diag, PBR_E_TRUNCATED, NULL, off, "archive ends %zu bytes early", len);
        const int rc = get_chunk(s, i, &c, diag);
        if (rc < 0)
            return rc;
        const uint64_t inside = off - pbr_index_start(&s->ix->index, i);
        const struct pbr_span part = pbr_span_sub(c->plain, (size_t)inside, len);
        memcpy(out, part.ptr, part.len);
        out += part.len;
        off += part.len;
        len -= part.len;
    }
    return PBR_OK;
}

static void source_close(void *ctx)
{
    struct fetch_source *s = ctx;
    for (size_t k = 0; k < CACHE; k++)
        drop(&s->cache[k]);
    pbr_opener_free(s->opener);
    pbr_free(s->env, s);
}

int pbr_fetch_source(const struct pbr_env *env, struct pbr_link *link, const struct pbr_fetched_index *ix,
                     const struct pbr_fetch_opts *opts, struct pbr_source *ret, struct pbr_diag *diag)
{
    struct fetch_source *s = pbr_alloc(env, 1, sizeof(*s));
    if (!s || pbr_opener_new(env, &s->opener) < 0) {
        pbr_free(env, s);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to read an archive");
    }
    s->env = env;
    s->link = link;
    s->ix = ix;
    s->opts = *opts;
    *ret = (struct pbr_source){
        .ctx = s, .size = ix->index.size, .read_at = source_read_at, .close = source_close
    };
    return PBR_OK;
}
