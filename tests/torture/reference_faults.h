/* SPDX-License-Identifier: MIT */
/* A creation on a previous snapshot while memory runs out, the previous snapshot cannot be read or a chunk is refused, at every
 * place in turn: a small tree, the chunks of the creation in memory, and the loop over the places. What the previous snapshot
 * is, and how an archive is made on it, each test says by a `struct design`. */
#ifndef PBR_TEST_REFERENCE_FAULTS_H
#define PBR_TEST_REFERENCE_FAULTS_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/create.h"
#include "chunk/seal.h"
#include "chunk/stream.h"
#include "descriptors.h"
#include "test.h"

enum { FILES = 14, CHUNKS = 64, REFERENCE_MAX = 1 << 20 };

/* What a run leaves behind, and the next one refers to. */
struct made {
    struct pbr_buf reference; /* metadata archive or catalog */
    uint8_t index_file[PBR_INDEX_HDR + CHUNKS * PBR_DIDX_REC]; /* of the chunks */
    size_t chunk_nr;
    uint64_t end;
    struct pbr_index index;
};

struct run {
    struct test_world world;
    struct pbr_env env;
    struct made out;
    struct pbr_chunk_stream *chunks;
    struct pbr_fault chunk_fault;
    struct pbr_create_stats stats;
};

struct design {
    /* An archive of `root` into r->chunks and r->out.reference; previous NULL: the first one. */
    int (*create)(struct run *r, int root, const struct pbr_source *previous, const struct pbr_index *index);
    void (*check_reused)(const struct run *r);  /* nothing failed */
    void (*check_damaged)(const struct run *r); /* a read failed, and it went on all the same */
};

struct fixture {
    const struct design *design;
    char path[64];
    int root;
    struct run *first;
    struct pbr_span reference;
};

/* ---- chunks ---- */

static inline void add_entry(struct made *m, uint64_t size, const uint8_t digest[PBR_DIGEST_LEN])
{
    check(m->chunk_nr < CHUNKS);
    m->end += size;
    pbr_didx_rec_emit(m->end, digest, m->index_file + PBR_INDEX_HDR + m->chunk_nr++ * PBR_DIDX_REC);
}

static inline int acquire(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag)
{
    struct run *r = ctx;
    *ret = pbr_realloc(&r->env, NULL, cap);
    return *ret ? PBR_OK : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a chunk");
}

static inline void release(void *ctx, uint8_t *buf)
{
    struct run *r = ctx;
    pbr_free(&r->env, buf);
}

static inline int take_raw(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag)
{
    struct run *r = ctx;
    uint8_t digest[PBR_DIGEST_LEN];
    check_u64(start, r->out.end);
    check_int(pbr_chunk_digest(NULL, pbr_span(buf, len), digest), PBR_OK);
    release(ctx, buf);
    if (pbr_fault_step(&r->chunk_fault))
        return pbr_fail_at(diag, PBR_E_REMOTE, NULL, "refused");
    add_entry(&r->out, len, digest);
    return PBR_OK;
}

static inline int take_injected(void *ctx, uint64_t boundary, const struct pbr_inject *inj, struct pbr_diag *diag)
{
    struct run *r = ctx;
    check_u64(boundary, r->out.end);
    if (pbr_fault_step(&r->chunk_fault))
        return pbr_fail_at(diag, PBR_E_REMOTE, NULL, "refused");
    for (size_t i = 0; i < inj->chunk_nr; i++)
        add_entry(&r->out, inj->chunks[i].size, inj->chunks[i].digest);
    return PBR_OK;
}

/* Into r->chunks; the caller frees it. */
static inline int open_chunks(struct run *r, struct pbr_diag *diag)
{
    const struct pbr_chunk_out out = {
        .ctx = r, .acquire = acquire, .release = release, .raw = take_raw, .inject = take_injected
    };
    const struct pbr_chunk_stream_opts opts = { .avg = 65536, .payload = true };
    return pbr_chunk_stream_new(&r->env, &opts, &out, &r->chunks, diag);
}

