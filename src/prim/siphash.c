/* SPDX-License-Identifier: MIT */
/* SipHash-2-4 with 64 bit result, from Aumasson and Bernstein, "SipHash: a fast short-input PRF"
 * [PXAR-010]. Thread: thread-safe. */
#include "prim/prim.h"

static inline uint64_t rotl(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static inline void round1(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static inline void compress(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    round1(v);
    round1(v);
    v[0] ^= word;
}

uint64_t pbr_siphash24(uint64_t k0, uint64_t k1, struct pbr_span in)
{
    uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                      k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };
    struct pbr_cur c = pbr_cur(in);

    while (pbr_cur_left(&c) >= 8)
        compress(v, pbr_cur_u64le(&c));

    uint64_t last = (uint64_t)(in.len & 0xff)
                    << 56; /* length modulo 256 on top of the 0..7 bytes left */
    for (unsigned shift = 0; pbr_cur_left(&c) > 0; shift += 8)
        last |= (uint64_t)pbr_cur_u8(&c) << shift;
    compress(v, last);

    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        round1(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
