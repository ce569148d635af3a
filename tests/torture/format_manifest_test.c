/* SPDX-License-Identifier: MIT */
/* covers: MAN-021 MAN-024 MAN-048 */
/* jansson's memory does not come from the env, so it gets a failing allocator of its own here. */
#include "format/keyfile.h"
#include "format/manifest.h"
#include "vector.h"

static struct pbr_fault json_fault = { .nth = -1 };
static long json_live;

static void *json_malloc(size_t size)
{
    if (pbr_fault_step(&json_fault))
        return NULL;
    void *p = malloc(size);
    json_live += p != NULL;
    return p;
}

static void json_free(void *p)
{
    json_live -= p != NULL;
    free(p);
}

/* jansson's lexer reports a failed allocation as a syntax error, which cannot be told from a true
 * one. */
static void check_failed(int rc, bool of_json)
{
    check(rc == PBR_E_NOMEM || (of_json && rc == PBR_E_FORMAT));
}

static int whole_life(const struct pbr_env *env, struct pbr_span text)
{
    const uint8_t key[32] = { 1 };
    struct pbr_manifest m = { 0 };
    struct pbr_buf out;
    pbr_buf_init(&out, env, 1 << 20);
    int rc = pbr_manifest_parse(&m, env, text, NULL);
    if (rc == PBR_OK)
        rc = pbr_manifest_add(&m, "new.blob", PBR_CRYPT_NONE, 1, key);
    if (rc == PBR_OK)
        rc = pbr_manifest_sign(&m, key, key);
    if (rc == PBR_OK)
        rc = pbr_manifest_verify(&m, key, key, NULL);
    if (rc == PBR_OK)
        rc = pbr_manifest_emit(&m, &out);
    if (rc < 0)
        assert_int_equal(out.len, 0);
    pbr_manifest_release(&m);
    pbr_buf_release(&out);
    return rc;
}

static void test_every_failing_allocation_is_reported_and_nothing_leaks(void **state)
{
    (void)state;
    json_t *top = vector_load("manifest");
    char *text = strdup(vector_text(vector_member(top, "signed"), "text_after_server_additions"));
    json_decref(top);
    assert_non_null(text);
    json_set_alloc_funcs(json_malloc, json_free);
    for (int of_json = 0; of_json < 2; of_json++)
        for (long nth = 0;; nth++) {
            struct test_world w;
            const struct pbr_env env = test_env(&w);
            struct pbr_fault *fault = of_json ? &json_fault : &w.alloc_fault;
            *fault = (struct pbr_fault){ .nth = nth, .sticky = nth % 2 };
            json_live = 0;
            const int rc = whole_life(&env, pbr_span_str(text));
            const bool hit = fault->hit;
            json_fault = (struct pbr_fault){ .nth = -1 };
            check_int(w.live_allocs, 0);
            check_int(json_live, 0);
            if (!hit) {
                check_int(rc, PBR_OK);
                check(nth > 4);
                break;
            }
            check_failed(rc, of_json);
        }
    json_set_alloc_funcs(malloc, free);
    free(text);
}

static int key_file(const struct pbr_env *env, struct pbr_span text)
{
    const struct pbr_keyfile_opts opts = {
        .kdf = PBR_KDF_PBKDF2, .password = pbr_span_str("correct horse"), .hint = "hint", .iter = 2
    };
    struct pbr_keyfile k = { 0 }, made = { 0 };
    struct pbr_buf out;
    uint8_t key[32] = { 0 };
    pbr_buf_init(&out, env, 1 << 20);
    int rc = pbr_keyfile_parse(&k, env, text, NULL);
    if (rc == PBR_OK)
        rc = pbr_keyfile_unlock(&k, &opts.password, key, NULL);
    if (rc == PBR_OK)
        rc = pbr_keyfile_make(&made, env, key, &opts, NULL);
    if (rc == PBR_OK)
        rc = pbr_keyfile_emit(&made, &out);
    pbr_keyfile_release(&k);
    pbr_keyfile_release(&made);
    pbr_buf_release(&out);
    return rc;
}

static void test_key_files_survive_every_failing_allocation(void **state)
{
    (void)state;
    json_t *top = vector_load("crypto");
    char *text = strdup(vector_text(json_array_get(json_object_get(top, "keyfiles"), 3), "text"));
    json_decref(top);
    assert_non_null(text);
    json_set_alloc_funcs(json_malloc, json_free);
    for (int of_json = 0; of_json < 2; of_json++)
        for (long nth = 0;; nth++) {
            struct test_world w;
            const struct pbr_env env = test_env(&w);
            struct pbr_fault *fault = of_json ? &json_fault : &w.alloc_fault;
            *fault = (struct pbr_fault){ .nth = nth, .sticky = nth % 2 };
            json_live = 0;
            const int rc = key_file(&env, pbr_span_str(text));
            const bool hit = fault->hit;
            json_fault = (struct pbr_fault){ .nth = -1 };
            check_int(w.live_allocs, 0);
            check_int(json_live, 0);
            if (!hit) {
                check_int(rc, PBR_OK);
                break;
            }
            check_failed(rc, of_json);
        }
    json_set_alloc_funcs(malloc, free);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failing_allocation_is_reported_and_nothing_leaks),
        cmocka_unit_test(test_key_files_survive_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
