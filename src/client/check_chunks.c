/* SPDX-License-Identifier: MIT */
/* Files of a snapshot as streams for the check, and their chunks alone: images, catalogs, streams without structure. */
#include <string.h>

#include "client/check_int.h"
#include "client/fetch.h"

static int open_stream(void *ctx, struct pbr_stream *ret, struct pbr_diag *diag)
{
    struct check_remote *r = ctx;
    const struct pbr_fetch_opts opts = { .crypt = r->crypt };
    return pbr_fetch_stream(r->part.c->env, r->link, &r->index, &opts, ret, diag);
}

static int open_source(void *ctx, struct pbr_source *ret, struct pbr_diag *diag)
{
    struct check_remote *r = ctx;
    const struct pbr_fetch_opts opts = { .crypt = r->crypt };
    return pbr_fetch_source(r->part.c->env, r->link, &r->index, &opts, ret, diag);
}

void check_remote_init(struct check_remote *ret, struct check *c, struct pbr_link *link, size_t file,
                       const struct pbr_fetched_index *index)
{
    *ret = (struct check_remote){ .link = link, .crypt = c->opts->crypt, .index = *index };
    ret->part = (struct check_part){ .file = file,
                                     .ix = &ret->index.index,
                                     .size = index->index.size,
                                     .open_stream = open_stream,
                                     .open_source = open_source,
                                     .ctx = ret };
    check_part_init(&ret->part, c);
}

void check_remote_release(struct check_remote *r)
{
    check_part_release(&r->part);
    pbr_fetched_index_release(&r->index);
}

/* ---- distinct chunks ---- */

struct distinct {
    struct pbr_known seen;
    struct pbr_buf origin; /* uint64_t: where each chunk stands first */
    struct pbr_fetched_index index;
};

/* One of several lengths for a digest must be wrong: a chunk counts as seen with the length it had first only. */
static int add_chunk(struct distinct *d, const struct pbr_index *ix, uint64_t i, uint64_t *end)
{
    uint8_t rec[PBR_DIDX_REC];
    uint32_t len;
    const uint64_t start = pbr_index_start(ix, i), want = pbr_index_end(ix, i) - start;
    const uint8_t *digest = pbr_index_digest(ix, i);
    if (want == 0 || (pbr_known_get(&d->seen, digest, &len) && len == want))
        return PBR_OK;
    if (!pbr_add(*end, want, end))
        return PBR_E_LIMIT;
    int rc = pbr_known_set(&d->seen, digest, (uint32_t)want);
    if (rc == PBR_OK)
        rc = pbr_buf_append(&d->origin, pbr_span(&start, sizeof(start)));
    pbr_didx_rec_emit(*end, digest, rec);
    return rc < 0 ? rc : pbr_buf_append(&d->index.file, pbr_span(rec, sizeof(rec)));
}

/* An index of the chunks of `ix`, each once. */
static int extract(struct distinct *d, const struct pbr_index *ix, struct pbr_diag *diag)
{
    uint8_t hdr[PBR_INDEX_HDR];
    uint64_t end = 0;
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    pbr_index_hdr_emit(&head, hdr);
    int rc = pbr_buf_append(&d->index.file, pbr_span(hdr, sizeof(hdr)));
    for (uint64_t i = 0; rc == PBR_OK && i < ix->entry_nr; i++)
        rc = add_chunk(d, ix, i, &end);
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "no memory for the chunks of an index");
    return end ? pbr_index_parse(pbr_buf_span(&d->index.file), false, &d->index.index, diag) : PBR_OK;
}

static int read_distinct(struct check_remote *r, struct distinct *d, struct pbr_diag *diag)
{
    struct check_remote once;
    struct pbr_stream s;
    d->index.crypt_mode = r->index.crypt_mode;
    check_remote_init(&once, r->part.c, r->link, r->part.file, &d->index);
    once.part.origin = (const void *)d->origin.ptr;
    int rc = check_part_stream(&once.part, &s, diag);
    if (rc == PBR_OK) {
        rc = check_part_drain(&s, diag);
        pbr_stream_close(&s);
    }
    check_part_release(&once.part);
    return rc;
}

int check_chunks(struct check_remote *r, struct pbr_diag *diag)
{
    const struct pbr_env *env = r->part.c->env;
    struct distinct d = { 0 };
    pbr_known_init(&d.seen, env);
    pbr_buf_init(&d.origin, env, SIZE_MAX);
    pbr_buf_init(&d.index.file, env, SIZE_MAX);
    int rc = extract(&d, &r->index.index, diag);
    pbr_known_release(&d.seen);
    if (rc == PBR_OK && d.index.index.entry_nr > 0)
        rc = read_distinct(r, &d, diag);
    pbr_buf_release(&d.origin);
    pbr_buf_release(&d.index.file);
    r->part.c->res.files[r->part.file].contents = rc == PBR_OK;
    return rc;
}
