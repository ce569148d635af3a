/* SPDX-License-Identifier: MIT */
/* Files as whole objects, streams and sinks over descriptors, and atomic publishing; each test in a directory of its own. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"

static struct test_world world;
static struct pbr_env env;
static char dir_name[64];
static int dir;

static int set_up(void **state)
{
    (void)state;
    env = test_env(&world);
    snprintf(dir_name, sizeof(dir_name), "/tmp/pbsref-fd-XXXXXX");
    check(mkdtemp(dir_name));
    dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(dir >= 0);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    close(dir);
    static const char *const names[] = { "a", "b", "fifo", "sub/x" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(command, sizeof(command), "%s/%s", dir_name, names[i]);
        unlink(command);
    }
    snprintf(command, sizeof(command), "%s/sub", dir_name);
    rmdir(command);
    check_int(rmdir(dir_name), 0); /* nothing else was left: no temporary file */
    check_int(world.live_allocs, 0);
    return 0;
}

static void put_file(const char *name, const char *content)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    check(fd >= 0);
    check_int(pbr_write_all(fd, pbr_span_str(content), name, NULL), PBR_OK);
    pbr_close(&fd);
    check_int(fd, -1);
}

static void check_file(const char *name, const char *content)
{
    struct pbr_buf got;
    check_int(pbr_load_file(&env, dir, name, 1 << 20, &got, NULL), PBR_OK);
    check_span(pbr_buf_span(&got), pbr_span_str(content));
    pbr_buf_release(&got);
}

/* ---- publish ---- */

static void test_published_file_appears_with_commit_only(void **state)
{
    (void)state;
    struct pbr_publish p;
    check_int(pbr_publish_open(&p, &env, dir, "a", 0640, NULL), PBR_OK);
    check_int(pbr_write_all(p.fd, pbr_span_str("new"), "a", NULL), PBR_OK);
    check_int(faccessat(dir, "a", F_OK, 0), -1);
    check_int(pbr_publish_commit(&p, false, NULL), PBR_OK);
    check_int(p.fd, -1);
    check_file("a", "new");
    struct stat st;
    check_int(fstatat(dir, "a", &st, 0), 0);
    check_int(st.st_nlink, 1);
    pbr_publish_abort(&p); /* fine after commit */
    check_file("a", "new");
}

static void test_aborted_file_leaves_the_old_one(void **state)
{
    (void)state;
    struct pbr_publish p;
    put_file("a", "old");
    check_int(pbr_publish_open(&p, &env, dir, "a", 0640, NULL), PBR_OK);
    check_int(pbr_write_all(p.fd, pbr_span_str("half"), "a", NULL), PBR_OK);
    pbr_publish_abort(&p);
    check_file("a", "old");
}

static void test_commit_replaces_or_refuses_as_told(void **state)
{
    (void)state;
    struct pbr_publish p;
    put_file("a", "old");
    for (int replace = 0; replace < 2; replace++) {
        struct pbr_diag diag = { 0 };
        check_int(pbr_publish_open(&p, &env, dir, "a", 0640, NULL), PBR_OK);
        check_int(pbr_write_all(p.fd, pbr_span_str("new"), "a", NULL), PBR_OK);
        check_int(pbr_publish_commit(&p, replace, &diag), replace ? PBR_OK : PBR_E_EXIST);
        pbr_publish_abort(&p);
        check_file("a", replace ? "new" : "old");
    }
}

static void test_publishing_works_below_a_sub_directory(void **state)
{
    (void)state;
    struct pbr_publish p;
    check_int(mkdirat(dir, "sub", 0755), 0);
    check_int(pbr_publish_open(&p, &env, dir, "sub/x", 0640, NULL), PBR_OK);
    check_int(pbr_publish_commit(&p, false, NULL), PBR_OK);
    check_file("sub/x", "");
    struct pbr_diag diag = { 0 };
    check_int(pbr_publish_open(&p, &env, dir, "missing/x", 0640, &diag), PBR_E_NOENT);
    check_int(diag.os_errno, ENOENT);
    pbr_publish_abort(&p); /* fine after a failed open */
}

static void test_taken_temporary_name_is_not_overwritten(void **state)
{
    (void)state;
    struct pbr_publish first, second;
    const uint64_t at = world.random_state;
    check_int(pbr_publish_open(&first, &env, dir, "a", 0640, NULL), PBR_OK);
    world.random_state = at; /* the same salt again: the next one is taken */
    check_int(pbr_publish_open(&second, &env, dir, "a", 0640, NULL), PBR_OK);
    assert_string_not_equal(first.tmp_name, second.tmp_name);
    pbr_publish_abort(&first);
    pbr_publish_abort(&second);
}

static void test_publishing_survives_failing_allocations(void **state)
{
    (void)state;
    put_file("a", "old");
    for (long nth = 0;; nth++) {
        struct pbr_publish p;
        world.alloc_fault = (struct pbr_fault){ .nth = nth };
        int rc = pbr_publish_open(&p, &env, dir, "a", 0640, NULL);
        if (rc == PBR_OK) {
            rc = pbr_publish_commit(&p, true, NULL);
            pbr_publish_abort(&p);
        }
        const bool hit = world.alloc_fault.hit;
        world.alloc_fault = (struct pbr_fault){ .nth = -1 };
        check_int(world.live_allocs, 0);
        check_int(rc < 0, hit);
        check_file("a", hit ? "old" : "");
        if (!hit)
            break;
    }
}

