/* SPDX-License-Identifier: MIT */
/* How fast data are cut into chunks: the scan alone for three average sizes, and the chunk stream with its
 * copying, against memcpy. Usage: chunk [ROUNDS] */
#include "bench.h"

#include "chunk/stream.h"

enum { SIZE = 64 << 20 };

struct job {
    const uint8_t *data;
    uint8_t *copy;
    uint64_t avg;
    size_t want; /* chunks, as recorded in spec/vectors/chunker.json for this data */
    bool payload;
    const struct pbr_env *env;
    uint8_t *spare[3]; /* buffers not in use, kept over the rounds; a job streams with one buffer size only */
    size_t spare_nr;
    size_t seen;
};

static int run_memcpy(void *ctx)
{
    struct job *j = ctx;
    memcpy(j->copy, j->data, SIZE);
    return 0;
}

static int run_scan(void *ctx)
{
    struct job *j = ctx;
    struct pbr_cut cut;
    if (pbr_cut_init(&cut, j->avg, PBR_FIND_AUTO, NULL) < 0)
        return 1;
    size_t pos = 0, nr = 0;
    while (pos < SIZE) {
        const size_t n = pbr_cut_push(&cut, pbr_span(j->data + pos, SIZE - pos));
        pos += n ? n : SIZE - pos;
        nr++;
    }
    return nr != j->want;
}

/* Every byte hashed: no cut resets the window, no minimum skips. */
static int run_find(void *ctx)
{
    struct job *j = ctx;
    struct pbr_find find;
    if (pbr_find_init(&find, j->avg, PBR_FIND_AUTO, NULL) < 0)
        return 1;
    size_t nr = 0;
    for (size_t pos = PBR_CHUNK_WINDOW; pos < SIZE; nr++)
        pos = pbr_find_candidate(&find, j->data, pos, SIZE) + 1;
    return nr == 0;
}

static int acquire(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag)
{
    struct job *j = ctx;
    (void)diag;
    *ret = j->spare_nr ? j->spare[--j->spare_nr] : pbr_realloc(j->env, NULL, cap);
    return *ret ? PBR_OK : PBR_E_NOMEM;
}

static void release(void *ctx, uint8_t *buf)
{
    struct job *j = ctx;
    j->spare[j->spare_nr++] = buf; /* at most two are out at a time */
}

static int raw(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag)
{
    struct job *j = ctx;
    (void)len;
    (void)start;
    (void)diag;
    j->seen++;
    release(ctx, buf);
    return PBR_OK;
}

static int inject(void *ctx, uint64_t boundary, const struct pbr_inject *inj, struct pbr_diag *diag)
{
    (void)ctx;
    (void)boundary;
    (void)inj;
    (void)diag;
    return PBR_E_STATE; /* none is made here */
}

static int run_stream(void *ctx)
{
    struct job *j = ctx;
    const struct pbr_chunk_stream_opts opts = { .avg = j->avg, .payload = j->payload };
    const struct pbr_chunk_out out = {
        .ctx = j, .acquire = acquire, .release = release, .raw = raw, .inject = inject
    };
    struct pbr_chunk_stream *cs;
    j->seen = 0;
    if (pbr_chunk_stream_new(j->env, &opts, &out, &cs, NULL) < 0)
        return 1;
    struct pbr_sink sink = pbr_chunk_stream_sink(cs);
    int rc = pbr_sink_write(&sink, pbr_span(j->data, SIZE), NULL);
    if (rc == PBR_OK)
        rc = pbr_chunk_stream_finish(cs, NULL);
    pbr_chunk_stream_free(cs);
    return rc < 0 || j->seen != j->want;
}

int main(int argc, char **argv)
{
    const unsigned rounds = bench_rounds(argc, argv, 7);
    if (rounds == 0)
        return bench_usage(argv[0]);
    const struct pbr_env env = pbr_sys_env(NULL, NULL);
    uint8_t *data = pbr_realloc(&env, NULL, SIZE), *copy = pbr_realloc(&env, NULL, SIZE);
    if (!data || !copy) {
        fprintf(stderr, "%s: out of memory\n", argv[0]);
        return 1;
    }
    bench_random(data, SIZE, 1);

    struct job avg_64k = { .data = data, .copy = copy, .avg = 65536, .want = 1055, .env = &env };
    struct job avg_512k = { .data = data, .avg = 524288, .want = 129, .env = &env };
    struct job avg_4m = { .data = data, .avg = 4194304, .want = 20, .env = &env };
    struct job payload_4m = { .data = data, .avg = 4194304, .want = 20, .payload = true, .env = &env };
    struct figure figures[] = {
        { .name = "chunk.memcpy", .run = run_memcpy, .ctx = &avg_64k },
        { .name = "chunk.scan.64KiB", .run = run_scan, .ctx = &avg_64k },
        { .name = "chunk.scan.512KiB", .run = run_scan, .ctx = &avg_512k },
        { .name = "chunk.scan.4MiB", .run = run_scan, .ctx = &avg_4m },
        { .name = "chunk.find.4MiB", .run = run_find, .ctx = &avg_4m },
        { .name = "chunk.stream.64KiB", .run = run_stream, .ctx = &avg_64k },
        { .name = "chunk.stream.4MiB", .run = run_stream, .ctx = &avg_4m },
        { .name = "chunk.stream.payload.4MiB", .run = run_stream, .ctx = &payload_4m },
    };
    const size_t nr = sizeof(figures) / sizeof(figures[0]);
    for (size_t i = 0; i < nr; i++) {
        figures[i].unit = "MB/s";
        figures[i].bytes = SIZE;
    }
    const int status = bench_all(figures, nr, rounds);
    for (size_t i = 0; i < nr; i++) {
        struct job *j = figures[i].ctx;
        while (j->spare_nr)
            pbr_free(&env, j->spare[--j->spare_nr]);
    }
    pbr_free(&env, data);
    pbr_free(&env, copy);
    return status;
}
