/* SPDX-License-Identifier: MIT */
/* pbsref chunk: where a file is cut, with digests. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chunk/stream.h"
#include "cli/chunk_script.h"
#include "cli/cli.h"
#include "sys/fd.h"

const struct pbr_opt pbr_opts_chunk[] = {
    { .name = "avg", .type = PBR_OPT_NUMBER, .value = "BYTES", .help = "average chunk size, a power of two (default 4194304)" },
    { .name = "fixed", .type = PBR_OPT_BOOL, .help = "chunks of 4 MiB, as for images" },
    { .name = "script", .type = PBR_OPT_TEXT, .value = "FILE", .help = "play suggested and forced boundaries: lines S o, F b n, D n [times]" },
    { 0 },
};

struct cuts {
    struct pbr_cli *cli;
    const struct pbr_crypt *crypt; /* NULL: plain digests */
    json_t *list;   /* NULL: text */
    uint8_t *spare; /* one buffer is enough: chunks are done with at once */
    uint64_t nr;
};

static int acquire(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag)
{
    struct cuts *c = ctx;
    *ret = c->spare ? c->spare : pbr_realloc(&c->cli->env, NULL, cap);
    c->spare = NULL;
    return *ret ? PBR_OK : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a chunk");
}

static void release(void *ctx, uint8_t *buf)
{
    struct cuts *c = ctx;
    pbr_free(&c->cli->env, c->spare);
    c->spare = buf;
}

static int take(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag)
{
    struct cuts *c = ctx;
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1];
    const int rc = pbr_chunk_digest(c->crypt, pbr_span(buf, len), digest);
    release(c, buf);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    pbr_format_hex(digest, sizeof(digest), hex);
    c->nr++;
    if (c->list)
        json_array_append_new(c->list, json_pack("{s:I, s:I, s:s}", "offset", (json_int_t)start, "size", (json_int_t)len, "digest", hex));
    else
        (void)printf("%" PRIu64 " %zu %s\n", start, len, hex);
    return PBR_OK;
}

static int feed(struct pbr_chunk_stream *chunks, int fd, const char *path, struct pbr_diag *diag)
{
    enum { STEP = 1 << 20 };
    struct pbr_sink sink = pbr_chunk_stream_sink(chunks);
    for (;;) {
        uint8_t *room;
        size_t len;
        int rc = sink.reserve(sink.ctx, STEP, &room, &len, diag);
        if (rc < 0)
            return rc;
        const ssize_t n = pbr_read_some(fd, room, len);
        if (n < 0)
            return pbr_fail_os(diag, errno, "cannot read %s", path);
        if (n == 0)
            return pbr_chunk_stream_finish(chunks, diag);
        rc = sink.commit(sink.ctx, (size_t)n, diag);
        if (rc < 0)
            return rc;
    }
}

static int cut_file(struct pbr_cli *cli, const struct pbr_args *args, const struct pbr_crypt *crypt, struct pbr_diag *diag)
{
    const enum pbr_format format = pbr_output_format(args);
    const char *path = pbr_args_text(args, "file");
    struct cuts cuts = { .cli = cli, .crypt = crypt };
    struct pbr_chunk_stream *chunks;
    const struct pbr_chunk_out out = { .ctx = &cuts, .acquire = acquire, .release = release, .raw = take };
    const struct pbr_chunk_stream_opts opts = { .avg = pbr_args_number(args, "avg", 0), .fixed = pbr_args_bool(args, "fixed") };
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : pbr_openat(AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s", path);
    int rc = pbr_chunk_stream_new(&cli->env, &opts, &out, &chunks, diag);
    if (rc == PBR_OK) {
        cuts.list = format == PBR_FORMAT_TEXT ? NULL : json_array();
        rc = feed(chunks, fd, path, diag);
        pbr_chunk_stream_free(chunks);
    }
    if (rc == PBR_OK && cuts.list)
        rc = pbr_print_json(cuts.list, format, diag);
    json_decref(cuts.list);
    pbr_free(&cli->env, cuts.spare);
    pbr_close(&fd);
    return rc;
}

int pbr_cmd_chunk(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_key_choice key;
    const char *script = pbr_args_text(args, "script");
    if (script)
        return pbr_chunk_script(cli, pbr_args_text(args, "file"), script, pbr_args_number(args, "avg", PBR_CHUNK_AVG_DEFAULT),
                                pbr_output_format(args), diag);
    int rc = pbr_key_load(cli, args, &key, diag);
    if (rc == PBR_OK)
        rc = cut_file(cli, args, key.mode == PBR_CRYPT_NONE ? NULL : &key.crypt, diag);
    pbr_crypt_wipe(&key.crypt);
    return rc;
}
