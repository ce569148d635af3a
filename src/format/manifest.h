/* SPDX-License-Identifier: MIT */
/* The manifest (index.json.blob): members, text form, canonical form, signature input [MAN]. JSON itself is jansson's.
 * Thread: an object is not shared. */
#ifndef PBR_FORMAT_MANIFEST_H
#define PBR_FORMAT_MANIFEST_H

#include <jansson.h>

#include "base/env.h"
#include "format/name.h"
#include "prim/prim.h"

enum pbr_crypt_mode { PBR_CRYPT_NONE, PBR_CRYPT_ENCRYPT, PBR_CRYPT_SIGN_ONLY };
const char *pbr_crypt_mode_name(enum pbr_crypt_mode mode); /* "none", "encrypt", "sign-only" */
PBR_MUST_USE bool pbr_crypt_mode_parse(struct pbr_span text, enum pbr_crypt_mode *ret);

struct pbr_manifest_file {
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    enum pbr_crypt_mode crypt_mode;
    uint64_t size;
    uint8_t csum[PBR_DIGEST_LEN];
};

struct pbr_manifest {
    const struct pbr_env *env;
    struct pbr_snapshot snapshot;
    struct pbr_manifest_file *files;
    size_t file_nr, file_cap;
    json_t *unprotected;      /* object, never NULL after init/parse */
    bool has_signature;
    char signature[65];       /* as stored; compared as text (MAN-048) */
};

void pbr_manifest_release(struct pbr_manifest *m);
PBR_MUST_USE int pbr_manifest_init(struct pbr_manifest *m, const struct pbr_env *env, const struct pbr_snapshot *s);
PBR_MUST_USE int pbr_manifest_add(struct pbr_manifest *m, const char *name, enum pbr_crypt_mode mode, uint64_t size,
                                  const uint8_t csum[PBR_DIGEST_LEN]);
/* First entry with this name (MAN-072), or NULL. */
const struct pbr_manifest_file *pbr_manifest_find(const struct pbr_manifest *m, const char *name);
/* JSON text -> members (MAN-010 .. MAN-023). */
PBR_MUST_USE int pbr_manifest_parse(struct pbr_manifest *m, const struct pbr_env *env, struct pbr_span text,
                                    struct pbr_diag *diag);
/* Pretty text as the original writes it (MAN-024), appended to out. */
PBR_MUST_USE int pbr_manifest_emit(const struct pbr_manifest *m, struct pbr_buf *out);
/* Canonical JSON of any value (MAN-040 .. MAN-043); FORMAT for null and floats. */
PBR_MUST_USE int pbr_json_canonical(const json_t *value, struct pbr_buf *out, struct pbr_diag *diag);
/* Pretty JSON, two spaces, members sorted (MAN-024). */
PBR_MUST_USE int pbr_json_pretty(const json_t *value, struct pbr_buf *out);
/* Gives back a text of json_dumps, wiped; NULL is fine. Not free(): a program may have set other functions. */
void pbr_json_text_free(char *text);
/* Text as a JSON string in quotes (MAN-043), appended to out. The text is UTF-8. */
PBR_MUST_USE int pbr_json_quote(struct pbr_span text, struct pbr_buf *out);
/* Parses untrusted JSON with bounded depth (PBR_JSON_DEPTH_MAX); *ret is owned by the caller (json_decref). */
PBR_MUST_USE int pbr_json_parse(struct pbr_span text, json_t **ret, struct pbr_diag *diag);
/* Signed text (MAN-044), its HMAC (MAN-045), setting signature + fingerprint (MAN-046), verification (MAN-048). */
PBR_MUST_USE int pbr_manifest_sign(struct pbr_manifest *m, const uint8_t id_key[32], const uint8_t fingerprint[32]);
PBR_MUST_USE int pbr_manifest_verify(const struct pbr_manifest *m, const uint8_t id_key[32],
                                     const uint8_t fingerprint[32], struct pbr_diag *diag);
/* `key-fingerprint` of the unprotected part: 1 and *ret, or 0 if there is none; FORMAT if it is no fingerprint. */
PBR_MUST_USE int pbr_manifest_fingerprint(const struct pbr_manifest *m, uint8_t ret[32], struct pbr_diag *diag);
/* The check before use (MAN-052): CRYPTO if the manifest names a key and `fingerprint` is NULL or another one. */
PBR_MUST_USE int pbr_manifest_check_fingerprint(const struct pbr_manifest *m, const uint8_t *fingerprint,
                                                struct pbr_diag *diag);

enum { PBR_FINGERPRINT_TEXT = 95, PBR_FINGERPRINT_SHORT = 23 };
/* 32 bytes -> "aa:bb:..." (95 characters and NUL, CRY-010); the first 8 bytes only (CRY-011); and back (CRY-012). */
void pbr_fingerprint_format(const uint8_t fp[32], char out[96]);
void pbr_fingerprint_format_short(const uint8_t fp[32], char out[24]);
PBR_MUST_USE bool pbr_fingerprint_parse(struct pbr_span text, uint8_t ret[32]);

#endif
