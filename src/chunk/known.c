/* SPDX-License-Identifier: MIT */
/* Digest map; see known.h. */
#include "chunk/known.h"

#include <string.h>

enum { SLOT = PBR_DIGEST_LEN + 4, FIRST_CAPACITY = 64 };

void pbr_known_init(struct pbr_known *k, const struct pbr_env *env)
{
    *k = (struct pbr_known){ .env = env };
}

void pbr_known_release(struct pbr_known *k)
{
    if (!k->env)
        return;
    pbr_free(k->env, k->slots);
    pbr_free(k->env, k->used);
    k->slots = k->used = NULL;
    k->count = k->capacity = 0;
}

/* Slot that holds the digest, or the free one where it belongs. capacity > count always, so the probe ends. */
static size_t find_slot(const struct pbr_known *k, const uint8_t *digest)
{
    size_t i = (size_t)pbr_get_u64le(digest) & (k->capacity - 1);
    while (k->used[i] && memcmp(k->slots + i * SLOT, digest, PBR_DIGEST_LEN) != 0)
        i = (i + 1) & (k->capacity - 1);
    return i;
}

static void put_slot(struct pbr_known *k, size_t i, const uint8_t *digest, uint32_t value)
{
    memcpy(k->slots + i * SLOT, digest, PBR_DIGEST_LEN);
    pbr_put_u32le(k->slots + i * SLOT + PBR_DIGEST_LEN, value);
    k->used[i] = 1;
}

static int grow(struct pbr_known *k)
{
    struct pbr_known bigger = { .env = k->env, .count = k->count };
    bigger.capacity = k->capacity ? k->capacity * 2 : FIRST_CAPACITY;
    bigger.slots = pbr_alloc(k->env, bigger.capacity, SLOT);
    bigger.used = bigger.slots ? pbr_alloc(k->env, bigger.capacity, 1) : NULL;
    if (!bigger.used) {
        pbr_free(k->env, bigger.slots);
        return PBR_E_NOMEM;
    }
    for (size_t i = 0; i < k->capacity; i++) {
        const uint8_t *slot = k->slots + i * SLOT;
        if (k->used[i])
            put_slot(&bigger, find_slot(&bigger, slot), slot, pbr_get_u32le(slot + PBR_DIGEST_LEN));
    }
    pbr_known_release(k);
    *k = bigger;
    return PBR_OK;
}

int pbr_known_set(struct pbr_known *k, const uint8_t digest[PBR_DIGEST_LEN], uint32_t value)
{
    if (k->count >= k->capacity / 4 * 3 && !pbr_known_get(k, digest, NULL)) {
        const int rc = grow(k);
        if (rc < 0)
            return rc;
    }
    const size_t i = find_slot(k, digest);
    k->count += !k->used[i];
    put_slot(k, i, digest, value);
    return PBR_OK;
}

bool pbr_known_get(const struct pbr_known *k, const uint8_t digest[PBR_DIGEST_LEN], uint32_t *ret_value)
{
    if (k->capacity == 0)
        return false;
    const size_t i = find_slot(k, digest);
    if (!k->used[i])
        return false;
    if (ret_value)
        *ret_value = pbr_get_u32le(k->slots + i * SLOT + PBR_DIGEST_LEN);
    return true;
}
