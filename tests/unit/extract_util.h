/* SPDX-License-Identifier: MIT */
/* For tests of extraction: archives written item by item (also bad ones), scratch directories,
 * programs run without a shell, and a target whose nth operation fails. */
#ifndef PBR_TEST_EXTRACT_UTIL_H
#define PBR_TEST_EXTRACT_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/extract.h"
#include "base/limits.h"
#include "test.h"

extern char **environ;

/* ---- processes and scratch directories ---- */

/* Runs a program, waits, returns its exit status (or 255 if it died). */
static inline int run_program(const char *const *argv)
{
    pid_t pid;
    int status = 0;
    char *const *args = (char *const *)(uintptr_t)argv;
    fflush(stdout);
    if (posix_spawnp(&pid, argv[0], NULL, NULL, args, environ) != 0)
        return 255;
    if (waitpid(pid, &status, 0) != pid)
        return 255;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

struct scratch {
    char path[64];
};

static inline struct scratch scratch_make(void)
{
    const char *base = getenv("TMPDIR");
    struct scratch s;
    const int n = snprintf(s.path, sizeof(s.path), "%s/pbr-extract-XXXXXX",
                           base && strlen(base) < 40 ? base : "/tmp");
    assert_true(n > 0 && (size_t)n < sizeof(s.path));
    assert_non_null(mkdtemp(s.path));
    return s;
}

static inline void scratch_remove(const struct scratch *s)
{
    const char *const argv[] = { "rm", "-rf", "--one-file-system", s->path, NULL };
    assert_int_equal(run_program(argv), 0);
}

/* "scratch/name"; the caller frees. */
static inline char *scratch_path(const struct scratch *s, const char *name)
{
    char *out = NULL;
    assert_true(asprintf(&out, "%s/%s", s->path, name) > 0);
    return out;
}

static inline void put_file(const char *dir, const char *name, const char *content)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(content, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0644), 0);
    free(path);
}

/* The whole file as text (NUL behind it), or NULL if it cannot be opened or is a link; the caller
 * frees. */
static inline char *get_file(const char *dir, const char *name)
{
    char *path = NULL;
    char *out = NULL;
    struct stat st;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    free(path);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        out = calloc(1, (size_t)st.st_size + 1);
        assert_non_null(out);
        assert_int_equal(read(fd, out, (size_t)st.st_size), st.st_size);
    }
    close(fd);
    return out;
}

static inline bool stat_in(const char *dir, const char *name, struct stat *ret)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    const int rc = lstat(path, ret);
    free(path);
    return rc == 0;
}

/* ---- archives, item by item ---- */

struct arch {
    struct test_world world;
    struct pbr_env env;
    struct pbr_buf out;
};

static inline void arch_init(struct arch *a)
{
    a->env = test_env(&a->world);
    pbr_buf_init(&a->out, &a->env, 256 << 20);
}

static inline void arch_release(struct arch *a)
{
    pbr_buf_release(&a->out);
}

static inline void arch_item(struct arch *a, uint64_t htype, const void *content, size_t len)
{
    uint8_t hdr[PBR_PXAR_HDR];
    pbr_pxar_hdr_emit(hdr, htype, len);
    assert_int_equal(pbr_buf_append(&a->out, pbr_span(hdr, sizeof(hdr))), PBR_OK);
    if (len)
        assert_int_equal(pbr_buf_append(&a->out, pbr_span(content, len)), PBR_OK);
}

static inline void arch_name_n(struct arch *a, const void *name, size_t len)
{
    uint8_t bytes[8192] = { 0 };
    assert_true(len < sizeof(bytes));
    memcpy(bytes, name, len);
    arch_item(a, PBR_PXAR_FILENAME, bytes, len + 1);
}

static inline void arch_name(struct arch *a, const char *name)
{
    arch_name_n(a, name, strlen(name));
}

/* ENTRY of the caller's own ids, so that tests need no privileges. */
static inline void arch_entry_full(struct arch *a, uint64_t mode, uint64_t flags, int64_t s,
                                   uint32_t ns)
{
    uint8_t e[PBR_PXAR_ENTRY_LEN] = { 0 };
    pbr_put_u64le(e, mode);
    pbr_put_u64le(e + 8, flags);
    pbr_put_u32le(e + 16, geteuid());
    pbr_put_u32le(e + 20, getegid());
    pbr_put_u64le(e + 24, (uint64_t)s);
    pbr_put_u32le(e + 32, ns);
    arch_item(a, PBR_PXAR_ENTRY, e, sizeof(e));
}

