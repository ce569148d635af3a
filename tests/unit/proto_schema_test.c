/* SPDX-License-Identifier: MIT */
/* covers: BKP-014 BKP-015 BKP-016 BKP-031 BKP-034 BKP-061 BKP-062 BKP-063 BKP-064 BKP-065 BKP-110
 * BKP-130 API-060 API-144 */
/* covers: RDR-002 */
/* Calls and their parameters: which route a request has, and each text with which parameters are
 * refused. */
#include "proto/api.h"
#include "test.h"

static struct test_world world;

static struct pbr_span S(const char *text) {
    return pbr_span_str(text);
}

#define PF "parameter verification failed"
#define HEX "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"

static const struct pbr_route *
route(enum pbr_api api, const char *method, const char *path)
{
    struct pbr_path p;
    check_int(pbr_path_parse(&p, S(path), NULL), PBR_OK);
    return pbr_route_find(api, method, &p, 0);
}

static void test_requests_find_their_routes(void **state)
{
    static const struct {
        enum pbr_api api;
        const char *method, *path;
        int call; /* -1: none */
        enum pbr_body_kind body;
    } cases[] = {
        { PBR_API_BACKUP, "GET", "/previous_backup_time", PBR_CALL_PREVIOUS_TIME, PBR_BODY_PLAIN },
        { PBR_API_BACKUP, "GET", "//previous/", PBR_CALL_PREVIOUS, PBR_BODY_STREAM },
        { PBR_API_BACKUP, "POST", "/dynamic_index", PBR_CALL_DYNAMIC_CREATE, PBR_BODY_PLAIN },
        { PBR_API_BACKUP, "PUT", "/dynamic_index", PBR_CALL_DYNAMIC_APPEND, PBR_BODY_PLAIN },
        { PBR_API_BACKUP, "POST", "/fixed_chunk", PBR_CALL_FIXED_CHUNK, PBR_BODY_STREAM },
        { PBR_API_BACKUP, "POST", "/blob", PBR_CALL_BLOB, PBR_BODY_STREAM },
        { PBR_API_BACKUP, "POST", "/speedtest", PBR_CALL_SPEEDTEST, PBR_BODY_STREAM },
        { PBR_API_BACKUP, "GET", "/", PBR_CALL_INDEX, PBR_BODY_PLAIN },
        { PBR_API_BACKUP, "GET", "/finish", -1, 0 },
        { PBR_API_BACKUP, "GET", "/download", -1, 0 },
        { PBR_API_BACKUP, "POST", "/finish/x", -1, 0 },
        { PBR_API_READER, "GET", "/chunk", PBR_CALL_CHUNK, PBR_BODY_STREAM },
        { PBR_API_READER, "GET", "/download", PBR_CALL_DOWNLOAD, PBR_BODY_STREAM },
        { PBR_API_READER, "POST", "/finish", -1, 0 },
        { PBR_API_REST, "POST", "/access/ticket", PBR_CALL_TICKET, PBR_BODY_PLAIN },
        { PBR_API_REST, "GET", "/admin/datastore/any/snapshots", PBR_CALL_SNAPSHOTS,
          PBR_BODY_PLAIN },
        { PBR_API_REST, "DELETE", "/admin/datastore/any/snapshots", PBR_CALL_SNAPSHOT_DELETE,
          PBR_BODY_PLAIN },
        { PBR_API_REST, "GET", "/nodes/localhost/tasks/UPID%3Ax/log", PBR_CALL_TASK_LOG,
          PBR_BODY_PLAIN },
        { PBR_API_REST, "GET", "/admin/datastore/any/catalog", -1, 0 },
        { PBR_API_REST, "GET", "/admin", -1, 0 },
        { PBR_API_REST, "GET", "/", -1, 0 },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct pbr_route *r = route(cases[i].api, cases[i].method, cases[i].path);
        if (cases[i].call < 0) {
            check(r == NULL);
            continue;
        }
        assert_non_null(r);
        check_int(r->call, cases[i].call);
        check_int(r->body, cases[i].body);
    }
}

struct input {
    const char *json; /* NULL: query and body */
    const char *query, *body;
    const char *text; /* NULL: accepted */
};

static void check_inputs(const struct pbr_schema *schema, const struct input *in, size_t nr)
{
    struct pbr_env env = test_env(&world);

    for (size_t i = 0; i < nr; i++) {
        struct pbr_params p;
        struct pbr_buf text;
        int rc;

        pbr_params_init(&p, &env, schema);
        pbr_buf_init(&text, &env, 10000);
        if (in[i].json)
            rc = pbr_params_from_json(&p, S(in[i].json), &text);
        else
            rc = pbr_params_from_form(&p, S(in[i].query), S(in[i].body ? in[i].body : ""), &text);
        check_int(rc, in[i].text ? PBR_E_ARG : PBR_OK);
        check_str(pbr_buf_cstr(&text), in[i].text ? in[i].text : "");
        pbr_buf_release(&text);
        pbr_params_release(&p);
    }
    check_int(world.live_allocs, 0);
}

