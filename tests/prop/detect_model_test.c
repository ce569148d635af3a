/* SPDX-License-Identifier: MIT */
/* covers: CDM-042 CDM-048 CDM-062 CDM-069 CDM-081 CDM-087 CDM-090 CDM-092 CDM-111 CDM-124 CDM-125 CDM-127 CDM-128 CDM-129 */
/* Change detection against streams kept in memory: random trees over generations, random cuts, random room to wait. Whatever
 * is decided, every reference must hold the file's bytes, in order, and every other byte must come from an injected chunk. */
#include "detect_world.h"

enum { FILES_MAX = 60, GENERATIONS = 5 };

struct stream {
    uint8_t *bytes;
    uint64_t len;
    struct chunk *chunks;
    size_t chunk_nr;
    struct previous_item items[FILES_MAX * 2];
    size_t item_nr;
};

static uint64_t below(uint64_t *rng, uint64_t n)
{
    return test_next_random(rng) % n;
}

static uint8_t content_at(uint64_t seed, uint64_t i)
{
    return (uint8_t)((seed * 0x9E3779B97F4A7C15u + i * 0xD1B54A32D192ED03u) >> 40);
}

static void put_payload(uint8_t *at, const struct item *item)
{
    memset(at, 'H', HDR);
    memcpy(at + 8, &item->size, sizeof(item->size));
    for (uint64_t i = 0; i < item->size; i++)
        at[HDR + i] = content_at(item->seed, i);
}

static void digest_of(const uint8_t *bytes, uint64_t len, uint8_t out[PBR_DIGEST_LEN])
{
    check_int(pbr_sha256(pbr_span(bytes, (size_t)len), pbr_span(NULL, 0), out), PBR_OK);
}

static void stream_release(struct stream *s)
{
    free(s->bytes);
    free(s->chunks);
    *s = (struct stream){ 0 };
}

/* Finds the previous chunk an injected one is a copy of: the one with its digest (equal digests have equal bytes). */
static const uint8_t *bytes_of(const struct stream *before, const struct chunk *c, uint64_t size)
{
    uint64_t start = 0;
    for (size_t i = 0; i < before->chunk_nr; i++) {
        const uint64_t end = before->chunks[i].end;
        if (end - start == size && memcmp(before->chunks[i].digest, c->digest, PBR_DIGEST_LEN) == 0)
            return before->bytes + start;
        start = end;
    }
    fail_msg("an injected chunk is none of the previous stream");
    return NULL;
}

static void add_chunk(struct stream *s, uint64_t start, uint64_t end)
{
    struct chunk *c = &s->chunks[s->chunk_nr++];
    check(s->chunk_nr <= CHUNKS_MAX && end > start);
    c->end = end;
    digest_of(s->bytes + start, end - start, c->digest);
}

/* Cuts [start, end) anywhere. */
static void cut_raw(struct stream *s, uint64_t start, uint64_t end, uint64_t *rng)
{
    while (start < end) {
        uint64_t next = start + 1 + below(rng, 4000);
        next = next > end ? end : next;
        add_chunk(s, start, next);
        start = next;
    }
}

/* The stream that the walk made, cut into chunks; checks on the way that nothing but references and copies is in it. */
static void build(struct stream *s, const struct world *w, const struct stream *before, uint64_t *rng)
{
    uint8_t *owner = calloc(1, w->pos); /* per byte: 1 written, 2 injected */
    *s = (struct stream){ .bytes = calloc(1, w->pos), .len = w->pos, .chunks = calloc(CHUNKS_MAX, sizeof(struct chunk)) };
    assert_non_null(owner);
    assert_non_null(s->bytes);
    assert_non_null(s->chunks);
    memset(owner, 1, HDR);
    memset(owner + w->pos - HDR, 1, HDR);
    memset(s->bytes, 'S', HDR);
    memset(s->bytes + w->pos - HDR, 'T', HDR);
    for (size_t i = 0, k = 0; i < w->injection_nr; i++) {
        uint64_t at = w->injections[i].boundary;
        for (uint64_t n = 0; n < w->injections[i].nr; n++, k++) {
            const uint64_t size = w->injected_chunks[k].end - at;
            memcpy(s->bytes + at, bytes_of(before, &w->injected_chunks[k], size), size);
            for (uint64_t b = at; b < at + size; b++)
                check_int(owner[b]++, 0);
            memset(owner + at, 2, size);
            at += size;
        }
    }
    for (size_t i = 0; i < w->written_nr; i++) {
        const struct written *x = &w->written[i];
        if (x->link || x->reused)
            continue;
        for (uint64_t b = x->off; b < x->off + HDR + x->item->size; b++)
            check_int(owner[b]++, 0);
        put_payload(s->bytes + x->off, x->item);
    }
    for (uint64_t b = 0; b < w->pos; b++)
        check(owner[b] != 0);
    uint64_t raw = 0;
    for (size_t i = 0, k = 0; i < w->injection_nr; i++) {
        uint64_t at = w->injections[i].boundary;
        cut_raw(s, raw, at, rng);
        for (uint64_t n = 0; n < w->injections[i].nr; n++, k++) {
            add_chunk(s, at, w->injected_chunks[k].end);
            check(memcmp(s->chunks[s->chunk_nr - 1].digest, w->injected_chunks[k].digest, PBR_DIGEST_LEN) == 0);
            at = w->injected_chunks[k].end;
        }
        raw = at;
    }
    cut_raw(s, raw, w->pos, rng);
    free(owner);
}

