/* SPDX-License-Identifier: MIT */
/* The code under test at work in the model tests: detect/reuse.h decides, an archiver in memory carries out what it says, and
 * the payload stream that comes of it is cut into chunks. Nothing fails here; what is wrong goes into `wrong`. */
#ifndef PBR_MODEL_SUBJECT_H
#define PBR_MODEL_SUBJECT_H

#include "chunk_out.h"
#include "detect/reuse.h"
#include "model_stream.h"

enum piece_kind { PIECE_RAW, PIECE_INJECT, PIECE_SUGGEST };

/* In stream order: what the chunk stream is told. */
struct piece {
    enum piece_kind kind;
    uint64_t at, len;
    uint64_t sizes[PBR_REUSE_BATCH]; /* injected */
    size_t nr;
};

/* Faults of a decision, to see that the tests notice. */
enum sabotage { SABOTAGE_NONE, SABOTAGE_PAD, SABOTAGE_DROP_INJECTION, SABOTAGE_ALWAYS_ANEW };

struct subject {
    struct test_world world;
    struct pbr_env env;
    enum sabotage sabotage;
    const struct snapshot *previous;
    struct snapshot *out;
    const struct walk_entry *current;
    struct {
        const struct walk_entry *e;
        uint64_t rel;
    } waiting[2 * NODES_MAX];
    size_t waiting_nr, limited;
    bool written[NODES_MAX]; /* inodes */
    struct piece *pieces;
    size_t piece_nr, piece_cap;
    struct text log, wrong;
    struct pbr_reuse_counts counts;
    struct pbr_pxar_entry lent;
    struct pbr_pxar_xattr lent_xattrs[XATTRS_MAX];
    uint8_t lent_value[8];
};

static inline struct piece *subject_piece(struct subject *s, enum piece_kind kind, uint64_t at, uint64_t len)
{
    if (s->piece_nr == s->piece_cap) {
        s->piece_cap = s->piece_cap ? 2 * s->piece_cap : 64;
        s->pieces = realloc(s->pieces, s->piece_cap * sizeof(*s->pieces));
        assert_non_null(s->pieces);
    }
    s->pieces[s->piece_nr] = (struct piece){ .kind = kind, .at = at, .len = len };
    return &s->pieces[s->piece_nr++];
}

/* ---- the archiver ---- */

static inline void subject_file(struct subject *s, const struct walk_entry *e, const uint64_t *ref)
{
    struct item *item = &s->out->items[s->out->item_nr++];
    *item = (struct item){ .kind = WALK_FILE, .in = e->in, .size = e->in.size, .stored_seed = e->in.seed };
    memcpy(item->path, e->path, PATH_SPACE);
    item->hardlink = e->links > 1 && s->written[e->ino];
    if (item->hardlink) {
        text_add(&s->log, "%s is a link\n", e->path);
        return;
    }
    s->written[e->ino] = true;
    item->reused = ref != NULL;
    item->off = ref ? *ref : s->out->len;
    text_add(&s->log, "%s %s at %" PRIu64 "\n", e->path, ref ? "referred to" : "written", item->off);
    (void)subject_piece(s, PIECE_SUGGEST, s->out->len, 0);
    if (ref) {
        const struct item *old = snapshot_find(s->previous, e->path);
        item->stored_seed = old ? old->stored_seed : 0;
        return;
    }
    (void)subject_piece(s, PIECE_RAW, s->out->len, HDR + item->size);
    put_payload(snapshot_grow(s->out, HDR + item->size), item->size, item->in.seed);
}

static inline void subject_entry(struct subject *s, const struct walk_entry *e)
{
    if (e->kind == WALK_FILE) {
        subject_file(s, e, NULL);
        return;
    }
    text_add(&s->log, "%s %s\n", e->path, e->kind == WALK_DIR_END ? "ends" : "is an entry");
    if (e->kind == WALK_DIR_END)
        return;
    struct item *item = &s->out->items[s->out->item_nr++];
    *item = (struct item){ .kind = e->kind, .in = e->in };
    memcpy(item->path, e->path, PATH_SPACE);
}

