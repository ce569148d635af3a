/* SPDX-License-Identifier: MIT */
/* Shared by the tests of the store room: a datastore in a temporary directory with a clock that the test sets, blobs and
 * chunks from seeds, whole sessions in one call. */
#ifndef PBR_STORE_FIXTURE_H
#define PBR_STORE_FIXTURE_H

#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "chunk/seal.h"
#include "store/backup.h"
#include "store/gc.h"
#include "store/prune.h"
#include "store/snapshot.h"
#include "store/verify.h"

#ifndef FX_BASE
#define FX_BASE "/tmp" /* tests with thousands of runs take memory instead, where there is any */
#endif
#define FX_TIME INT64_C(1700000000)
#define FX_OWNER "root@pam"

struct fx {
    struct test_world world; /* first: env functions get a pointer to it */
    int64_t now_s;
    struct pbr_env env;
    char dir[64];
    char root[96];
    struct pbr_store *s;
    struct pbr_fault fault;
    struct test_world calm_world; /* for what the tests themselves need: never fails */
    struct pbr_env calm;
    struct pbr_sealer *sealer;
};

static inline int64_t fx_now(void *ctx)
{
    return ((struct fx *)ctx)->now_s;
}

static inline void fx_env(struct fx *f)
{
    memset(f, 0, sizeof(*f));
    f->env = test_env(&f->world);
    f->env.ctx = f;
    f->calm = test_env(&f->calm_world);
    f->env.now_s = fx_now;
    f->now_s = FX_TIME;
    f->fault = (struct pbr_fault){ .nth = -1 };
    (void)snprintf(f->dir, sizeof(f->dir), "%s/pbr_store_XXXXXX", FX_BASE);
    if (!mkdtemp(f->dir)) {
        (void)snprintf(f->dir, sizeof(f->dir), "/tmp/pbr_store_XXXXXX");
        assert_non_null(mkdtemp(f->dir));
    }
    (void)snprintf(f->root, sizeof(f->root), "%s/store", f->dir);
    assert_int_equal(pbr_sealer_new(&f->calm, &f->sealer), PBR_OK);
}

static inline void fx_open_with(struct fx *f, struct pbr_store_opts opts)
{
    struct pbr_diag diag = { 0 };
    opts.sync = opts.sync ? opts.sync : PBR_STORE_SYNC_NONE;
    opts.fault = &f->fault;
    if (pbr_store_open(&f->env, f->root, &opts, &f->s, &diag) != PBR_OK)
        fail_msg("%s", diag.text);
}

static inline void fx_open(struct fx *f)
{
    fx_open_with(f, (struct pbr_store_opts){ 0 });
}

/* An empty datastore named "store" without prefix directories. */
static inline void fx_start(struct fx *f)
{
    const struct pbr_store_opts opts = { .sync = PBR_STORE_SYNC_NONE, .lazy = true };
    fx_env(f);
    assert_int_equal(pbr_store_init(&f->env, f->root, &opts, NULL), PBR_OK);
    fx_open(f);
}

