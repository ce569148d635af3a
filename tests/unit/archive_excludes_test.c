/* SPDX-License-Identifier: MIT */
/* covers: CRT-040 CRT-041 CRT-042 CRT-043 CRT-044 CRT-045 CRT-046 CRT-047 CRT-048 CRT-049 CRT-050 CRT-052 CRT-055 CRT-057 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "archive/excludes.h"
#include "sys/fd.h"

struct world {
    struct test_world w; /* first: the env's ctx */
    char log[4096];
};

static void keep_log(void *ctx, enum pbr_log_level level, const char *line)
{
    struct world *w = ctx;
    const size_t used = strlen(w->log);
    (void)level;
    snprintf(w->log + used, sizeof(w->log) - used, "%s\n", line);
}

static struct pbr_env world_env(struct world *w)
{
    struct pbr_env env = test_env(&w->w);
    w->log[0] = 0;
    env.log = keep_log;
    return env;
}

static enum pbr_verdict verdict(const struct pbr_pattern_list *l, const char *path)
{
    const size_t len = strlen(path);
    const bool dir = len > 1 && path[len - 1] == '/';
    return pbr_pattern_list_verdict(l, pbr_span(path, len - dir), dir ? 0040755 : 0100644);
}

static void test_lines_become_patterns_as_written(void **state)
{
    (void)state;
    struct world w;
    const struct pbr_env env = world_env(&w);
    struct pbr_pattern_list l;
    uint64_t warnings = 0;
    const char *text = "# comment\n\n \t\r\n  *.tmp \f\n/local\n!/kept\n!plain\n!!twice\n  # no comment? yes\nlast";

    pbr_pattern_list_init(&l, &env);
    check_int(pbr_excludes_parse(&l, pbr_span_str("a/b"), pbr_span_str(text), &warnings, NULL), PBR_OK);
    check_int(l.nr, 6);
    check_u64(warnings, 0);
    check_int(verdict(&l, "/x/y.tmp"), PBR_VERDICT_EXCLUDE);
    check_int(verdict(&l, "/a/b/local"), PBR_VERDICT_EXCLUDE);
    check_int(verdict(&l, "/a/b/c/local"), PBR_VERDICT_NONE);
    check_int(verdict(&l, "/local"), PBR_VERDICT_NONE);
    check_int(verdict(&l, "/a/b/kept"), PBR_VERDICT_INCLUDE);
    check_int(verdict(&l, "/q/plain"), PBR_VERDICT_INCLUDE);
    check_int(verdict(&l, "/q/twice"), PBR_VERDICT_EXCLUDE);
    check_int(verdict(&l, "/q/last"), PBR_VERDICT_EXCLUDE);
    pbr_pattern_list_release(&l);
    check_int(w.w.live_allocs, 0);
}

static void test_directory_names_are_not_escaped(void **state)
{
    (void)state;
    struct world w;
    const struct pbr_env env = world_env(&w);
    struct pbr_pattern_list l;
    uint64_t warnings = 0;

    pbr_pattern_list_init(&l, &env);
    check_int(pbr_excludes_parse(&l, pbr_span_str("d[12]"), pbr_span_str("/x\n"), &warnings, NULL), PBR_OK);
    check_int(verdict(&l, "/d[12]/x"), PBR_VERDICT_NONE);
    check_int(verdict(&l, "/d1/x"), PBR_VERDICT_EXCLUDE);
    pbr_pattern_list_release(&l);
}

static void test_bad_lines_are_logged_and_the_others_stay(void **state)
{
    (void)state;
    struct world w;
    const struct pbr_env env = world_env(&w);
    struct pbr_pattern_list l;
    uint64_t warnings = 0;

    pbr_pattern_list_init(&l, &env);
    check_int(pbr_excludes_parse(&l, pbr_span_str("d"), pbr_span_str("a\n[b\nc\\\n./e\n"), &warnings, NULL), PBR_OK);
    check_int(l.nr, 2);
    check_u64(warnings, 3);
    check(strstr(w.log, "bad pattern in \"d/.pxarexclude\": unclosed character class") != NULL);
    check(strstr(w.log, "trailing backslash in pattern") != NULL);
    check(strstr(w.log, "Sanitized exclude pattern. ") != NULL);
    check_int(verdict(&l, "/x/e"), PBR_VERDICT_EXCLUDE);
    pbr_pattern_list_release(&l);
}