static inline void arch_entry(struct arch *a, uint64_t mode)
{
    arch_entry_full(a, mode, 0, 1700000000, 5);
}

static inline void arch_root(struct arch *a)
{
    arch_entry(a, PBR_MODE_DIR | 0755);
}

static inline void arch_dir(struct arch *a, const char *name)
{
    arch_name(a, name);
    arch_entry(a, PBR_MODE_DIR | 0750);
}

static inline void arch_end(struct arch *a)
{
    uint8_t tail[PBR_PXAR_GOODBYE_REC] = { 0 };
    pbr_put_u64le(tail, PBR_PXAR_GOODBYE_TAIL);
    pbr_put_u64le(tail + 16, PBR_PXAR_HDR + PBR_PXAR_GOODBYE_REC);
    arch_item(a, PBR_PXAR_GOODBYE, tail, sizeof(tail));
}

static inline void arch_file(struct arch *a, const char *name, const void *content, size_t len)
{
    arch_name(a, name);
    arch_entry(a, PBR_MODE_REG | 0640);
    arch_item(a, PBR_PXAR_PAYLOAD, content, len);
}

static inline void arch_text(struct arch *a, const char *name, const char *content)
{
    arch_file(a, name, content, strlen(content));
}

static inline void arch_symlink(struct arch *a, const char *name, const char *link_target)
{
    arch_name(a, name);
    arch_entry(a, PBR_MODE_SYMLINK | 0777);
    arch_item(a, PBR_PXAR_SYMLINK, link_target, strlen(link_target) + 1);
}

/* The offset points to the first FILENAME; extraction does not use it [EXT-037]. */
static inline void arch_hardlink(struct arch *a, const char *name, const char *path,
                                 size_t path_len)
{
    uint8_t content[4200] = { 0 };
    assert_true(path_len < 4100);
    pbr_put_u64le(content, a->out.len - (PBR_PXAR_HDR + PBR_PXAR_ENTRY_LEN));
    memcpy(content + 8, path, path_len);
    arch_name(a, name);
    arch_item(a, PBR_PXAR_HARDLINK, content, 8 + path_len + 1);
}

/* ---- a target whose nth operation fails ---- */

struct faulty {
    struct pbr_target inner;
    struct pbr_fault fault; /* counts operations that may fail */
    int error;
    int only_close_fails;
    long open_nodes, most_open, operations;
};

static inline int faulty_step(struct faulty *f)
{
    f->operations++;
    return pbr_fault_step(&f->fault) ? -f->error : 0;
}

static inline int faulty_opened(struct faulty *f, int node)
{
    if (node >= 0) {
        f->open_nodes++;
        f->most_open = f->open_nodes > f->most_open ? f->open_nodes : f->most_open;
    }
    return node;
}

#define FAULTY_OP(op, params, args)                                                                \
    static inline int faulty_##op params                                                           \
    {                                                                                              \
        struct faulty *f = ctx;                                                                    \
        const int rc = faulty_step(f);                                                             \
        ctx = f->inner.ctx;                                                                        \
        return rc < 0 ? rc : f->inner.ops->op args;                                                \
    }
#define FAULTY_OPEN(op, params, args)                                                              \
    static inline int faulty_##op params                                                           \
    {                                                                                              \
        struct faulty *f = ctx;                                                                    \
        const int rc = faulty_step(f);                                                             \
        ctx = f->inner.ctx;                                                                        \
        return rc < 0 ? rc : faulty_opened(f, f->inner.ops->op args);                              \
    }