static inline struct run *run_new(void)
{
    struct run *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->env = test_env(&r->world);
    r->chunk_fault.nth = -1;
    pbr_buf_init(&r->out.reference, &r->env, REFERENCE_MAX);
    return r;
}

static inline void run_free(struct run *r)
{
    pbr_buf_release(&r->out.reference);
    check_int(r->world.live_allocs, 0);
    free(r);
}

/* ---- the tree and its first archive ---- */

static inline void name_of(int i, char out[32])
{
    (void)snprintf(out, 32, "%s/f%02d", i < FILES / 2 ? "a" : "b", i);
}

static inline void write_file(int dir, int i)
{
    uint8_t bytes[20000];
    char name[32];
    uint64_t rng = (uint64_t)i;
    name_of(i, name);
    const int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    for (size_t k = 0; k < sizeof(bytes); k++)
        bytes[k] = (uint8_t)test_next_random(&rng);
    check(fd >= 0 && write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes));
    close(fd);
}

static inline int set_up_design(const struct design *design, void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->design = design;
    (void)snprintf(f->path, sizeof(f->path), "/tmp/pbr-reference-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->root = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(f->root >= 0 && mkdirat(f->root, "a", 0755) == 0 && mkdirat(f->root, "b", 0755) == 0);
    for (int i = 0; i < FILES; i++)
        write_file(f->root, i);
    check(linkat(f->root, "a/f00", f->root, "b/z-link", 0) == 0 && symlinkat("x", f->root, "b/sym") == 0);
    f->first = run_new();
    check_int(design->create(f->first, f->root, NULL, NULL), PBR_OK);
    struct made *m = &f->first->out;
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    pbr_index_hdr_emit(&head, m->index_file);
    const struct pbr_span file = pbr_span(m->index_file, PBR_INDEX_HDR + m->chunk_nr * PBR_DIDX_REC);
    check_int(pbr_index_parse(file, false, &m->index, NULL), PBR_OK);
    f->reference = pbr_buf_span(&m->reference);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < FILES; i++) {
        char name[32];
        name_of(i, name);
        check_int(unlinkat(f->root, name, 0), 0);
    }
    check(unlinkat(f->root, "b/z-link", 0) == 0 && unlinkat(f->root, "b/sym", 0) == 0);
    check(unlinkat(f->root, "a", AT_REMOVEDIR) == 0 && unlinkat(f->root, "b", AT_REMOVEDIR) == 0);
    close(f->root);
    check_int(rmdir(f->path), 0);
    run_free(f->first);
    free(f);
    return 0;
}

/* ---- faults ---- */

enum site { ALLOC, READ, CHUNK };

/* True if the n-th call of the site was reached. */
static inline bool fail_at(const struct fixture *f, enum site site, long nth)
{
    const int descriptors = open_descriptors();
    struct run *r = run_new();
    struct pbr_fault read_fault = { .nth = site == READ ? nth : -1, .sticky = true };
    struct pbr_source_fault faulty = { .inner = pbr_source_mem(&f->reference), .fault = &read_fault };
    const struct pbr_source previous = pbr_source_faulty(&faulty);
    if (site == ALLOC)
        r->world.alloc_fault.nth = nth;
    if (site == CHUNK)
        r->chunk_fault.nth = nth;
    const int rc = f->design->create(r, f->root, &previous, &f->first->out.index);
    const bool hit = site == ALLOC ? r->world.alloc_fault.hit : site == READ ? read_fault.hit : r->chunk_fault.hit;
    if (!hit) {
        check_int(rc, PBR_OK);
        f->design->check_reused(r);
    } else if (site == READ && rc == PBR_OK) {
        check_int(r->world.warnings, 1);
        f->design->check_damaged(r);
    } else {
        check_int(rc, site == ALLOC ? PBR_E_NOMEM : site == READ ? PBR_E_IO : PBR_E_REMOTE);
    }
    run_free(r);
    check_int(open_descriptors(), descriptors);
    return hit;
}

static inline void check_faults(const struct fixture *f, enum site site, long least)
{
    long nth = 0;
    while (fail_at(f, site, nth))
        nth++;
    check(nth >= least);
}

#endif