static void test_command_line_is_normalised_only_on_request_and_bad_ones_are_refused(void **state)
{
    (void)state;
    struct world w;
    const struct pbr_env env = world_env(&w);
    struct pbr_pattern_list l;
    uint64_t warnings = 0;
    struct pbr_diag diag = { 0 };

    pbr_pattern_list_init(&l, &env);
    check_int(pbr_excludes_add_cli(&l, pbr_span_str("a//b"), true, &warnings, NULL), PBR_OK);
    check_u64(warnings, 1);
    check_int(pbr_excludes_add_cli(&l, pbr_span_str("c//d"), false, &warnings, NULL), PBR_OK);
    check_int(pbr_excludes_add_cli(&l, pbr_span_str("!!lit"), true, &warnings, NULL), PBR_OK);
    check_u64(warnings, 1);
    check_span(pbr_pattern_text(l.items[0]), pbr_span_str("a/b"));
    check_span(pbr_pattern_text(l.items[1]), pbr_span_str("c//d"));
    check_span(pbr_pattern_text(l.items[2]), pbr_span_str("!lit"));
    check(pbr_pattern_is_include(l.items[2]));
    check_int(pbr_excludes_add_cli(&l, pbr_span_str("x[a-"), false, &warnings, &diag), PBR_E_ARG);
    check_str(diag.rule, "CRT-082");
    check(strncmp(diag.text, "invalid exclude pattern entry: ", 31) == 0);
    pbr_pattern_list_release(&l);
}

static void test_text_form_and_prelude(void **state)
{
    (void)state;
    struct world w;
    const struct pbr_env env = world_env(&w);
    static const char *const patterns[] = { "*.tmp", "!keep.tmp", "dir/", "/", "!a//", "q\"b\\\\\x01\xc3\xa4" };
    struct pbr_pattern_list l;
    struct pbr_buf text, json;
    uint64_t warnings = 0;

    pbr_pattern_list_init(&l, &env);
    pbr_buf_init(&text, &env, 1000);
    pbr_buf_init(&json, &env, 1000);
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        check_int(pbr_excludes_add_cli(&l, pbr_span_str(patterns[i]), false, &warnings, NULL), PBR_OK);
    check_int(pbr_excludes_text(&l, 3, &text), PBR_OK);
    check_span(pbr_buf_span(&text), pbr_span_str("*.tmp\n!keep.tmp\ndir/\n"));
    check_int(pbr_excludes_prelude(pbr_buf_span(&text), &json, NULL), PBR_OK);
    check_span(pbr_buf_span(&json), pbr_span_str("{\"exclude-patterns\":\"*.tmp\\n!keep.tmp\\ndir/\\n\"}"));

    pbr_buf_clear(&text);
    pbr_buf_clear(&json);
    check_int(pbr_excludes_text(&l, l.nr, &text), PBR_OK);
    check(pbr_span_ends(pbr_buf_span(&text), "dir/\n/\n!a/\nq\"b\\\\\x01\xc3\xa4\n"));
    check_int(pbr_excludes_prelude(pbr_buf_span(&text), &json, NULL), PBR_OK);
    check(pbr_span_ends(pbr_buf_span(&json), "\\n/\\n!a/\\nq\\\"b\\\\\\\\\\u0001\xc3\xa4\\n\"}"));

    static const char *const bad[] = { "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xe4z" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pbr_buf_clear(&json);
        check_fail(pbr_excludes_prelude(pbr_span_str(bad[i]), &json, diag), PBR_E_ARG, "CRT-057");
    }
    pbr_pattern_list_release(&l);
    pbr_buf_release(&text);
    pbr_buf_release(&json);
    check_int(w.w.live_allocs, 0);
}

/* ---- files ---- */

struct folder {
    char path[64];
    int fd;
};

static struct folder folder_make(void)
{
    struct folder f = { .path = "/tmp/pbsref-excludes-XXXXXX" };
    check(mkdtemp(f.path) != NULL);
    f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(f.fd >= 0);
    return f;
}

static void folder_remove(struct folder *f)
{
    (void)unlinkat(f->fd, ".pxarexclude", 0);
    (void)unlinkat(f->fd, ".pxarexclude", AT_REMOVEDIR);
    (void)unlinkat(f->fd, "other", 0);
    pbr_close(&f->fd);
    check_int(rmdir(f->path), 0);
}

