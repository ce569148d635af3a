/* SPDX-License-Identifier: MIT */
/* How fast chunks are digested, compressed, encrypted, sealed and opened, against memcpy. Usage: prim [ROUNDS] */
#include "bench.h"

#include "base/limits.h"
#include "chunk/seal.h"

enum { SIZE = 4 << 20 };

struct job {
    const struct pbr_env *env;
    struct pbr_span plain;
    uint8_t *out; /* SIZE bytes */
    const struct pbr_crypt *crypt;
    struct pbr_sealer *sealer;
    struct pbr_opener *opener;
    struct pbr_buf blob; /* sealed form of `plain` */
    struct pbr_buf opened;
};

static int run_memcpy(void *ctx)
{
    struct job *j = ctx;
    memcpy(j->out, j->plain.ptr, SIZE);
    return 0;
}

static int run_sha256(void *ctx)
{
    struct job *j = ctx;
    return pbr_sha256(j->plain, pbr_span(NULL, 0), j->out);
}

static int run_crc32(void *ctx)
{
    struct job *j = ctx;
    const uint32_t crc = pbr_crc32(0, j->plain);
    return pbr_crc32(pbr_crc32(0, pbr_span(j->plain.ptr, 1)), pbr_span(j->plain.ptr + 1, SIZE - 1)) != crc;
}

static int run_gcm(void *ctx)
{
    struct job *j = ctx;
    static const uint8_t key[32] = { 1 }, iv[16] = { 2 };
    uint8_t tag[16];
    return pbr_gcm_seal(key, iv, j->plain, j->out, tag);
}

static int run_seal(void *ctx)
{
    struct job *j = ctx;
    pbr_buf_clear(&j->blob);
    return pbr_seal(j->sealer, j->crypt, true, j->plain, &j->blob, NULL);
}

static int run_open(void *ctx)
{
    struct job *j = ctx;
    struct pbr_span plain;
    const struct pbr_open_opts opts = { .crypt = j->crypt, .has_len = true, .len = SIZE };
    pbr_buf_clear(&j->opened);
    const int rc = pbr_open_blob(j->opener, pbr_buf_span(&j->blob), &opts, &j->opened, &plain, NULL);
    return rc < 0 || !pbr_span_eq(plain, j->plain);
}

/* Words of a small vocabulary: what level 1 halves or better, like logs and sources. */
static void fill_text(uint8_t *out, size_t len)
{
    static const char *const words[] = { "the ", "archive ", "chunk ", "index ", "entry\n",
                                         "of ",  "0x",       "size=",  "{ ",     "} " };
    uint8_t choice[4096];
    for (size_t pos = 0, round = 0; pos < len; round++) {
        bench_random(choice, sizeof(choice), round);
        for (size_t i = 0; i < sizeof(choice) && pos < len; i++) {
            const char *word = words[choice[i] % (sizeof(words) / sizeof(words[0]))];
            for (size_t k = 0; word[k] && pos < len; k++)
                out[pos++] = (uint8_t)word[k];
        }
    }
}

static int job_init(struct job *j, const struct pbr_env *env, struct pbr_span plain, const struct pbr_crypt *crypt)
{
    *j = (struct job){ .env = env, .plain = plain, .crypt = crypt };
    pbr_buf_init(&j->blob, env, PBR_CHUNK_RAW_MAX);
    pbr_buf_init(&j->opened, env, PBR_CHUNK_MAX);
    j->out = pbr_realloc(env, NULL, SIZE);
    if (!j->out || pbr_sealer_new(env, &j->sealer) < 0 || pbr_opener_new(env, &j->opener) < 0)
        return PBR_E_NOMEM;
    return PBR_OK;
}

static void job_release(struct job *j)
{
    pbr_free(j->env, j->out);
    pbr_buf_release(&j->blob);
    pbr_buf_release(&j->opened);
    pbr_sealer_free(j->sealer);
    pbr_opener_free(j->opener);
}

static int measure(struct job *noise, struct job *text, struct job *secret, unsigned rounds)
{
    struct figure figures[] = {
        { .name = "prim.memcpy", .run = run_memcpy, .ctx = noise },
        { .name = "prim.sha256", .run = run_sha256, .ctx = noise },
        { .name = "prim.crc32", .run = run_crc32, .ctx = noise, .bytes = 2 * SIZE },
        { .name = "prim.aes256gcm", .run = run_gcm, .ctx = noise },
        { .name = "seal.noise", .run = run_seal, .ctx = noise },
        { .name = "open.noise", .run = run_open, .ctx = noise },
        { .name = "seal.text", .run = run_seal, .ctx = text },
        { .name = "open.text", .run = run_open, .ctx = text },
        { .name = "seal.noise.encrypted", .run = run_seal, .ctx = secret },
        { .name = "open.noise.encrypted", .run = run_open, .ctx = secret },
    };
    const size_t nr = sizeof(figures) / sizeof(figures[0]);
    for (size_t i = 0; i < nr; i++) {
        figures[i].unit = "MB/s";
        figures[i].bytes = figures[i].bytes ? figures[i].bytes : SIZE;
    }
    return bench_all(figures, nr, rounds);
}

int main(int argc, char **argv)
{
    const unsigned rounds = bench_rounds(argc, argv, 15);
    if (rounds == 0)
        return bench_usage(argv[0]);
    const struct pbr_env env = pbr_sys_env(NULL, NULL);
    static const uint8_t key[32] = { 7 };
    struct pbr_crypt crypt;
    struct job noise = { 0 }, text = { 0 }, secret = { 0 };
    uint8_t *plain = pbr_realloc(&env, NULL, 2 * (size_t)SIZE);
    int status = 1;

    if (!plain || pbr_crypt_init(&crypt, key) < 0)
        goto out;
    bench_random(plain, SIZE, 1);
    fill_text(plain + SIZE, SIZE);
    if (job_init(&noise, &env, pbr_span(plain, SIZE), NULL) == PBR_OK &&
        job_init(&text, &env, pbr_span(plain + SIZE, SIZE), NULL) == PBR_OK &&
        job_init(&secret, &env, pbr_span(plain, SIZE), &crypt) == PBR_OK)
        status = measure(&noise, &text, &secret, rounds);
out:
    if (noise.env)
        job_release(&noise);
    if (text.env)
        job_release(&text);
    if (secret.env)
        job_release(&secret);
    pbr_free(&env, plain);
    return status;
}