#define UP "backup-id=a&backup-time=1&backup-type=host&store=abc"
#define MISSING "parameter is missing and it is not optional."

static void test_upgrade_parameters_are_refused_with_the_texts_of_the_original(void **state)
{
    static const struct input in[] = {
        { .query = UP },
        { .query = UP "&debug=TRUE&benchmark=0&no-cache=oN&ns=&_dc=17" },
        { .query = UP "&ns=a%2Fb" },
        { .query = UP, .body = "debug=1" },
        { .query = UP "&debug=x", .text = PF " - 'debug': Unable to parse boolean option." },
        { .query = UP "&x=1", .text = PF " - 'x': schema does not allow additional properties." },
        { .query = UP,
          .body = "_dc=1",
          .text = PF " - '_dc': schema does not allow additional properties." },
        { .query = UP "&store=abc", .text = PF " - 'store': duplicate parameter." },
        { .query = "",
          .text = PF ":\n- 'backup-id': " MISSING "\n- 'backup-time': " MISSING
                     "\n- 'backup-type': " MISSING "\n- 'store': " MISSING },
        { .query = "backup-id=a&backup-time=0&backup-type=Vm&store=abc",
          .text = PF ":\n- 'backup-time': value must have a minimum value of 1 (got 0)"
                     "\n- 'backup-type': value 'Vm' is not defined in the enumeration." },
        { .query = UP "&ns=a%2F%2Fb",
          .text = PF " - 'ns': value does not match the regex pattern" },
        { .query = UP "&ns=a/b/c/d/e/f/g/h" }, /* eight pass the schema */
        { .query = UP "&ns=a/b/c/d/e/f/g/h/i",
          .text = PF " - 'ns': value does not match the regex pattern" },
    };
    (void)state;
    check_inputs(route(PBR_API_REST, "GET", "/backup")->schema, in, sizeof(in) / sizeof(in[0]));
}

static void test_append_parameters_are_refused_with_the_texts_of_the_original(void **state)
{
    static const struct input in[] = {
        { .json = "{\"wid\":1,\"digest-list\":[\"" HEX "\"],\"offset-list\":[0]}" },
        { .query = "wid=256&digest-list=" HEX "&digest-list=" HEX "&offset-list=0&offset-list=9" },
        { .json = "{\"wid\":1,\"digest-list\":[],\"offset-list\":[]}" },
        { .json = "",
          .text = PF ":\n- 'digest-list': property is missing and it is not optional"
                     "\n- 'offset-list': property is missing and it is not optional"
                     "\n- 'wid': property is missing and it is not optional" },
        { .json = "{\"wid\":\"1\",\"digest-list\":[],\"offset-list\":[]}",
          .text = PF " - 'wid': Expected integer value." },
        { .json = "{\"wid\":1,\"digest-list\":{},\"offset-list\":[]}",
          .text = PF " - 'digest-list': Expected array - got object." },
        { .json = "{\"wid\":1,\"digest-list\":\"x\",\"offset-list\":[]}",
          .text = PF " - 'digest-list': Expected array - got scalar value." },
        { .json = "{\"wid\":1,\"digest-list\":[\"" HEX "\",7,\"A\"],\"offset-list\":[0,null,-1]}",
          .text = PF ":\n- 'digest-list/[1]': Expected string value."
                     "\n- 'digest-list/[2]': value does not match the regex pattern"
                     "\n- 'offset-list/[1]': Expected integer value."
                     "\n- 'offset-list/[2]': value must have a minimum value of 0 (got -1)" },
        { .json = "{\"wid\":1,\"digest-list\":[],\"offset-list\":[],\"y\":{}}",
          .text = PF " - 'y': schema does not allow additional properties" },
        { .json = "[1]", .text = "Expected object - got array." },
        { .json = "{\"wid\":", .text = "EOF while parsing a value at line 1 column 7" },
        { .query = "wid=257&digest-list=&offset-list=%2D1",
          .text = PF ":\n- 'wid': value must have a maximum value of 256 (got 257)"
                     "\n- 'digest-list': value does not match the regex pattern"
                     "\n- 'offset-list': value must have a minimum value of 0 (got -1)" },
    };
    (void)state;
    check_inputs(route(PBR_API_BACKUP, "PUT", "/fixed_index")->schema, in,
                 sizeof(in) / sizeof(in[0]));
}

static void test_integers_are_parsed_as_the_original_does(void **state)
{
#define C(size) "digest=" HEX "&encoded-size=13&wid=1&size=" size
    static const struct input in[] = {
        { .query = C("1") },
        { .query = C("%2B16777216") },
        { .query = C("16777217"),
          .text = PF " - 'size': value must have a maximum value of 16777216 (got 16777217)" },
        { .query = C(""), .text = PF " - 'size': cannot parse integer from empty string" },
        { .query = C("1x"), .text = PF " - 'size': invalid digit found in string" },
        { .query = C("-"), .text = PF " - 'size': invalid digit found in string" },
        { .query = C("99999999999999999999"),
          .text = PF " - 'size': number too large to fit in target type" },
        { .query = C("-99999999999999999999"),
          .text = PF " - 'size': number too small to fit in target type" },
    };
    (void)state;
    check_inputs(route(PBR_API_BACKUP, "POST", "/dynamic_chunk")->schema, in,
                 sizeof(in) / sizeof(in[0]));
}

