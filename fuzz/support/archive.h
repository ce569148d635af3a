/* SPDX-License-Identifier: MIT */
/* What targets over whole archives share: inputs that are an archive or a pair of archive and payload stream, and a hash
 * over everything an entry says.
 *
 *   offset size
 *        0    4  length of the archive, little endian; more than there is: everything
 *        4    1  flags of enum fuzz_pair_flag
 *        5    1  options of the target
 *        6    2  reserved
 *        8       archive, then payload stream
 *
 * Thread: plain values. */
#ifndef PBR_FUZZ_ARCHIVE_H
#define PBR_FUZZ_ARCHIVE_H

#include "archive/read.h"
#include "archive/verify.h"
#include "fuzz.h"

enum { FUZZ_PAIR_HEAD = 8 };

enum fuzz_pair_flag {
    FUZZ_PAIR_SPLIT = 1, /* there is a payload stream, perhaps an empty one */
};

struct fuzz_pair {
    struct pbr_span archive, payload;
    bool split;
    uint8_t options;
};

/* False if the input is too short. */
bool fuzz_pair_get(struct pbr_span in, struct fuzz_pair *ret);

/* Two streams over a pair and the reader on them; `step` as in struct pbr_stream_mem. */
struct fuzz_reader {
    struct pbr_stream_mem archive_mem, payload_mem;
    struct pbr_stream archive, payload;
    struct pbr_reader *reader;
};
/* The result of pbr_reader_open_opts; fuzz_reader_close in any case. */
int fuzz_reader_open(struct fuzz_reader *r, const struct fuzz_pair *pair, size_t step,
                     const struct pbr_reader_opts *opts, struct pbr_diag *diag);
void fuzz_reader_close(struct fuzz_reader *r);

/* The result of pbr_verify on the pair. */
int fuzz_pair_verify(const struct fuzz_pair *pair, const struct pbr_verify_opts *opts, struct pbr_verify_result *ret,
                     struct pbr_diag *diag);

/* Both leave positions out: the same for the same entry in another archive. */
void fuzz_hash_meta(uint64_t *h, const struct pbr_pxar_meta *m);
void fuzz_hash_entry(uint64_t *h, const struct pbr_pxar_entry *e);

#endif
