/* SPDX-License-Identifier: MIT */
/* Set of (device, inode) pairs, open addressing; see seen.h. */
#include "detect/seen.h"

enum { FIRST_CAPACITY = 64 };

void pbr_seen_init(struct pbr_seen *s, const struct pbr_env *env)
{
    *s = (struct pbr_seen){ .env = env };
}

void pbr_seen_release(struct pbr_seen *s)
{
    pbr_free(s->env, s->slots);
    pbr_seen_init(s, s->env);
}

/* The slot of the pair, or the free one where it belongs. There is always a free one. */
static size_t slot_of(const struct pbr_seen_pair *slots, size_t capacity, uint64_t dev, uint64_t ino)
{
    uint64_t h = (ino ^ (dev << 32 | dev >> 32)) * UINT64_C(0x9E3779B97F4A7C15); /* inode numbers come in rows */
    h ^= h >> 29;
    size_t i = (size_t)h & (capacity - 1);
    while (slots[i].used && (slots[i].dev != dev || slots[i].ino != ino))
        i = (i + 1) & (capacity - 1);
    return i;
}

static int grow(struct pbr_seen *s)
{
    const size_t capacity = s->capacity ? s->capacity * 2 : FIRST_CAPACITY;
    struct pbr_seen_pair *slots = pbr_alloc(s->env, capacity, sizeof(*slots));
    if (!slots)
        return PBR_E_NOMEM;
    for (size_t i = 0; i < s->capacity; i++)
        if (s->slots[i].used)
            slots[slot_of(slots, capacity, s->slots[i].dev, s->slots[i].ino)] = s->slots[i];
    pbr_free(s->env, s->slots);
    s->slots = slots;
    s->capacity = capacity;
    return PBR_OK;
}

int pbr_seen_add(struct pbr_seen *s, uint64_t dev, uint64_t ino, bool *ret_new)
{
    if (s->count >= s->capacity / 4 * 3) {
        const int rc = grow(s);
        if (rc < 0)
            return rc;
    }
    struct pbr_seen_pair *slot = &s->slots[slot_of(s->slots, s->capacity, dev, ino)];
    *ret_new = !slot->used;
    if (!slot->used) {
        *slot = (struct pbr_seen_pair){ .dev = dev, .ino = ino, .used = true };
        s->count++;
    }
    return PBR_OK;
}