/* ---- what detect asks for ---- */

static int subject_lookup(void *ctx, const struct pbr_pxar_entry **ret, struct pbr_diag *diag)
{
    struct subject *s = ctx;
    const struct item *old = snapshot_find(s->previous, s->current->path);
    (void)diag;
    *ret = old ? &s->lent : NULL;
    if (!old)
        return PBR_OK;
    s->lent = (struct pbr_pxar_entry){ .kind = old->kind == WALK_DIR ? PBR_KIND_DIR : PBR_KIND_SYMLINK };
    if (old->kind == WALK_FILE && old->hardlink)
        s->lent = (struct pbr_pxar_entry){ .kind = PBR_KIND_HARDLINK };
    else if (old->kind == WALK_FILE)
        s->lent = (struct pbr_pxar_entry){ .kind = PBR_KIND_FILE, .size = old->size, .has_ref = true, .ref_off = old->off,
                                           .meta = meta_of_inode(&old->in, s->lent_xattrs, s->lent_value) };
    return PBR_OK;
}

static int subject_replay(void *ctx, const uint64_t *start_pad, struct pbr_diag *diag)
{
    struct subject *s = ctx;
    const uint64_t base = start_pad ? s->out->len + *start_pad + (s->sabotage == SABOTAGE_PAD) : 0;
    (void)diag;
    for (size_t i = 0; i < s->waiting_nr; i++) {
        const uint64_t ref = base + s->waiting[i].rel;
        if (start_pad && s->waiting[i].e->kind == WALK_FILE && s->sabotage != SABOTAGE_ALWAYS_ANEW)
            subject_file(s, s->waiting[i].e, &ref);
        else
            subject_entry(s, s->waiting[i].e);
    }
    s->waiting_nr = s->limited = 0;
    return PBR_OK;
}

static int subject_inject(void *ctx, const struct pbr_inject *inj, uint64_t bytes, struct pbr_diag *diag)
{
    struct subject *s = ctx;
    uint64_t sum = 0;
    (void)diag;
    if (s->sabotage == SABOTAGE_DROP_INJECTION)
        return PBR_OK;
    if (inj->chunk_nr < 1 || inj->chunk_nr > PBR_REUSE_BATCH)
        text_add(&s->wrong, "%zu chunks in one injection\n", inj->chunk_nr);
    text_add(&s->log, "inject at %" PRIu64 "\n", s->out->len);
    struct piece *piece = subject_piece(s, PIECE_INJECT, s->out->len, bytes);
    for (size_t i = 0; i < inj->chunk_nr; i++) {
        const struct pbr_inject_chunk *c = &inj->chunks[i];
        size_t k = 0; /* equal digests have equal bytes */
        while (k < s->previous->chunk_nr && (memcmp(s->previous->chunks[k].digest, c->digest, PBR_DIGEST_LEN) != 0 ||
                                             s->previous->chunks[k].end - s->previous->chunks[k].start != c->size))
            k++;
        text_add(&s->log, "  chunk %02x%02x of %" PRIu64 "\n", c->digest[0], c->digest[1], c->size);
        if (k == s->previous->chunk_nr)
            text_add(&s->wrong, "an injected chunk is none of the previous stream\n");
        else
            memcpy(snapshot_grow(s->out, c->size), s->previous->bytes + s->previous->chunks[k].start, c->size);
        piece->sizes[piece->nr++] = c->size;
        sum += c->size;
    }
    if (sum != bytes)
        text_add(&s->wrong, "injection of %" PRIu64 " bytes says %" PRIu64 "\n", sum, bytes);
    return PBR_OK;
}

static void subject_disordered(void *ctx, uint64_t off, uint64_t last)
{
    struct subject *s = ctx;
    text_add(&s->log, "%s is out of order: %" PRIu64 " behind %" PRIu64 "\n", s->current->path, off, last);
}

/* ---- a run ---- */