static void put_file(const struct folder *f, const char *name, const char *text)
{
    int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(fd >= 0);
    check_int(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    pbr_close(&fd);
}

/* Number of patterns that loading gives; -1 for a failure. */
static int load_count(const struct folder *f, struct world *w, uint64_t *warnings, struct pbr_diag *diag)
{
    const struct pbr_env env = world_env(w);
    struct pbr_pattern_list l;
    pbr_pattern_list_init(&l, &env);
    *warnings = 0;
    const int rc = pbr_excludes_load(&l, f->fd, pbr_span_str("sub"), warnings, diag);
    const int n = rc < 0 ? -1 : (int)l.nr;
    pbr_pattern_list_release(&l);
    check_int(w->w.live_allocs, 0);
    return n;
}

static void test_absent_plain_and_linked_files(void **state)
{
    (void)state;
    struct world w;
    uint64_t warnings;
    struct folder f = folder_make();

    check_int(load_count(&f, &w, &warnings, NULL), 0);
    put_file(&f, "other", "a\nb\n");
    check_int(symlinkat("other", f.fd, ".pxarexclude"), 0);
    check_int(load_count(&f, &w, &warnings, NULL), 2);
    check_int(unlinkat(f.fd, "other", 0), 0);
    check_int(load_count(&f, &w, &warnings, NULL), 0); /* dangling: missing */
    check_u64(warnings, 0);
    folder_remove(&f);
}

static void test_a_directory_or_fifo_in_its_place_is_a_warning_and_does_not_block(void **state)
{
    (void)state;
    struct world w;
    uint64_t warnings;
    struct folder f = folder_make();

    check_int(mkdirat(f.fd, ".pxarexclude", 0700), 0);
    check_int(load_count(&f, &w, &warnings, NULL), 0);
    check_u64(warnings, 1);
    check(strstr(w.log, "ignoring .pxarexclude after read error in \"sub/.pxarexclude\": Is a directory") != NULL);
    check_int(unlinkat(f.fd, ".pxarexclude", AT_REMOVEDIR), 0);

    check_int(mkfifoat(f.fd, ".pxarexclude", 0600), 0);
    alarm(10); /* a blocking open would never come back */
    check_int(load_count(&f, &w, &warnings, NULL), 0);
    alarm(0);
    check_u64(warnings, 1);
    folder_remove(&f);
}

static void test_a_socket_in_its_place_is_fatal(void **state)
{
    (void)state;
    struct world w;
    uint64_t warnings;
    struct pbr_diag diag = { 0 };
    struct folder f = folder_make();
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.pxarexclude", f.path);
    check_int(bind(s, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    pbr_close(&s);
    check_int(load_count(&f, &w, &warnings, &diag), -1);
    check_int(diag.os_errno, ENXIO);
    folder_remove(&f);
}

static void test_an_unreadable_file_is_a_warning(void **state)
{
    (void)state;
    struct world w;
    uint64_t warnings;
    struct folder f = folder_make();

    put_file(&f, ".pxarexclude", "a\n");
    check_int(fchmodat(f.fd, ".pxarexclude", 0, 0), 0);
    const bool root = geteuid() == 0;
    if (root)
        check_int(seteuid(65534), 0);
    const int n = load_count(&f, &w, &warnings, NULL);
    if (root)
        check_int(seteuid(0), 0);
    folder_remove(&f);
    check_int(n, 0);
    check_u64(warnings, 1);
    check(strstr(w.log, "failed to open file: \".pxarexclude\": access denied") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_become_patterns_as_written),
        cmocka_unit_test(test_directory_names_are_not_escaped),
        cmocka_unit_test(test_bad_lines_are_logged_and_the_others_stay),
        cmocka_unit_test(test_command_line_is_normalised_only_on_request_and_bad_ones_are_refused),
        cmocka_unit_test(test_text_form_and_prelude),
        cmocka_unit_test(test_absent_plain_and_linked_files),
        cmocka_unit_test(test_a_directory_or_fifo_in_its_place_is_a_warning_and_does_not_block),
        cmocka_unit_test(test_a_socket_in_its_place_is_fatal),
        cmocka_unit_test(test_an_unreadable_file_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