static void test_accepted_values_can_be_read(void **state)
{
    struct pbr_env env = test_env(&world);
    struct pbr_params p;
    struct pbr_buf text;
    (void)state;

    pbr_buf_init(&text, &env, 1000);
    pbr_params_init(&p, &env, route(PBR_API_BACKUP, "PUT", "/dynamic_index")->schema);
    check_int(
        pbr_params_from_json(
            &p, S("{\"offset-list\":[0,11,16],\"wid\":3,\"digest-list\":[\"" HEX "\"]}"), &text),
        PBR_OK);
    check_int(pbr_params_int(&p, "wid", 0), 3);
    check_int(pbr_params_get(&p, "offset-list")->nr, 3);
    check_int(pbr_params_get(&p, "offset-list")->nums[2], 16);
    check_span(pbr_params_get(&p, "digest-list")->strs[0], S(HEX));
    check(pbr_params_get(&p, "nothing") == NULL);
    json_t *j = pbr_params_to_json(&p);
    check_int(json_integer_value(json_array_get(json_object_get(j, "offset-list"), 1)), 11);
    json_decref(j);
    pbr_params_release(&p);

    pbr_params_init(&p, &env, route(PBR_API_REST, "POST", "/access/ticket")->schema);
    check_int(pbr_params_from_json(&p, S("{\"username\":\"root@pam\",\"http-only\":true}"), &text),
              PBR_OK);
    check(pbr_params_flag(&p, "http-only", false));
    check(!pbr_params_get(&p, "password")->set);
    check_int(pbr_params_str(&p, "password").len, 0);
    pbr_params_release(&p);
    pbr_buf_release(&text);
    check_int(world.live_allocs, 0);
}

static void test_every_failing_allocation_is_survived(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct pbr_env env = test_env(&world);
        struct pbr_params p;
        struct pbr_buf text;
        world.alloc_fault.nth = nth;
        pbr_params_init(&p, &env, route(PBR_API_BACKUP, "PUT", "/dynamic_index")->schema);
        pbr_buf_init(&text, &env, 1000);
        const int rc =
            pbr_params_from_form(&p, S("wid=0&digest-list=" HEX "&offset-list=1"), S("x=1"), &text);
        const bool hit = world.alloc_fault.hit;
        check_int(rc, hit ? PBR_E_NOMEM : PBR_E_ARG);
        pbr_params_release(&p);
        pbr_buf_release(&text);
        check_int(world.live_allocs, 0);
        if (!hit)
            break;
    }
}

static void test_content_types_and_upgrade_words_are_compared_exactly(void **state)
{
    static const struct {
        const char *type;
        int form; /* -1: refused */
    } cases[] = { { NULL, PBR_BODY_FORM },
                  { "application/json", PBR_BODY_JSON },
                  { "application/json; charset=UTF-8", PBR_BODY_JSON },
                  { "application/x-www-form-urlencoded;x", PBR_BODY_FORM },
                  { "text/plain", -1 },
                  { "application/jsonx", -1 },
                  { "", -1 } };
    enum pbr_body_form form;
    struct pbr_diag d = { 0 };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].form < 0) {
            check_fail(pbr_body_form(cases[i].type, &form, diag), PBR_E_ARG, "BKP-063");
            continue;
        }
        check_int(pbr_body_form(cases[i].type, &form, NULL), PBR_OK);
        check_int(form, cases[i].form);
    }
    check_int(pbr_body_form("text/plain; a", &form, &d), PBR_E_ARG);
    check_str(d.text, "unsupported content type Ok(\"text/plain; a\")");

    check_int(pbr_upgrade_check(PBR_API_BACKUP, "proxmox-backup-protocol-v1", NULL), PBR_OK);
    check_int(pbr_upgrade_check(PBR_API_READER, "proxmox-backup-reader-protocol-v1", NULL), PBR_OK);
    check_fail(pbr_upgrade_check(PBR_API_BACKUP, NULL, diag), PBR_E_ARG, "BKP-034");
    check_fail(pbr_upgrade_check(PBR_API_BACKUP, "Proxmox-backup-protocol-v1", diag), PBR_E_ARG,
               "BKP-014");
    check_fail(pbr_upgrade_check(PBR_API_BACKUP, "proxmox-backup-reader-protocol-v1", diag),
               PBR_E_ARG, "BKP-014");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_find_their_routes),
        cmocka_unit_test(test_upgrade_parameters_are_refused_with_the_texts_of_the_original),
        cmocka_unit_test(test_append_parameters_are_refused_with_the_texts_of_the_original),
        cmocka_unit_test(test_integers_are_parsed_as_the_original_does),
        cmocka_unit_test(test_accepted_values_can_be_read),
        cmocka_unit_test(test_every_failing_allocation_is_survived),
        cmocka_unit_test(test_content_types_and_upgrade_words_are_compared_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
