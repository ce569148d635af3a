/* SPDX-License-Identifier: MIT */
/* Map from chunk digest to a 32 bit number: the chunks that a session knows with their plain sizes (BKP session state),
 * the chunks a reader may fetch, the chunks a backup need not send again (BKP-235). Open addressing, 36 bytes and a
 * little per entry; digests are uniform, so their first bytes are the hash.
 *
 * Hostile digests: an attacker can choose digests only by finding data for them or by sending an index; long probe runs
 * then cost time of that session alone.
 * Thread: not shared. */
#ifndef PBR_CHUNK_KNOWN_H
#define PBR_CHUNK_KNOWN_H

#include "base/env.h"
#include "prim/prim.h"

struct pbr_known {
    const struct pbr_env *env;
    uint8_t *slots;  /* capacity records of digest and number */
    uint8_t *used;   /* capacity flags */
    size_t count;
    size_t capacity; /* power of two, or 0 */
};

void pbr_known_init(struct pbr_known *k, const struct pbr_env *env);
void pbr_known_release(struct pbr_known *k);
/* Adds or overwrites; overwriting never fails. NOMEM leaves the map as it was. */
PBR_MUST_USE int pbr_known_set(struct pbr_known *k, const uint8_t digest[PBR_DIGEST_LEN], uint32_t value);
/* False if the digest is not in the map. ret_value may be NULL. */
bool pbr_known_get(const struct pbr_known *k, const uint8_t digest[PBR_DIGEST_LEN], uint32_t *ret_value);

#endif
