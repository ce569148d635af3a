/* SPDX-License-Identifier: MIT */
/* JSON texts: the same input as a manifest, as a key file and as any JSON.
 *
 * Reaches: pbr_json_parse, _canonical, _pretty, _quote (json.c), pbr_manifest_* (manifest.c), pbr_keyfile_parse, _emit
 * (keyfile.c).
 * Asserts: text that was emitted is parsed and emitted to the same text; the canonical form is its own canonical form and
 * does not depend on the spelling; a signature that was set is accepted, and not under another key. */
#include "fuzz.h"

#include "format/keyfile.h"
#include "format/manifest.h"

enum { OUT_MAX = 16 << 20 };

static void check_json(struct pbr_span in)
{
    json_t *v = NULL, *again = NULL;
    struct pbr_diag diag = { 0 };
    struct pbr_buf canonical, second, pretty;
    const int rc = pbr_json_parse(in, &v, &diag);
    MUST(rc == (int)diag.code);
    if (rc < 0)
        return;
    pbr_buf_init(&canonical, &fuzz_env, OUT_MAX);
    pbr_buf_init(&second, &fuzz_env, OUT_MAX);
    pbr_buf_init(&pretty, &fuzz_env, OUT_MAX);
    if (pbr_json_canonical(v, &canonical, NULL) == PBR_OK) {
        MUST(pbr_json_pretty(v, &pretty) == PBR_OK);
        MUST(pbr_json_parse(pbr_buf_span(&pretty), &again, NULL) == PBR_OK);
        MUST(json_equal(v, again));
        MUST(pbr_json_canonical(again, &second, NULL) == PBR_OK);
        MUST(pbr_span_eq(pbr_buf_span(&canonical), pbr_buf_span(&second)));
        json_decref(again);
        pbr_buf_clear(&second);
        if (json_is_object(v) || json_is_array(v)) {
            MUST(pbr_json_parse(pbr_buf_span(&canonical), &again, NULL) == PBR_OK);
            MUST(pbr_json_canonical(again, &second, NULL) == PBR_OK);
            MUST(pbr_span_eq(pbr_buf_span(&canonical), pbr_buf_span(&second)));
            json_decref(again);
        }
    }
    json_decref(v);
    pbr_buf_release(&canonical);
    pbr_buf_release(&second);
    pbr_buf_release(&pretty);
}

static void check_signature(struct pbr_manifest *m)
{
    static const uint8_t key[32] = { 1 }, other[32] = { 2 }, fingerprint[32] = { 3 };
    if (pbr_manifest_sign(m, key, fingerprint) < 0)
        return; /* null or floats in the unprotected part */
    MUST(pbr_manifest_verify(m, key, fingerprint, NULL) == PBR_OK);
    MUST(pbr_manifest_verify(m, other, fingerprint, NULL) < 0);
    MUST(pbr_manifest_check_fingerprint(m, fingerprint, NULL) == PBR_OK);
    MUST(pbr_manifest_check_fingerprint(m, key, NULL) < 0);
}

static void check_manifest(struct pbr_span in)
{
    struct pbr_manifest m, again;
    struct pbr_diag diag = { 0 };
    struct pbr_buf text, second;
    const int rc = pbr_manifest_parse(&m, &fuzz_env, in, &diag);
    MUST(rc == (int)diag.code);
    if (rc < 0)
        return;
    pbr_buf_init(&text, &fuzz_env, OUT_MAX);
    pbr_buf_init(&second, &fuzz_env, OUT_MAX);
    for (size_t i = 0; i < m.file_nr; i++)
        MUST(pbr_manifest_find(&m, m.files[i].name));
    if (pbr_manifest_emit(&m, &text) == PBR_OK) {
        MUST(pbr_manifest_parse(&again, &fuzz_env, pbr_buf_span(&text), NULL) == PBR_OK);
        MUST(pbr_manifest_emit(&again, &second) == PBR_OK);
        MUST(pbr_span_eq(pbr_buf_span(&text), pbr_buf_span(&second)));
        pbr_manifest_release(&again);
    }
    check_signature(&m);
    pbr_manifest_release(&m);
    pbr_buf_release(&text);
    pbr_buf_release(&second);
}

static void check_keyfile(struct pbr_span in)
{
    struct pbr_keyfile k, again;
    struct pbr_diag diag = { 0 };
    struct pbr_buf text, second;
    uint8_t key[PBR_KEY_LEN];
    const int rc = pbr_keyfile_parse(&k, &fuzz_env, in, &diag);
    MUST(rc == (int)diag.code);
    if (rc < 0)
        return;
    pbr_buf_init(&text, &fuzz_env, OUT_MAX);
    pbr_buf_init(&second, &fuzz_env, OUT_MAX);
    if (pbr_keyfile_emit(&k, &text) == PBR_OK) {
        MUST(pbr_keyfile_parse(&again, &fuzz_env, pbr_buf_span(&text), NULL) == PBR_OK);
        MUST(pbr_keyfile_emit(&again, &second) == PBR_OK);
        MUST(pbr_span_eq(pbr_buf_span(&text), pbr_buf_span(&second)));
        pbr_keyfile_release(&again);
    }
    if (k.kdf == PBR_KDF_NONE) /* others take time and memory as the file says */
        (void)!pbr_keyfile_unlock(&k, NULL, key, NULL);
    pbr_keyfile_release(&k);
    pbr_buf_release(&text);
    pbr_buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    json_object_seed(1);
    check_json(pbr_span(data, len));
    check_manifest(pbr_span(data, len));
    check_keyfile(pbr_span(data, len));
    return 0;
}
