/* SPDX-License-Identifier: MIT */
/* Hash table with open addressing; see create_links.h. */
#include "archive/create_links.h"

void pbr_links_init(struct pbr_links *t, const struct pbr_env *env)
{
    *t = (struct pbr_links){ .env = env };
}

void pbr_links_release(struct pbr_links *t)
{
    if (!t->env)
        return;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].path.ptr)
            pbr_free(t->env, (void *)(uintptr_t)t->slots[i].path.ptr);
    pbr_free(t->env, t->slots);
    *t = (struct pbr_links){ .env = NULL };
}

/* The slot of this file, or the free one where it belongs. */
static struct pbr_link *slot_of(struct pbr_link *slots, size_t cap, uint64_t dev, uint64_t ino)
{
    uint64_t h = (ino ^ dev << 32 ^ dev >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = (size_t)(h >> 20);; i++) {
        struct pbr_link *slot = &slots[i & (cap - 1)];
        if (!slot->path.ptr || (slot->dev == dev && slot->ino == ino))
            return slot;
    }
}

const struct pbr_link *pbr_links_find(const struct pbr_links *t, uint64_t dev, uint64_t ino)
{
    if (t->cap == 0)
        return NULL;
    const struct pbr_link *slot = slot_of(t->slots, t->cap, dev, ino);
    return slot->path.ptr ? slot : NULL;
}

static int grow(struct pbr_links *t)
{
    const size_t cap = t->cap ? 2 * t->cap : 64;
    struct pbr_link *slots = pbr_alloc(t->env, cap, sizeof(*slots));
    if (!slots)
        return PBR_E_NOMEM;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].path.ptr)
            *slot_of(slots, cap, t->slots[i].dev, t->slots[i].ino) = t->slots[i];
    pbr_free(t->env, t->slots);
    t->slots = slots;
    t->cap = cap;
    return PBR_OK;
}

int pbr_links_add(struct pbr_links *t, uint64_t dev, uint64_t ino, uint64_t pos, struct pbr_span path)
{
    if (t->nr >= t->cap / 4 * 3 && grow(t) < 0)
        return PBR_E_NOMEM;
    char *copy = pbr_strndup(t->env, path);
    if (!copy)
        return PBR_E_NOMEM;
    *slot_of(t->slots, t->cap, dev, ino) =
        (struct pbr_link){ .dev = dev, .ino = ino, .pos = pos, .path = pbr_span(copy, path.len) };
    t->nr++;
    return PBR_OK;
}
