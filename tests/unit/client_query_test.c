/* SPDX-License-Identifier: MIT */
/* covers: API-005 */
#include "client/api.h"

#include "file_env.h"

/* The query of a JSON text, behind "x?"; the result of the call. */
static int emit(const char *json, char out[512], size_t max)
{
    struct pbr_buf b;
    json_t *params = json_loads(json, 0, NULL);
    assert_non_null(params);
    pbr_buf_init(&b, &env, max);
    check_int(pbr_buf_append(&b, pbr_span_str("x?")), PBR_OK);
    const int rc = pbr_query_emit(params, &b);
    snprintf(out, 512, "%.*s", (int)b.len, (const char *)b.ptr);
    pbr_buf_release(&b);
    json_decref(params);
    return rc;
}

static void test_parameters_are_sorted_and_encoded(void **state)
{
    static const struct {
        const char *json, *query;
    } rows[] = {
        { "{}", "x?" },
        { "{\"b\":\"1\",\"a\":\"2\",\"aa\":\"3\"}", "x?a=2&aa=3&b=1" },
        { "{\"ns\":\"a/b c:d\"}", "x?ns=a%2Fb+c%3Ad" },
        { "{\"k\":\"*-._~\"}", "x?k=*-._%7E" },
        { "{\"k\":\"\\u00e4+&=%\"}", "x?k=%C3%A4%2B%26%3D%25" },
        { "{\"k\":true,\"l\":false}", "x?k=true&l=false" },
        { "{\"k\":-9223372036854775808,\"l\":0}", "x?k=-9223372036854775808&l=0" },
        { "{\"k\":\"\"}", "x?k=" },
        { "{\"a b\":\"1\"}", "x?a+b=1" },
        { "{\"k\":[\"b\",\"a\",1,true],\"l\":2}", "x?k=b&k=a&k=1&k=true&l=2" },
        { "{\"k\":[],\"l\":2}", "x?l=2" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[512];
        check_int(emit(rows[i].json, out, 512), PBR_OK);
        check_str(out, rows[i].query);
    }
}

static void test_values_without_a_form_are_refused(void **state)
{
    static const char *const rows[] = { "{\"a\":1,\"k\":null}", "{\"k\":{}}", "{\"k\":1.5}", "{\"k\":[[]]}" };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[512];
        check_int(emit(rows[i], out, 512), PBR_E_ARG);
        check_str(out, "x?"); /* all or nothing */
    }
}

static void test_too_long_or_too_many_is_a_limit(void **state)
{
    (void)state;
    char out[512], many[2000] = "{";
    check_int(emit("{\"k\":\"0123456789\"}", out, 14), PBR_OK);
    check_int(emit("{\"k\":\"0123456789\"}", out, 13), PBR_E_LIMIT);
    check_str(out, "x?");
    for (int i = 0; i < 65; i++)
        snprintf(many + strlen(many), 32, "%s\"k%d\":1", i ? "," : "", i);
    strncat(many, "}", 2);
    check_int(emit(many, out, 512), PBR_E_LIMIT);
}

static void test_failing_allocations_are_reported(void **state)
{
    (void)state;
    struct pbr_buf b;
    json_t *params = json_pack("{s:s, s:i}", "a", "some text", "b", 7);
    for (long nth = 0;; nth++) {
        world.alloc_fault = (struct pbr_fault){ .nth = nth };
        pbr_buf_init(&b, &env, 512);
        const int rc = pbr_query_emit(params, &b);
        const bool hit = world.alloc_fault.hit;
        check_int(rc, hit ? PBR_E_NOMEM : PBR_OK);
        check_int(b.len == 0, hit);
        pbr_buf_release(&b);
        check_int(world.live_allocs, 0);
        if (!hit)
            break;
    }
    json_decref(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parameters_are_sorted_and_encoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_without_a_form_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_long_or_too_many_is_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_allocations_are_reported, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