FAULTY_OP(mkdir, (void *ctx, int dir, const char *name, uint32_t mode), (ctx, dir, name, mode))
FAULTY_OPEN(open_dir, (void *ctx, int dir, const char *name), (ctx, dir, name))
FAULTY_OPEN(open_up, (void *ctx, int dir), (ctx, dir))
FAULTY_OPEN(open_node, (void *ctx, int dir, const char *name), (ctx, dir, name))
FAULTY_OPEN(create, (void *ctx, int dir, const char *name, uint32_t mode), (ctx, dir, name, mode))
FAULTY_OPEN(open_empty, (void *ctx, int dir, const char *name), (ctx, dir, name))
FAULTY_OP(stat_name, (void *ctx, int dir, const char *name, struct pbr_target_stat *ret),
          (ctx, dir, name, ret))
FAULTY_OP(unlink, (void *ctx, int dir, const char *name), (ctx, dir, name))
FAULTY_OP(symlink, (void *ctx, int dir, const char *name, const char *to), (ctx, dir, name, to))
FAULTY_OP(mknod, (void *ctx, int dir, const char *name, uint32_t mode, uint64_t dev),
          (ctx, dir, name, mode, dev))
FAULTY_OP(link, (void *ctx, int root, const char *path, int dir, const char *name),
          (ctx, root, path, dir, name))
FAULTY_OPEN(open_path, (void *ctx, int root, const char *path), (ctx, root, path))
FAULTY_OP(stat, (void *ctx, int node, struct pbr_target_stat *ret), (ctx, node, ret))
FAULTY_OP(write_at, (void *ctx, int node, uint64_t off, struct pbr_span in), (ctx, node, off, in))
FAULTY_OP(set_size, (void *ctx, int node, uint64_t size), (ctx, node, size))
FAULTY_OP(set_owner, (void *ctx, int node, uint32_t uid, uint32_t gid), (ctx, node, uid, gid))
FAULTY_OP(set_xattr, (void *ctx, int node, const char *name, struct pbr_span value),
          (ctx, node, name, value))
FAULTY_OP(set_mode, (void *ctx, int node, uint32_t mode), (ctx, node, mode))
FAULTY_OP(set_mtime, (void *ctx, int node, int64_t s, uint32_t ns), (ctx, node, s, ns))
FAULTY_OP(get_inode_flags, (void *ctx, int node, uint32_t *ret), (ctx, node, ret))
FAULTY_OP(set_inode_flags, (void *ctx, int node, uint32_t bits), (ctx, node, bits))
FAULTY_OP(set_fat_attrs, (void *ctx, int node, uint32_t bits), (ctx, node, bits))
FAULTY_OP(set_projid, (void *ctx, int node, uint32_t projid), (ctx, node, projid))

static inline int faulty_close(void *ctx, int node)
{
    struct faulty *f = ctx;
    f->open_nodes--;
    const int rc = f->inner.ops->close(f->inner.ctx, node);
    const int fault = faulty_step(f); /* closed in any case */
    return fault < 0 ? fault : rc;
}

static const struct pbr_target_ops faulty_ops = {
    .mkdir = faulty_mkdir,
    .open_dir = faulty_open_dir,
    .open_up = faulty_open_up,
    .open_node = faulty_open_node,
    .create = faulty_create,
    .open_empty = faulty_open_empty,
    .stat_name = faulty_stat_name,
    .unlink = faulty_unlink,
    .symlink = faulty_symlink,
    .mknod = faulty_mknod,
    .link = faulty_link,
    .open_path = faulty_open_path,
    .stat = faulty_stat,
    .write_at = faulty_write_at,
    .set_size = faulty_set_size,
    .set_owner = faulty_set_owner,
    .set_xattr = faulty_set_xattr,
    .set_mode = faulty_set_mode,
    .set_mtime = faulty_set_mtime,
    .get_inode_flags = faulty_get_inode_flags,
    .set_inode_flags = faulty_set_inode_flags,
    .set_fat_attrs = faulty_set_fat_attrs,
    .set_projid = faulty_set_projid,
    .close = faulty_close,
};

static inline struct pbr_target faulty_target(struct faulty *f, struct pbr_target inner)
{
    *f = (struct faulty){ .inner = inner, .fault = { .nth = -1 }, .error = EIO };
    return (struct pbr_target){ &faulty_ops, f, inner.root };
}

/* ---- one extraction, its result and what it said ---- */