/* ---- whole files ---- */

static void test_load_file_keeps_its_limit(void **state)
{
    static const struct {
        size_t max;
        int rc;
    } rows[] = { { 0, PBR_E_LIMIT }, { 4, PBR_E_LIMIT }, { 5, PBR_OK }, { 6, PBR_OK }, { 1 << 20, PBR_OK } };
    (void)state;
    put_file("a", "12345");
    put_file("b", "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pbr_buf got = { .max = 77 };
        struct pbr_diag diag = { 0 };
        check_int(pbr_load_file(&env, dir, "a", rows[i].max, &got, &diag), rows[i].rc);
        if (rows[i].rc == PBR_OK) {
            check_span(pbr_buf_span(&got), pbr_span_str("12345"));
            check_int(got.max, rows[i].max);
            check(got.cap <= 64);
            pbr_buf_release(&got);
        } else {
            check_int(got.max, 77); /* untouched */
        }
        check_int(pbr_load_file(&env, dir, "b", rows[i].max, &got, NULL), PBR_OK);
        check_int(got.len, 0);
        pbr_buf_release(&got);
    }
}

static void test_load_file_tells_what_is_wrong(void **state)
{
    (void)state;
    struct pbr_buf got;
    struct pbr_diag diag = { 0 };
    check_int(pbr_load_file(&env, dir, "none", 10, &got, &diag), PBR_E_NOENT);
    check(strstr(diag.text, "none"));
    pbr_diag_clear(&diag);
    check_int(pbr_load_file(&env, dir, ".", 10, &got, &diag), PBR_E_IO);
    check_int(diag.os_errno, EISDIR);
    put_file("a", "x");
    world.alloc_fault = (struct pbr_fault){ .nth = 0 };
    check_int(pbr_load_file(&env, dir, "a", 10, &got, NULL), PBR_E_NOMEM);
}

/* A pipe has no size: the limit counts while reading. */
static void test_load_file_limits_what_has_no_size(void **state)
{
    (void)state;
    check_int(mkfifoat(dir, "fifo", 0600), 0);
    struct pbr_buf got;
    int fd = openat(dir, "fifo", O_RDWR | O_CLOEXEC); /* so that the other opens do not wait */
    check(fd >= 0);
    check_int(write(fd, "12345", 5), 5);
    check_int(pbr_load_file(&env, dir, "fifo", 4, &got, NULL), PBR_E_LIMIT);
    pbr_close(&fd);
}

static void test_source_reads_anywhere_and_never_past_the_end(void **state)
{
    (void)state;
    struct pbr_source src;
    uint8_t out[8];
    put_file("a", "0123456789");
    check_int(pbr_source_open(&env, dir, "a", &src, NULL), PBR_OK);
    check_u64(src.size, 10);
    check_int(pbr_source_read_at(&src, 7, out, 3, NULL), PBR_OK);
    check_span(pbr_span(out, 3), pbr_span_str("789"));
    check_int(pbr_source_read_at(&src, 8, out, 3, NULL), PBR_E_TRUNCATED);
    put_file("a", "01"); /* shrunk behind our back */
    check_int(pbr_source_read_at(&src, 0, out, 3, NULL), PBR_E_TRUNCATED);
    pbr_source_close(&src);
    check_int(pbr_source_open(&env, dir, ".", &src, NULL), PBR_E_ARG);
    check_int(pbr_source_open(&env, dir, "none", &src, NULL), PBR_E_NOENT);
}

/* ---- streams ---- */

static void fill(const char *name, size_t len)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    for (size_t i = 0; i < len; i++) {
        const uint8_t b = (uint8_t)(i * 7 + i / 256);
        check_int(write(fd, &b, 1), 1);
    }
    pbr_close(&fd);
}

static uint8_t at(size_t i)
{
    return (uint8_t)(i * 7 + i / 256);
}

/* Whatever the mix of reads and skips, what is read is what lies there; on a file (seeks) and on a pipe (reads). */
static void test_stream_reads_and_skips_to_the_right_place(void **state)
{
    enum { LEN = 5000 };
    (void)state;
    fill("a", LEN);
    for (int piped = 0; piped < 2; piped++) {
        int fds[2] = { -1, -1 };
        int fd = openat(dir, "a", O_RDONLY | O_CLOEXEC);
        if (piped) {
            uint8_t all[LEN];
            check_int(pipe(fds), 0);
            check_int(read(fd, all, LEN), LEN);
            check_int(write(fds[1], all, LEN), LEN);
            pbr_close(&fds[1]);
            pbr_close(&fd);
            fd = fds[0];
        }
        struct pbr_stream s;
        uint64_t random = 3;
        size_t pos = 0;
        check_int(pbr_stream_fd(&env, fd, true, 64, "a", &s, NULL), PBR_OK);
        while (pos < LEN - 400) {
            uint8_t out[100];
            const uint64_t r = test_next_random(&random);
            const size_t n = r % sizeof(out);
            if (r >> 63) {
                check_int(pbr_stream_read(&s, out, n, NULL), PBR_OK);
                for (size_t i = 0; i < n; i++)
                    check_int(out[i], at(pos + i));
            } else {
                check_int(pbr_stream_skip(&s, 3 * n, NULL), PBR_OK);
            }
            pos += r >> 63 ? n : 3 * n;
        }
        struct pbr_diag diag = { 0 };
        check_int(pbr_stream_skip(&s, LEN - pos + 1, &diag), PBR_E_TRUNCATED);
        check_str(diag.text, "a ends 1 bytes early");
        struct pbr_span view;
        check_int(pbr_stream_peek(&s, &view, NULL), PBR_OK);
        check_int(view.len, 0);
        pbr_stream_close(&s);
        check_int(fcntl(fd, F_GETFD), -1); /* owned: closed */
    }
}

