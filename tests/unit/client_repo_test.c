/* SPDX-License-Identifier: MIT */
/* covers: API-020 API-021 API-022 API-023 API-024 API-025 API-026 API-027 API-028 API-029 API-030 */
#include "test.h"

#include "client/repo.h"

struct row {
    const char *text, *auth_id, *host;
    unsigned port;
    const char *store, *canonical;
};

static void test_repositories_are_taken_apart(void **state)
{
    static const struct row rows[] = {
        /* API-029 */
        { "mystore", "root@pam", "localhost", 8007, "mystore", "mystore" },
        { "myhost:mystore", "root@pam", "myhost", 8007, "mystore", "myhost:mystore" },
        { "admin@pam@backuphost:8008:tank", "admin@pam", "backuphost", 8008, "tank", "admin@pam@backuphost:8008:tank" },
        { "user@pbs!token@host:store", "user@pbs!token", "host", 8007, "store", "user@pbs!token@host:8007:store" },
        { "192.168.1.1:1234:s", "root@pam", "192.168.1.1", 1234, "s", "192.168.1.1:1234:s" },
        { "[ff80::1]:9007:s", "root@pam", "[ff80::1]", 9007, "s", "[ff80::1]:9007:s" },
        /* edges */
        { "[::1]:s", "root@pam", "[::1]", 8007, "s", "[::1]:s" },
        { "8008:store", "root@pam", "8008", 8007, "store", "8008:store" }, /* API-025 */
        { "a:65535:s", "root@pam", "a", 65535, "s", "a:65535:s" },
        { "a:00080:s", "root@pam", "a", 80, "s", "a:80:s" },
        { "x", "root@pam", "localhost", 8007, "x", "x" }, /* API-026 */
        { "a@b!c@pbs@host:s", "a@b!c@pbs", "host", 8007, "s", "a@b!c@pbs@host:8007:s" }, /* API-020 */
        { "u@pbs@[fe80::2]:s", "u@pbs", "[fe80::2]", 8007, "s", "u@pbs@[fe80::2]:8007:s" },
        { "a-b.c-d.e:S_1.x-y", "root@pam", "a-b.c-d.e", 8007, "S_1.x-y", "a-b.c-d.e:S_1.x-y" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pbr_repo r;
        char out[4200];
        struct pbr_diag diag = { 0 };
        if (pbr_repo_parse(pbr_span_str(rows[i].text), &r, &diag) < 0)
            print_error("%s: %s\n", rows[i].text, diag.text);
        check_int(diag.code, PBR_OK);
        check_str(pbr_repo_auth_id(&r), rows[i].auth_id);
        check_str(pbr_repo_host(&r), rows[i].host);
        check_int(pbr_repo_port(&r), rows[i].port);
        check_str(r.store, rows[i].store);
        check_str(r.dir, "");
        pbr_repo_format(&r, out, sizeof(out));
        check_str(out, rows[i].canonical);
        struct pbr_repo again; /* the canonical form names the same repository */
        check_int(pbr_repo_parse(pbr_span_str(out), &again, NULL), PBR_OK);
        check_str(pbr_repo_auth_id(&again), rows[i].auth_id);
        check_int(pbr_repo_port(&again), rows[i].port);
    }
}

static void test_what_the_grammar_does_not_have_is_refused(void **state)
{
    static const char *const texts[] = {
        "", ":", ":store", "host:", "host:8007:", "host::s", "a:65536:s", "a:123456:s", "a:-1:s", "a: 1:s", "ho st:s",
        "-a:s", "a-:s", "a.-b:s", "a..b:s", ".a:s", "a.:s", "a_b:s", "host:.s", "host:-s", "host:a/b", "host:a b",
        "::1:s", "ff80::1:9007:s", "[::1:s", "::1]:s", "[]:s", "[:]:s", "[g::1]:s", "[::1]x:s", "x[::1]:s",
        "@host:s", "user@host:s", "@pam@host:s", "us er@pam@host:s", "us:er@pam@host:s", "us/er@pam@host:s",
        "u@p@host:s", "u@-pam@host:s", "u@pam!@host:s", "u@pam!-t@host:s", "u@pam@:s", "u@pam@host", "https://host:s",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct pbr_repo r = { .port = 4711 };
        if (pbr_repo_parse(pbr_span_str(texts[i]), &r, NULL) == PBR_OK)
            print_error("accepted: '%s'\n", texts[i]);
        check_fail(pbr_repo_parse(pbr_span_str(texts[i]), &r, diag), PBR_E_ARG, "API-023");
        check_int(r.port, 4711); /* untouched */
    }
    struct pbr_repo r;
    check_int(pbr_repo_parse(pbr_span("st\0re", 5), &r, NULL), PBR_E_ARG);
    check_int(pbr_repo_parse(pbr_span(NULL, 0), &r, NULL), PBR_E_ARG);
}

static void test_length_is_limited(void **state)
{
    (void)state;
    char text[300];
    struct pbr_repo r;
    memset(text, 'a', sizeof(text));
    check_int(pbr_repo_parse(pbr_span(text, 256), &r, NULL), PBR_OK);
    check_int(strlen(r.store), 256);
    check_fail(pbr_repo_parse(pbr_span(text, 257), &r, diag), PBR_E_ARG, "API-023");
    /* a user id of 64 characters at most */
    snprintf(text, sizeof(text), "%060d@pam@h:s", 0);
    check_int(pbr_repo_parse(pbr_span_str(text), &r, NULL), PBR_OK);
    check_int(strlen(r.auth_id), 64);
    snprintf(text, sizeof(text), "%061d@pam@h:s", 0);
    check_fail(pbr_repo_parse(pbr_span_str(text), &r, diag), PBR_E_ARG, "API-023");
    /* realm: 2 .. 32 */
    snprintf(text, sizeof(text), "u@%032d@h:s", 0);
    check_int(pbr_repo_parse(pbr_span_str(text), &r, NULL), PBR_OK);
    snprintf(text, sizeof(text), "u@%033d@h:s", 0);
    check_int(pbr_repo_parse(pbr_span_str(text), &r, NULL), PBR_E_ARG);
}

static void test_tokens_are_told_from_users(void **state)
{
    static const struct {
        const char *text;
        bool token;
    } rows[] = { { "user@pbs!token@host:s", true },
                 { "user@pbs@host:s", false },
                 { "us!er@pbs@host:s", false }, /* a '!' before the last '@' is part of the name */
                 { "us!er@pbs!t@host:s", true },
                 { "host:s", false } };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pbr_repo r;
        check_int(pbr_repo_parse(pbr_span_str(rows[i].text), &r, NULL), PBR_OK);
        check_int(pbr_repo_is_token(&r), rows[i].token);
    }
}