static inline int fx_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Closes, removes everything, and nothing may have leaked. */
static inline void fx_stop(struct fx *f)
{
    pbr_store_close(f->s);
    pbr_sealer_free(f->sealer);
    (void)nftw(f->dir, fx_remove, 32, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(f->world.live_allocs, 0);
    assert_int_equal(f->calm_world.live_allocs, 0);
}

static inline const char *fx_path(const struct fx *f, const char *rel, char out[1024])
{
    (void)snprintf(out, 1024, "%s/%s", f->root, rel);
    return out;
}

static inline bool fx_exists(const struct fx *f, const char *rel)
{
    char path[1024];
    return faccessat(AT_FDCWD, fx_path(f, rel, path), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void fx_write(const struct fx *f, const char *rel, const void *data, size_t len)
{
    char path[1024];
    FILE *out = fopen(fx_path(f, rel, path), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static inline void fx_mkdir(const struct fx *f, const char *rel)
{
    char path[1024];
    assert_int_equal(mkdir(fx_path(f, rel, path), 0755), 0);
}

static inline struct pbr_span fx_read(const struct fx *f, const char *rel)
{
    char path[1024];
    return test_load(fx_path(f, rel, path));
}

/* Runs a program and waits; its exit status. */
static inline int fx_run(const char *const argv[])
{
    int status = -1;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The datastore written by the original server, unpacked and opened; false if tar or zstd are missing. */
static inline bool fx_golden(struct fx *f)
{
    fx_env(f);
    assert_int_equal(mkdir(f->root, 0755), 0);
    const char *const argv[] = { "tar", "--zstd", "-xf", "testdata/golden/datastore/datastore.tar.zst", "-C", f->root,
                                 NULL };
    if (fx_run(argv) != 0) {
        fx_stop(f);
        return false;
    }
    fx_open(f);
    return true;
}

static inline struct pbr_snapshot fx_snap(const char *id, int64_t time_s)
{
    struct pbr_snapshot s = { .group = { .type = "host" }, .time_s = time_s };
    (void)snprintf(s.group.id, sizeof(s.group.id), "%s", id);
    return s;
}

/* ---- chunks and blobs ---- */

static inline void fx_noise(uint64_t seed, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(test_next_random(&seed) >> 56);
}

struct fx_chunk {
    uint8_t digest[PBR_DIGEST_LEN];
    uint64_t size;
    struct pbr_buf raw;
};

static inline void fx_seal(struct fx *f, struct pbr_span plain, bool compress, struct fx_chunk *ret)
{
    ret->size = plain.len;
    assert_int_equal(pbr_chunk_digest(NULL, plain, ret->digest), PBR_OK);
    pbr_buf_init(&ret->raw, &f->calm, PBR_CHUNK_RAW_MAX);
    assert_int_equal(pbr_seal(f->sealer, NULL, compress, plain, &ret->raw, NULL), PBR_OK);
}

/* A chunk of `size` noisy bytes. */
static inline struct fx_chunk fx_chunk(struct fx *f, uint64_t seed, size_t size)
{
    struct fx_chunk c;
    uint8_t *plain = malloc(size + 1);
    assert_non_null(plain);
    fx_noise(seed, plain, size);
    fx_seal(f, pbr_span(plain, size), false, &c);
    free(plain);
    return c;
}

static inline void fx_chunk_free(struct fx_chunk *c)
{
    pbr_buf_release(&c->raw);
}

static inline struct fx_chunk fx_text_blob(struct fx *f, const char *text)
{
    struct fx_chunk c;
    fx_seal(f, pbr_span_str(text), false, &c);
    return c;
}

/* ---- sessions ---- */

static inline int fx_begin(struct fx *f, const char *id, int64_t time_s, struct pbr_store_backup **ret,
                           struct pbr_diag *diag)
{
    const struct pbr_store_backup_opts opts = { .ns = "", .snapshot = fx_snap(id, time_s), .auth_id = FX_OWNER };
    return pbr_store_backup_begin(f->s, &opts, ret, diag);
}

static inline int fx_create(struct pbr_store_backup *b, const char *name, uint64_t *ret_wid, struct pbr_diag *diag)
{
    const struct pbr_store_index_opts opts = { .kind = PBR_INDEX_DYNAMIC, .name = name };
    return pbr_store_backup_create(b, &opts, ret_wid, diag);
}

static inline int fx_upload(struct pbr_store_backup *b, enum pbr_index_kind kind, uint64_t wid, struct fx_chunk *c,
                            struct pbr_store_put *ret, struct pbr_diag *diag)
{
    const struct pbr_store_upload up = {
        .kind = kind, .wid = wid, .digest = c->digest, .size = c->size, .encoded_size = c->raw.len
    };
    return pbr_store_backup_chunk(b, &up, c->raw.ptr, c->raw.len, ret, diag);
}

/* One file of a snapshot being made: name, size, checksum. */
struct fx_file {
    char name[64];
    uint64_t size;
    uint8_t csum[PBR_DIGEST_LEN];
};

/* A dynamic index `name` of the given chunks, uploaded, appended and closed; the first error is returned. */
static inline int fx_archive(struct fx *f, struct pbr_store_backup *b, const char *name, struct fx_chunk *chunks,
                             size_t nr, struct fx_file *ret, struct pbr_diag *diag)
{
    struct pbr_index_sum *sum = NULL;
    char hex[65];
    uint64_t wid, end = 0;
    int rc = pbr_index_sum_new(&f->calm, PBR_INDEX_DYNAMIC, &sum);
    if (rc == PBR_OK)
        rc = fx_create(b, name, &wid, diag);
    for (size_t i = 0; rc == PBR_OK && i < nr; i++) {
        rc = fx_upload(b, PBR_INDEX_DYNAMIC, wid, &chunks[i], NULL, diag);
        if (rc == PBR_OK)
            rc = pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, chunks[i].digest, end, diag);
        end += chunks[i].size;
        if (rc == PBR_OK)
            rc = pbr_index_sum_add(sum, end, chunks[i].digest);
    }
    if (rc == PBR_OK)
        rc = pbr_index_sum_result(sum, ret->csum);
    if (rc == PBR_OK) {
        pbr_format_hex(ret->csum, PBR_DIGEST_LEN, hex);
        rc = pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, nr, end, hex, diag);
    }
    pbr_index_sum_free(sum);
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    ret->size = end;
    return rc;
}

/* Uploads a manifest that names the files. */
static inline int fx_manifest(struct fx *f, struct pbr_store_backup *b, const struct pbr_snapshot *snap,
                              const struct fx_file *files, size_t nr, struct pbr_diag *diag)
{
    struct pbr_manifest m = { 0 };
    struct pbr_buf text, raw;
    pbr_buf_init(&text, &f->calm, 1 << 20);
    pbr_buf_init(&raw, &f->calm, 1 << 20);
    int rc = pbr_manifest_init(&m, &f->calm, snap);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < nr; i++)
        rc = pbr_manifest_add(&m, files[i].name, PBR_CRYPT_NONE, files[i].size, files[i].csum);
    if (rc == PBR_OK)
        rc = pbr_manifest_emit(&m, &text);
    if (rc == PBR_OK)
        rc = pbr_seal(f->sealer, NULL, true, pbr_buf_span(&text), &raw, diag);
    if (rc == PBR_OK)
        rc = pbr_store_backup_blob(b, "index.json.blob", raw.len, pbr_buf_span(&raw), diag);
    pbr_manifest_release(&m);
    pbr_buf_release(&text);
    pbr_buf_release(&raw);
    return rc;
}

/* A whole finished backup of one archive root.pxar.didx of `nr` chunks with the given seeds. */
static inline int fx_backup(struct fx *f, const char *id, int64_t time_s, const uint64_t *seeds, size_t nr,
                            struct pbr_diag *diag)
{
    const struct pbr_snapshot snap = fx_snap(id, time_s);
    struct pbr_store_backup *b;
    struct fx_file file;
    struct fx_chunk chunks[16];
    int rc = fx_begin(f, id, time_s, &b, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < nr; i++)
        chunks[i] = fx_chunk(f, seeds[i], 100 + seeds[i] % 1000);
    rc = fx_archive(f, b, "root.pxar.didx", chunks, nr, &file, diag);
    if (rc == PBR_OK)
        rc = fx_manifest(f, b, &snap, &file, 1, diag);
    if (rc == PBR_OK)
        rc = pbr_store_backup_finish(b, diag);
    for (size_t i = 0; i < nr; i++)
        fx_chunk_free(&chunks[i]);
    pbr_store_backup_end(b);
    return rc;
}

static inline void fx_backup_ok(struct fx *f, const char *id, int64_t time_s, const uint64_t *seeds, size_t nr)
{
    struct pbr_diag diag = { 0 };
    if (fx_backup(f, id, time_s, seeds, nr, &diag) != PBR_OK)
        fail_msg("%s", diag.text);
}

/* A call that must fail with this code, rule and exact text. */
#define check_text(call, want_code, want_rule, want_text)                                          \
    do {                                                                                           \
        struct pbr_diag check_diag = { 0 };                                                        \
        struct pbr_diag *const diag = &check_diag;                                                 \
        assert_int_equal((call), (want_code));                                                     \
        assert_string_equal(check_diag.text, (want_text));                                         \
        assert_non_null(check_diag.rule);                                                          \
        assert_string_equal(check_diag.rule, (want_rule));                                         \
    } while (0)

#define check_ok(call)                                                                             \
    do {                                                                                           \
        struct pbr_diag check_diag = { 0 };                                                        \
        struct pbr_diag *const diag = &check_diag;                                                 \
        const int check_rc = (call);                                                               \
        if (check_rc != PBR_OK)                                                                    \
            print_error("%s\n", check_diag.text);                                                  \
        (void)diag;                                                                                \
        assert_int_equal(check_rc, PBR_OK);                                                        \
    } while (0)

#endif