struct outcome {
    int rc;
    struct pbr_diag diag;
    struct pbr_extract_stats stats;
    char said[8192]; /* texts of all notes, one below the other, without empty lines */
    char last_rule[32];
    char incomplete[4096]; /* path of the last incomplete file */
    unsigned notes, errors, warnings, infos, progress_calls;
    unsigned cancel_at; /* progress call that cancels; 0: none */
    struct pbr_span prelude;
    unsigned prelude_calls;
    struct test_world world;
};

static inline void outcome_say(struct outcome *o, const char *text)
{
    size_t len = strlen(o->said);
    for (; *text && len + 2 < sizeof(o->said); text++)
        if (*text != '\n' || (len && o->said[len - 1] != '\n'))
            o->said[len++] = *text;
    o->said[len++] = '\n';
    o->said[len] = 0;
}

static inline void outcome_report(void *ctx, const struct pbr_extract_note *note)
{
    struct outcome *o = ctx;
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_buf text;
    o->notes++;
    o->errors += note->level == PBR_EXTRACT_ERROR;
    o->warnings += note->level == PBR_EXTRACT_WARN;
    o->infos += note->level == PBR_EXTRACT_INFO;
    (void)snprintf(o->last_rule, sizeof(o->last_rule), "%s", note->rule ? note->rule : "");
    if (note->incomplete)
        (void)snprintf(o->incomplete, sizeof(o->incomplete), "%.*s", (int)note->path.len,
                       (const char *)note->path.ptr);
    pbr_buf_init(&text, &env, 1 << 20);
    assert_int_equal(pbr_extract_note_text(note, false, &text), PBR_OK);
    outcome_say(o, pbr_buf_cstr(&text));
    pbr_buf_release(&text);
}

static inline int outcome_progress(void *ctx, const struct pbr_extract_stats *so_far)
{
    struct outcome *o = ctx;
    (void)so_far;
    o->progress_calls++;
    return o->cancel_at && o->progress_calls >= o->cancel_at ? PBR_E_CANCELED : PBR_OK;
}

static inline int outcome_prelude(void *ctx, struct pbr_span prelude, struct pbr_diag *diag)
{
    struct outcome *o = ctx;
    (void)diag;
    o->prelude = prelude; /* only ptr NULL or not, and the length, are looked at later */
    o->prelude_calls++;
    return PBR_OK;
}

/* Extracts `archive` (and `payload`, ptr NULL: none) into `target`. `o` may hold cancel_at and an
 * allocation fault. */
static inline void extract_to(struct outcome *o, struct pbr_span archive, struct pbr_span payload,
                              const struct pbr_target *target, struct pbr_extract_opts opts,
                              size_t step)
{
    struct pbr_stream_mem meta_mem = { .in = archive, .step = step };
    struct pbr_stream_mem payload_mem = { .in = payload, .step = step };
    struct pbr_stream meta_stream = pbr_stream_mem(&meta_mem);
    struct pbr_stream payload_stream = pbr_stream_mem(&payload_mem);
    struct pbr_reader *reader = NULL;
    const struct pbr_fault wanted = o->world.alloc_fault;
    struct pbr_env env = test_env(&o->world);
    if (wanted.nth > 0 || wanted.hit)
        o->world.alloc_fault = wanted;
    o->rc = pbr_reader_open(&env, &meta_stream, payload.ptr ? &payload_stream : NULL, &reader,
                            &o->diag);
    if (o->rc == PBR_OK) {
        opts.report = outcome_report;
        opts.progress = outcome_progress;
        opts.prelude = outcome_prelude;
        opts.ctx = o;
        o->rc = pbr_extract(&env, reader, target, &opts, &o->stats, &o->diag);
    }
    pbr_reader_free(reader);
    assert_int_equal(o->world.live_allocs, 0);
}

/* The same into directory `dir`, created if missing. */
static inline void extract_dir(struct outcome *o, struct pbr_span archive, const char *dir,
                               struct pbr_extract_opts opts)
{
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target target;
    *o = (struct outcome){ .world = { .alloc_fault = { .nth = -1 } } };
    assert_int_equal(pbr_target_fs_open(&env, dir, &target, NULL), PBR_OK);
    extract_to(o, archive, pbr_span(NULL, 0), &target, opts, 0);
    pbr_target_close(&target);
    assert_int_equal(world.live_allocs, 0);
}

#endif