static inline void subject_index(const struct snapshot *previous, struct pbr_index *ret, uint8_t **ret_file)
{
    const size_t len = PBR_INDEX_HDR + previous->chunk_nr * PBR_DIDX_REC;
    *ret = (struct pbr_index){ .kind = PBR_INDEX_DYNAMIC };
    *ret_file = calloc(1, len);
    assert_non_null(*ret_file);
    pbr_index_hdr_emit(ret, *ret_file);
    for (size_t i = 0; i < previous->chunk_nr; i++)
        pbr_didx_rec_emit(previous->chunks[i].end, previous->chunks[i].digest,
                          *ret_file + PBR_INDEX_HDR + i * PBR_DIDX_REC);
    check_int(pbr_index_parse(pbr_span(*ret_file, len), false, ret, NULL), PBR_OK);
}

static inline void subject_add(struct subject *s, struct pbr_reuse *r, const struct walk_entry *e, uint64_t cache_max)
{
    static const enum pbr_reuse_kind KINDS[] = { PBR_REUSE_FILE, PBR_REUSE_DIR, PBR_REUSE_DIR_END, PBR_REUSE_OTHER };
    struct pbr_pxar_xattr xattrs[XATTRS_MAX];
    uint8_t value[8];
    const struct pbr_pxar_meta meta = meta_of_inode(&e->in, xattrs, value);
    const struct pbr_reuse_entry entry = { .kind = KINDS[e->kind], .meta = &meta, .size = e->in.size, .dev = 1,
                                           .ino = e->ino + 1, .nlink = e->links };
    bool wait = false;
    uint64_t rel = 0;
    s->current = e;
    if (pbr_reuse_add(r, &entry, &wait, &rel, NULL) < 0) {
        text_add(&s->wrong, "%s: the run ends\n", e->path);
    } else if (!wait) {
        if (s->waiting_nr > 0)
            text_add(&s->wrong, "%s is written before what waits\n", e->path);
        subject_entry(s, e);
    } else {
        s->waiting[s->waiting_nr].e = e;
        s->waiting[s->waiting_nr++].rel = rel;
        s->limited += e->kind != WALK_DIR_END;
        if (s->limited > cache_max)
            text_add(&s->wrong, "%zu entries wait, %" PRIu64 " may\n", s->limited, cache_max);
    }
}

/* `previous` NULL: no reference, everything is written [CDM-074]. `s` zero but for sabotage. */
static inline void subject_run(struct subject *s, const struct snapshot *previous, const struct walk *walk, uint64_t cache_max,
                               struct snapshot *out)
{
    const struct pbr_reuse_ops ops = { .ctx = s, .lookup = subject_lookup, .replay = subject_replay, .inject = subject_inject,
                                       .disordered = subject_disordered };
    struct pbr_index index;
    uint8_t *file = NULL;
    struct pbr_reuse *r = NULL;
    s->env = test_env(&s->world);
    s->previous = previous;
    s->out = out;
    (void)subject_piece(s, PIECE_RAW, 0, HDR);
    memset(snapshot_grow(out, HDR), 'S', HDR);
    if (previous) {
        subject_index(previous, &index, &file);
        check_int(pbr_reuse_new(&s->env, &index, cache_max, &ops, &r, NULL), PBR_OK);
    }
    for (size_t i = 0; i < walk->nr && s->wrong.len == 0; i++) {
        if (r)
            subject_add(s, r, &walk->entries[i], cache_max);
        else
            subject_entry(s, &walk->entries[i]);
    }
    if (r && s->wrong.len == 0 && pbr_reuse_finish(r, NULL) < 0)
        text_add(&s->wrong, "the run does not finish\n");
    if (r)
        s->counts = pbr_reuse_counts(r);
    pbr_reuse_free(r);
    free(file);
    if (s->waiting_nr > 0)
        text_add(&s->wrong, "%zu entries were never written\n", s->waiting_nr);
    if (s->world.live_allocs != 0)
        text_add(&s->wrong, "%ld allocations are lost\n", s->world.live_allocs);
    (void)subject_piece(s, PIECE_RAW, out->len, HDR);
    memset(snapshot_grow(out, HDR), 'T', HDR);
    text_add(&s->log, "end at %" PRIu64 "\n", out->len);
}

