/* SPDX-License-Identifier: MIT */
/* Scenes of change detection for tests: a previous snapshot as tables, a walk over a list of entries, and what must come of
 * it in words. */
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
};

static inline void check_play(const struct scene *s, const struct item *items, size_t nr, uint64_t cache_max, const struct want *want)
{
    struct world *w = world_new();
    world_index(w, s->ends, NULL, s->end_nr);
    w->previous = s->previous;
    w->previous_nr = s->previous_nr;
    check_int(world_run(w, items, nr, cache_max), PBR_OK);
    verify_case(w, want);
    world_free_all(w);
}

#endif
