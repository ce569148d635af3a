/* SPDX-License-Identifier: MIT */
/* Scenes of change detection for tests: a previous snapshot as tables, a walk over a list of entries, and what must come of
 * it in words; and the scenarios of section 13 of spec/change-detection.md that more than one file is about. */
#ifndef PBR_DETECT_SCENE_H
#define PBR_DETECT_SCENE_H

#include "detect_world.h"

#define NR(a) (sizeof(a) / sizeof((a)[0]))
#define FILE_(n, s) { .kind = PBR_REUSE_FILE, .name = (n), .size = (s) }
#define TOUCHED(n, s) { .kind = PBR_REUSE_FILE, .name = (n), .size = (s), .mtime = 1 }
#define LINKED(n, s, i) { .kind = PBR_REUSE_FILE, .name = (n), .size = (s), .ino = (i) }
#define DIR_(n) { .kind = PBR_REUSE_DIR, .name = (n) }
#define END_(n) { .kind = PBR_REUSE_DIR_END, .name = (n) }
#define OTHER(n) { .kind = PBR_REUSE_OTHER, .name = (n) }
#define ALL_WAIT 1000

struct want {
    const char *refs;       /* "name@offset name->link ..." */
    const char *injections; /* "boundary:bytes:chunks ..." */
    uint64_t reused_files, reused_size, reencoded_files, reencoded_size, hardlinks, padding, partial;
};

static inline void describe(const struct world *w, char *refs, char *injections, size_t cap)
{
    size_t at = 0;
    refs[0] = injections[0] = 0;
    for (size_t i = 0; i < w->written_nr; i++) {
        const struct written *x = &w->written[i];
        at += (size_t)(x->link ? snprintf(refs + at, cap - at, "%s%s->", at ? " " : "", x->item->name)
                               : snprintf(refs + at, cap - at, "%s%s@%" PRIu64, at ? " " : "", x->item->name, x->off));
    }
    at = 0;
    for (size_t i = 0; i < w->injection_nr; i++)
        at += (size_t)snprintf(injections + at, cap - at, "%s%" PRIu64 ":%" PRIu64 ":%" PRIu64, at ? " " : "",
                               w->injections[i].boundary, w->injections[i].bytes, w->injections[i].nr);
}

static inline void verify_case(struct world *w, const struct want *want)
{
    char refs[2048], injections[2048];
    describe(w, refs, injections, sizeof(refs));
    check_str(refs, want->refs);
    check_str(injections, want->injections);
    check_u64(w->counts.reused_files, want->reused_files);
    check_u64(w->counts.reused_size, want->reused_size);
    check_u64(w->counts.reencoded_files, want->reencoded_files);
    check_u64(w->counts.reencoded_size, want->reencoded_size);
    check_u64(w->counts.hardlinks, want->hardlinks);
    check_u64(pbr_reuse_padding(&w->counts), want->padding);
    check_u64(w->counts.partial, want->partial);
}

struct scene {
    const uint64_t *ends;
    size_t end_nr;
    const struct previous_item *previous;
    size_t previous_nr;
    const uint8_t (*digests)[PBR_DIGEST_LEN]; /* NULL: all different */
};

#define SCENE(ends_, previous_) { .ends = (ends_), .end_nr = NR(ends_), .previous = (previous_), .previous_nr = NR(previous_) }

/* The caller frees it with world_free_all. */
static inline struct world *world_of(const struct scene *s)
{
    struct world *w = world_new();
    world_index(w, s->ends, s->digests, s->end_nr);
    w->previous = s->previous;
    w->previous_nr = s->previous_nr;
    return w;
}

static inline void check_play(const struct scene *s, const struct item *items, size_t nr, uint64_t cache_max, const struct want *want)
{
    struct world *w = world_of(s);
    check_int(world_run(w, items, nr, cache_max), PBR_OK);
    verify_case(w, want);
    world_free_all(w);
}

/* ---- tree U ---- */

static const uint64_t U_ENDS[] = { 200032, 218080, 257059, 313095, 418112 };
static const struct previous_item U_PREVIOUS[] = { { .name = "a", .off = 16, .size = 200000 },
                                                   { .name = "p0", .off = 200032, .size = 6000 },
                                                   { .name = "p1", .off = 206048, .size = 6000 },
                                                   { .name = "p2", .off = 212064, .size = 6000 },
                                                   { .name = "z", .off = 218080, .size = 200000 } };
static const struct scene U = SCENE(U_ENDS, U_PREVIOUS);

static inline void check_scenario_U2(void)
{
    const struct item items[] = { FILE_("a", 200000), FILE_("p0", 6000), FILE_("p2", 6000), FILE_("z", 200000) };
    check_play(&U, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@32 p0@200048 p2@212080 z@218096", .injections = "16:200032:1 200048:218080:4",
                         .reused_files = 4, .reused_size = 412064, .padding = 6048, .partial = 3 });
}

/* ---- tree D: entries 1 and 3 have the same digest ---- */

static const uint64_t D_ENDS[] = { 200032, 218080, 418096, 436144, 489094, 522049, 636176 };
static const uint8_t D_DIGESTS[NR(D_ENDS)][PBR_DIGEST_LEN] = { { 0 }, { 7 }, { 2 }, { 7 }, { 4 }, { 5 }, { 6 } };
static const struct previous_item D_PREVIOUS[] = {
    { .name = "a", .off = 16, .size = 200000 },     { .name = "b0", .off = 200032, .size = 6000 },
    { .name = "b1", .off = 206048, .size = 6000 },  { .name = "b2", .off = 212064, .size = 6000 },
    { .name = "c", .off = 218080, .size = 200000 }, { .name = "d0", .off = 418096, .size = 6000 },
    { .name = "d1", .off = 424112, .size = 6000 },  { .name = "d2", .off = 430128, .size = 6000 },
    { .name = "e", .off = 436144, .size = 200000 },
};
static const struct scene D = { .ends = D_ENDS, .end_nr = NR(D_ENDS), .previous = D_PREVIOUS, .previous_nr = NR(D_PREVIOUS),
                                .digests = D_DIGESTS };

static inline void check_scenario_D2(void)
{
    const struct item items[] = { FILE_("a", 200000), FILE_("b0", 6000), FILE_("b1", 6000), FILE_("d0", 6000),
                                  FILE_("d1", 6000), FILE_("d2", 6000), FILE_("e", 200000) };
    check_play(&D, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@32 b0@200048 b1@206064 d0@218096 d1@224112 d2@230128 e@236144",
                         .injections = "16:200032:1 200048:18048:1 218096:218080:4", .reused_files = 7,
                         .reused_size = 430112, .padding = 6048, .partial = 3 });
}

static inline void check_scenario_D3(void)
{
    const struct item items[] = { FILE_("a", 200000), FILE_("b0", 6000), FILE_("b1", 6000), FILE_("d0", 6000),
                                  FILE_("d2", 6000), FILE_("e", 200000) };
    check_play(&D, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@32 b0@200048 b1@206064 d0@218096 d2@236144 e@242160",
                         .injections = "16:200032:1 200048:18048:1 224112:218080:4", .reused_files = 5,
                         .reused_size = 418080, .reencoded_files = 1, .reencoded_size = 6016, .padding = 18080,
                         .partial = 4 });
}

#endif