static void test_directories_are_taken_as_they_are(void **state)
{
    (void)state;
    struct pbr_repo r;
    char out[4200], text[5000];
    check_int(pbr_repo_parse(pbr_span_str("dir:/a b/c:d@e"), &r, NULL), PBR_OK);
    check_str(r.dir, "/a b/c:d@e");
    check_str(r.store, "");
    pbr_repo_format(&r, out, sizeof(out));
    check_str(out, "dir:/a b/c:d@e");
    check_int(pbr_repo_parse(pbr_span_str("dir:"), &r, NULL), PBR_E_ARG);
    check_int(pbr_repo_parse(pbr_span("dir:a\0b", 7), &r, NULL), PBR_E_ARG);
    memset(text, 'x', sizeof(text));
    memcpy(text, "dir:", 4);
    check_int(pbr_repo_parse(pbr_span(text, 4 + 4095), &r, NULL), PBR_OK);
    check_int(strlen(r.dir), 4095);
    check_int(pbr_repo_parse(pbr_span(text, 4 + 4096), &r, NULL), PBR_E_ARG);
}

static void test_parts_give_the_same_as_a_string(void **state)
{
    static const struct {
        const char *auth_id, *server;
        uint16_t port;
        const char *store, *canonical;
    } good[] = {
        { "", "", 0, "s", "s" },
        { "", "h", 0, "s", "h:s" },
        { "", "", 9, "s", "localhost:9:s" },
        { "u@pam", "", 0, "s", "u@pam@localhost:8007:s" },
        { "u@pam!t", "::1", 9, "s", "u@pam!t@[::1]:9:s" }, /* a bare IPv6 address gets its brackets */
        { "", "[::1]", 0, "s", "[::1]:s" },
    };
    static const struct {
        const char *auth_id, *server, *store, *rule;
    } bad[] = {
        { "", "h", "", "API-030" },   { "u", "h", "s", "API-020" },      { "u@pam!", "h", "s", "API-020" },
        { "", "h/x", "s", "API-023" }, { "", "h:80", "s", "API-023" },   { "", "h", "s/x", "API-023" },
        { "", "h", "-s", "API-023" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct pbr_repo r;
        char out[4200];
        check_int(pbr_repo_from_parts(good[i].auth_id, good[i].server, good[i].port, good[i].store, &r, NULL), PBR_OK);
        pbr_repo_format(&r, out, sizeof(out));
        check_str(out, good[i].canonical);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pbr_repo r = { .port = 4711 };
        check_fail(pbr_repo_from_parts(bad[i].auth_id, bad[i].server, 1, bad[i].store, &r, diag), PBR_E_ARG, bad[i].rule);
        check_int(r.port, 4711);
    }
    char text[5000];
    struct pbr_repo r;
    memset(text, 'x', sizeof(text));
    text[4999] = 0;
    check_int(pbr_repo_from_parts("", text, 1, "s", &r, NULL), PBR_E_ARG);
    check_int(pbr_repo_from_parts("", "h", 1, text, &r, NULL), PBR_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repositories_are_taken_apart),
        cmocka_unit_test(test_what_the_grammar_does_not_have_is_refused),
        cmocka_unit_test(test_length_is_limited),
        cmocka_unit_test(test_tokens_are_told_from_users),
        cmocka_unit_test(test_directories_are_taken_as_they_are),
        cmocka_unit_test(test_parts_give_the_same_as_a_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