/* Every reference holds what the file holds; references increase and do not overlap; the counters add up. */
static void check_references(struct stream *s, const struct world *w)
{
    uint64_t next = HDR, reused = 0, files = 0;
    for (size_t i = 0; i < w->written_nr; i++) {
        const struct written *x = &w->written[i];
        struct previous_item *p = &s->items[s->item_nr++];
        *p = (struct previous_item){ .name = x->item->name, .off = x->off, .size = x->item->size, .mtime = x->item->mtime,
                                     .hardlink = x->link };
        if (x->link)
            continue;
        uint8_t *want = calloc(1, HDR + x->item->size);
        assert_non_null(want);
        put_payload(want, x->item);
        check(x->off >= next && x->off + HDR + x->item->size <= s->len - HDR);
        check(memcmp(s->bytes + x->off, want, HDR + x->item->size) == 0);
        free(want);
        next = x->off + HDR + x->item->size;
        reused += x->reused ? HDR + x->item->size : 0;
        files++;
    }
    check_u64(w->counts.reused_size, reused);
    check_u64(w->counts.reused_files + w->counts.reencoded_files, files);
    check_u64(s->len, 2 * HDR + w->counts.reencoded_size + w->counts.injected_size);
    check(w->counts.injected_size >= w->counts.reused_size);
}

/* ---- trees ---- */

static char names[FILES_MAX][16];

static void change(struct item *item, uint64_t *rng, uint64_t *serial)
{
    item->seed = ++*serial;
    item->mtime = *serial;
    item->size = below(rng, 8) == 0 ? below(rng, 30) : below(rng, 5000);
}

/* A generation's entries out of the state of all files: some are missing, some changed, links and other entries between. */
static size_t make_walk(struct item *out, struct item *files, bool *there, uint64_t *rng, uint64_t *serial, unsigned rate)
{
    size_t nr = 0;
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (below(rng, rate) == 0)
            change(&files[i], rng, serial);
        if (below(rng, rate) == 0)
            there[i] = !there[i];
        if (i % 16 == 8)
            out[nr++] = (struct item){ .kind = PBR_REUSE_DIR, .name = "d" };
        if (i % 11 == 3)
            out[nr++] = (struct item){ .kind = PBR_REUSE_OTHER, .name = "o" };
        if (there[i])
            out[nr++] = files[i];
        if (there[i] && files[i].ino) { /* a second name, of the same file */
            out[nr] = files[i];
            out[nr++].name = "link";
        }
        if (i % 16 == 12)
            out[nr++] = (struct item){ .kind = PBR_REUSE_DIR_END, .name = "d" };
    }
    return nr;
}

/* The first generation: no reference, everything is written. */
static void write_all(struct world *w, const struct item *items, size_t nr)
{
    w->pos = HDR;
    for (size_t i = 0; i < nr; i++) {
        write_item(w, &items[i], NULL);
        if (items[i].kind == PBR_REUSE_FILE && !w->written[w->written_nr - 1].link) {
            w->counts.reencoded_files++;
            w->counts.reencoded_size += HDR + items[i].size;
        }
    }
    w->pos += HDR;
}

static uint64_t run_chain(uint64_t seed)
{
    uint64_t rng = seed, serial = 0, reused = 0;
    struct item files[FILES_MAX];
    bool there[FILES_MAX];
    struct stream before = { 0 }, after;
    const unsigned rate = 2 + (unsigned)below(&rng, 40);
    for (size_t i = 0; i < FILES_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "f%02zu", i);
        files[i] = (struct item){ .kind = PBR_REUSE_FILE, .name = names[i], .ino = i % 13 == 5 ? i : 0 };
        change(&files[i], &rng, &serial);
        there[i] = below(&rng, 8) != 0;
    }
    for (int generation = 0; generation < GENERATIONS; generation++) {
        struct item walk[FILES_MAX * 4];
        struct world *w = world_new();
        const size_t nr = make_walk(walk, files, there, &rng, &serial, rate);
        if (generation == 0) {
            write_all(w, walk, nr);
        } else {
            uint64_t *ends = calloc(before.chunk_nr, sizeof(*ends));
            uint8_t(*digests)[PBR_DIGEST_LEN] = calloc(before.chunk_nr, sizeof(*digests));
            assert_non_null(ends);
            assert_non_null(digests);
            for (size_t i = 0; i < before.chunk_nr; i++) {
                ends[i] = before.chunks[i].end;
                memcpy(digests[i], before.chunks[i].digest, PBR_DIGEST_LEN);
            }
            world_index(w, ends, (const uint8_t(*)[PBR_DIGEST_LEN])digests, before.chunk_nr);
            free(ends);
            free(digests);
            w->previous = before.items;
            w->previous_nr = before.item_nr;
            check_int(world_run(w, walk, nr, 1 + below(&rng, 100)), PBR_OK);
            check_u64(w->disordered, 0);
            reused += w->counts.reused_files;
        }
        build(&after, w, &before, &rng);
        check_references(&after, w);
        stream_release(&before);
        before = after;
        world_free_all(w);
    }
    stream_release(&before);
    return reused;
}

static void test_references_always_hold_the_files(void **state)
{
    const uint64_t seed = test_seed(20260);
    uint64_t reused = 0;
    (void)state;
    for (uint64_t i = 0; i < 60; i++)
        reused += run_chain(seed + i);
    check(reused > 1000); /* the property must not hold because nothing is re-used */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_references_always_hold_the_files) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
