/* SPDX-License-Identifier: MIT */
/* Key files: one encryption key, in clear or locked with a passphrase [CRY-020 .. CRY-037].
 *
 *   {"kdf":null|{"Scrypt":{"n":N,"r":R,"p":P,"salt":B64}}|{"PBKDF2":{"iter":I,"salt":B64}},
 *    "created":TIME,"modified":TIME,"data":B64,"fingerprint":FP,"hint":TEXT}       (the last two
 * only if set) data in clear: key (32); locked: IV (16), tag (16), AES-256-GCM of the key (32)
 *
 * Thread: an object is not shared. */
#ifndef PBR_FORMAT_KEYFILE_H
#define PBR_FORMAT_KEYFILE_H

#include "base/env.h"
#include "format/name.h"

enum pbr_kdf { PBR_KDF_NONE, PBR_KDF_SCRYPT, PBR_KDF_PBKDF2 };
const char *
pbr_kdf_name(enum pbr_kdf kdf); /* "none", "scrypt", "pbkdf2": the words of the command line */
PBR_MUST_USE bool pbr_kdf_parse(struct pbr_span text, enum pbr_kdf *ret);

enum { PBR_KEY_LEN = 32, PBR_PASSPHRASE_MIN = 5 };

struct pbr_keyfile {
    const struct pbr_env *env;
    enum pbr_kdf kdf;
    uint64_t n, r, p; /* Scrypt */
    uint64_t iter;    /* PBKDF2 */
    struct pbr_secret salt;
    struct pbr_zone_time created, modified;
    struct pbr_secret data; /* the key, or IV, tag and ciphertext */
    bool has_fingerprint;
    uint8_t fingerprint[32];
    char *hint; /* NULL: none */
};

void pbr_keyfile_release(struct pbr_keyfile *k);
/* Key file as JSON text. Nothing about the key itself is checked: that is pbr_keyfile_unlock. */
PBR_MUST_USE int pbr_keyfile_parse(struct pbr_keyfile *k, const struct pbr_env *env,
                                   struct pbr_span text, struct pbr_diag *diag);
/* Compact text without line end, as the original writes it (CRY-020), appended to out. ARG for a
 * year above 9999. */
PBR_MUST_USE int pbr_keyfile_emit(const struct pbr_keyfile *k, struct pbr_buf *out);
/* The key. `password` only counts with a kdf, and may be NULL without one. Wrong or too short
 * passphrase: CRYPTO; a key that does not have 32 bytes: FORMAT; another fingerprint than the file
 * says: INTEGRITY (CRY-037). */
PBR_MUST_USE int pbr_keyfile_unlock(const struct pbr_keyfile *k, const struct pbr_span *password,
                                    uint8_t ret_key[PBR_KEY_LEN], struct pbr_diag *diag);

struct pbr_keyfile_opts {
    enum pbr_kdf kdf;
    struct pbr_span password; /* with a kdf: at least PBR_PASSPHRASE_MIN bytes, else ARG */
    struct pbr_zone_time created, modified;
    const char *hint; /* NULL: none; UTF-8 */
    uint64_t n, iter; /* 0: the original's default (CRY-032, CRY-033) */
};
/* A new file for `key`, with salt and IV from the env's random, and with fingerprint. */
PBR_MUST_USE int pbr_keyfile_make(struct pbr_keyfile *k, const struct pbr_env *env,
                                  const uint8_t key[PBR_KEY_LEN],
                                  const struct pbr_keyfile_opts *opts, struct pbr_diag *diag);

/* What follows from a key: id_key and fingerprint (CRY-002, CRY-006). */
PBR_MUST_USE int pbr_key_derive(const uint8_t key[PBR_KEY_LEN], uint8_t ret_id_key[32],
                                uint8_t ret_fingerprint[32]);

#endif
