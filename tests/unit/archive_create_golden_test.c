/* SPDX-License-Identifier: MIT */
/* covers: CRT-002 CRT-003 CRT-007 CRT-008 CRT-011 CRT-012 CRT-020 CRT-021 CRT-023 CRT-024 CRT-040 CRT-043 CRT-046 CRT-047
 * CRT-051 CRT-055 CRT-056 CRT-057 CRT-100 CRT-106 CRT-107 CRT-108 CRT-111 CRT-112 CRT-113 CRT-115 CRT-120 CRT-122 CRT-131
 * CRT-140 CRT-143 CRT-146 CRT-147 CRT-148 PXAR-105 PXAR-107 PXAR-109 PXAR-110 */
/* Every tree of testdata/golden/trees.py, built anew, must give the archives that the original made of it, byte for byte,
 * as one stream and split, with every option that golden.json has. */
#include "test.h"

#include <fcntl.h>
#include <jansson.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/create.h"
#include "prim/prim.h"
#include "sys/fd.h"

enum { ARCHIVE_MAX = 64 << 20, OPTS_MAX = 16, PATH_LEN = 256 };

static char top[PATH_LEN]; /* empty temporary folder, removed at the end */

/* Runs a program without a shell; its exit status, or -1. */
static int run(const char *const argv[])
{
    const pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

/* No tree sets immutable or append-only, so that this always works. */
static void remove_all(const char *path)
{
    const char *const argv[] = { "/bin/rm", "-rf", "--", path, NULL };
    check_int(run(argv), 0);
}

/* Why the golden trees cannot be built here, or NULL. */
static const char *why_not(void)
{
    struct statfs fs;
    if (geteuid() != 0)
        return "needs root: owners, devices, trusted attributes";
    if (access("/usr/bin/python3", X_OK) != 0)
        return "needs /usr/bin/python3 to build the trees";
    if (statfs(top, &fs) != 0 || fs.f_type != 0xef53)
        return "needs ext4 below TMPDIR for inode flags (golden archives were made on it)";
    return NULL;
}

static int make_top(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(top, sizeof(top), "%s/pbsref-golden-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
    (void)state;
    remove_all(top);
    return access(top, F_OK) == 0 ? -1 : 0;
}

/* `--exclude P`, `--no-xattrs 1`, ... of golden.json as options. */
static void parse_options(const json_t *options, struct pbr_create_opts *opts, struct pbr_span excludes[OPTS_MAX])
{
    static const struct {
        const char *text;
        uint64_t flag;
    } without[] = {
        { "--no-xattrs", PBR_FEATURE_XATTRS },   { "--no-fcaps", PBR_FEATURE_FCAPS },
        { "--no-acls", PBR_FEATURE_ACL },        { "--no-device-nodes", PBR_FEATURE_DEVICE_NODES },
        { "--no-fifos", PBR_FEATURE_FIFOS },     { "--no-sockets", PBR_FEATURE_SOCKETS },
    };
    *opts = (struct pbr_create_opts){ .excludes = excludes };
    for (size_t i = 0; i + 1 < json_array_size(options); i += 2) {
        const char *key = json_string_value(json_array_get(options, i));
        bool known = strcmp(key, "--exclude") == 0;
        if (known) {
            check(opts->exclude_nr < OPTS_MAX);
            excludes[opts->exclude_nr++] = pbr_span_str(json_string_value(json_array_get(options, i + 1)));
        }
        for (size_t k = 0; k < sizeof(without) / sizeof(without[0]); k++) {
            if (strcmp(key, without[k].text) == 0) {
                opts->without |= without[k].flag;
                known = true;
            }
        }
        check(known);
    }
}

/* Size and digest as golden.json says, and the bytes where they are kept. */
static void check_bytes(const char *name, const json_t *want, struct pbr_span got)
{
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1];
    char path[PATH_LEN];

    if (!json_is_false(json_object_get(want, "stored"))) {
        snprintf(path, sizeof(path), "testdata/golden/pxar/%s", name);
        const struct pbr_span stored = test_load(path);
        if (!pbr_span_eq(got, stored))
            print_error("%s differs\n", name);
        check_span(got, stored);
        test_unload(stored);
    }
    check_u64(got.len, (uint64_t)json_integer_value(json_object_get(want, "size")));
    check_int(pbr_sha256(got, pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    if (strcmp(hex, json_string_value(json_object_get(want, "sha256"))) != 0)
        print_error("%s has another digest\n", name);
    check_str(hex, json_string_value(json_object_get(want, "sha256")));
}

/* The file of this archive with this suffix. */
static void check_file(const json_t *files, const char *suffix, struct pbr_span got)
{
    const char *name;
    const json_t *want;
    json_object_foreach ((json_t *)(uintptr_t)files, name, want) {
        if (pbr_span_ends(pbr_span_str(name), suffix)) {
            check_bytes(name, want, got);
            return;
        }
    }
    print_error("no %s\n", suffix);
    fail();
}

static void create_and_check(const struct pbr_env *env, const char *tree, const json_t *archive, bool split)
{
    struct pbr_create_opts opts;
    struct pbr_span excludes[OPTS_MAX];
    struct pbr_create_stats stats;
    struct pbr_diag diag = { 0 };
    struct pbr_buf out, payload;
    const json_t *files = json_object_get(archive, "files");

    parse_options(json_object_get(archive, "options"), &opts, excludes);
    pbr_buf_init(&out, env, ARCHIVE_MAX);
    pbr_buf_init(&payload, env, ARCHIVE_MAX);
    struct pbr_sink out_sink = pbr_sink_buf(&out), payload_sink = pbr_sink_buf(&payload);
    int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(fd >= 0);
    const struct pbr_create_outputs outputs = { &out_sink, split ? &payload_sink : NULL };
    const int rc = pbr_create(env, fd, tree, &outputs, &opts, &stats, &diag);
    if (rc < 0)
        print_error("%s: %s\n", tree, diag.text);
    check_int(rc, PBR_OK);
    check_u64(stats.warnings, 0);
    pbr_close(&fd);
    check_file(files, split ? ".mpxar" : ".pxar", pbr_buf_span(&out));
    if (split)
        check_file(files, ".ppxar", pbr_buf_span(&payload));
    pbr_buf_release(&out);
    pbr_buf_release(&payload);
}

static void test_archives_of_all_trees_are_those_of_the_original(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const char *reason = why_not();
    char tree[2 * PATH_LEN];
    size_t i;
    const json_t *archive;

    if (reason)
        SKIP(reason);
    json_t *doc = json_load_file("testdata/golden/golden.json", 0, NULL);
    check(doc != NULL);
    const json_t *archives = json_object_get(doc, "archives");
    check(json_array_size(archives) >= 44);
    json_array_foreach (archives, i, archive) {
        const char *name = json_string_value(json_object_get(archive, "tree"));
        snprintf(tree, sizeof(tree), "%s/%s", top, name);
        const char *const argv[] = { "/usr/bin/python3", "testdata/golden/trees.py", "build", name, tree, NULL };
        check_int(run(argv), 0);
        create_and_check(&env, tree, archive, false);
        create_and_check(&env, tree, archive, true);
        remove_all(tree);
    }
    printf("%zu trees with options, as one stream and split\n", i);
    json_decref(doc);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archives_of_all_trees_are_those_of_the_original),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