static void test_skip_to_the_very_end_is_no_error(void **state)
{
    (void)state;
    struct pbr_stream s;
    struct pbr_span view;
    fill("a", 1000);
    int fd = openat(dir, "a", O_RDONLY | O_CLOEXEC);
    check_int(pbr_stream_fd(&env, fd, false, 16, "a", &s, NULL), PBR_OK);
    check_int(pbr_stream_skip(&s, 1000, NULL), PBR_OK);
    check_int(pbr_stream_peek(&s, &view, NULL), PBR_OK);
    check_int(view.len, 0);
    pbr_stream_close(&s);
    check(fcntl(fd, F_GETFD) >= 0); /* not owned */
    pbr_close(&fd);
    for (long nth = 0; nth < 3; nth++) {
        world.alloc_fault = (struct pbr_fault){ .nth = nth };
        check_int(pbr_stream_fd(&env, 0, false, 16, "a", &s, NULL), PBR_E_NOMEM);
    }
}

/* ---- sink ---- */

static void test_sink_keeps_order_between_writes_and_reservations(void **state)
{
    enum { LEN = 20000 };
    (void)state;
    struct pbr_fd_sink f;
    static uint8_t want[LEN];
    uint64_t random = 11;
    size_t pos = 0;
    for (size_t i = 0; i < LEN; i++)
        want[i] = at(i);
    int fd = openat(dir, "a", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    check_int(pbr_fd_sink_init(&f, &env, fd, 100, "a"), PBR_OK);
    struct pbr_sink s = pbr_fd_sink(&f);
    while (pos < LEN) {
        const uint64_t r = test_next_random(&random);
        size_t n = 1 + r % 250;
        n = n < LEN - pos ? n : LEN - pos;
        if (r >> 63) {
            check_int(pbr_sink_write(&s, pbr_span(want + pos, n), NULL), PBR_OK);
        } else {
            uint8_t *room;
            size_t room_len;
            check_int(s.reserve(s.ctx, n, &room, &room_len, NULL), PBR_OK);
            check(room_len >= 1 && room_len <= n);
            n = room_len;
            memcpy(room, want + pos, n);
            check_int(s.commit(s.ctx, n, NULL), PBR_OK);
        }
        pos += n;
        check_u64(f.written, pos);
    }
    check_int(pbr_fd_sink_flush(&f, NULL), PBR_OK);
    pbr_fd_sink_release(&f);
    pbr_close(&fd);
    struct pbr_buf got;
    check_int(pbr_load_file(&env, dir, "a", LEN, &got, NULL), PBR_OK);
    check_span(pbr_buf_span(&got), pbr_span(want, LEN));
    pbr_buf_release(&got);
}

static void test_sink_reports_a_full_device(void **state)
{
    (void)state;
    struct pbr_fd_sink f;
    struct pbr_diag diag = { 0 };
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        SKIP("no /dev/full");
    check_int(pbr_fd_sink_init(&f, &env, fd, 4, "full"), PBR_OK);
    struct pbr_sink s = pbr_fd_sink(&f);
    check_int(pbr_sink_write(&s, pbr_span_str("abc"), &diag), PBR_OK);
    check_int(pbr_fd_sink_flush(&f, &diag), PBR_E_IO);
    check_int(diag.os_errno, ENOSPC);
    pbr_fd_sink_release(&f);
    pbr_fd_sink_release(&f);
    pbr_close(&fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_published_file_appears_with_commit_only),
        T(test_aborted_file_leaves_the_old_one),
        T(test_commit_replaces_or_refuses_as_told),
        T(test_publishing_works_below_a_sub_directory),
        T(test_taken_temporary_name_is_not_overwritten),
        T(test_publishing_survives_failing_allocations),
        T(test_load_file_keeps_its_limit),
        T(test_load_file_tells_what_is_wrong),
        T(test_load_file_limits_what_has_no_size),
        T(test_source_reads_anywhere_and_never_past_the_end),
        T(test_stream_reads_and_skips_to_the_right_place),
        T(test_skip_to_the_very_end_is_no_error),
        T(test_sink_keeps_order_between_writes_and_reservations),
        T(test_sink_reports_a_full_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