static inline void subject_release(struct subject *s)
{
    free(s->pieces);
    free(s->log.s);
    free(s->wrong.s);
}

/* ---- chunks ---- */

/* Raw bytes are cut anywhere. */
static inline void subject_cut_anywhere(struct subject *s, uint64_t seed, uint64_t longest)
{
    uint64_t at = 0;
    for (size_t i = 0; i < s->piece_nr; i++) {
        const struct piece *p = &s->pieces[i];
        const uint64_t end = p->kind == PIECE_INJECT || i + 1 == s->piece_nr ? (p->kind == PIECE_INJECT ? p->at : s->out->len) : at;
        while (at < end) {
            const uint64_t len = 1 + test_next_random(&seed) % longest;
            const uint64_t next = len < end - at ? at + len : end;
            snapshot_add_chunk(s->out, at, next);
            at = next;
        }
        for (size_t k = 0; k < p->nr; k++) {
            snapshot_add_chunk(s->out, at, at + p->sizes[k]);
            at += p->sizes[k];
        }
    }
}

static inline void subject_feed(struct subject *s, struct pbr_chunk_stream *cs)
{
    struct pbr_sink sink = pbr_chunk_stream_sink(cs);
    struct pbr_inject_chunk chunks[PBR_REUSE_BATCH];
    for (size_t i = 0; i < s->piece_nr; i++) {
        const struct piece *p = &s->pieces[i];
        const struct pbr_inject inj = { .chunks = chunks, .chunk_nr = p->nr };
        int rc = PBR_OK;
        for (size_t k = 0; k < p->nr; k++)
            chunks[k] = (struct pbr_inject_chunk){ .size = p->sizes[k] };
        if (p->kind == PIECE_RAW)
            rc = pbr_sink_write(&sink, pbr_span(s->out->bytes + p->at, (size_t)p->len), NULL);
        else if (p->kind == PIECE_INJECT)
            rc = pbr_chunk_stream_inject(cs, p->at, &inj, NULL);
        else
            rc = pbr_chunk_stream_suggest(cs, p->at, NULL);
        if (rc < 0)
            text_add(&s->wrong, "the chunk stream refuses piece %zu at %" PRIu64 "\n", i, p->at);
    }
    if (pbr_chunk_stream_finish(cs, NULL) < 0)
        text_add(&s->wrong, "the chunk stream does not finish\n");
}

/* As a backup cuts them, with a small average. */
static inline void subject_cut(struct subject *s, uint64_t avg)
{
    const struct pbr_chunk_stream_opts opts = { .avg = avg, .payload = true };
    struct pbr_env env = test_env(&s->world);
    struct chunk_room room;
    const struct pbr_chunk_out out = room_out(&room, &env);
    struct pbr_chunk_stream *cs = NULL;
    check_int(pbr_chunk_stream_new(&env, &opts, &out, &cs, NULL), PBR_OK);
    subject_feed(s, cs);
    pbr_chunk_stream_free(cs);
    size_t raw = 0, piece = 0;
    for (size_t i = 0; i < room.log.nr; i++) {
        const struct chunk_event *e = &room.log.events[i];
        if (!e->injected) {
            if (memcmp(s->out->bytes + e->start, room.raw + raw, e->len) != 0)
                text_add(&s->wrong, "the chunk stream changes bytes\n");
            snapshot_add_chunk(s->out, e->start, e->start + e->len);
            raw += e->len;
            continue;
        }
        while (s->pieces[piece].kind != PIECE_INJECT)
            piece++;
        uint64_t at = e->start;
        for (size_t k = 0; k < s->pieces[piece].nr; k++, at += s->pieces[piece].sizes[k - 1])
            snapshot_add_chunk(s->out, at, at + s->pieces[piece].sizes[k]);
        piece++;
    }
    room_clear(&room);
}

#endif
