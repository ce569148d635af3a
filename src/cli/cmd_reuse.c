/* SPDX-License-Identifier: MIT */
/* pbsref reuse plan: what a backup in metadata mode would re-use of a previous archive, by the same code, without server:
 * the metadata archive is written, the payload stream is only cut and hashed [CDM-040 .. CDM-097]. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "archive/read.h"
#include "base/limits.h"
#include "chunk/seal.h"
#include "cli/reuse_out.h"
#include "client/reference.h"
#include "sys/fd.h"

enum { IO_BUFFER = 1 << 20 };

const struct pbr_opt pbr_opts_reuse_plan[] = {
    { .name = "reference-archive", .type = PBR_OPT_TEXT, .value = "FILE", .help = "previous metadata archive (.mpxar); required" },
    { .name = "reference-index", .type = PBR_OPT_TEXT, .value = "FILE", .help = "index of its payload stream (.ppxar.didx); required" },
    { .name = "metadata-output", .type = PBR_OPT_TEXT, .value = "FILE", .help = "keep the new metadata archive as this new file" },
    { .name = "chunk-size", .type = PBR_OPT_NUMBER, .value = "KIB", .help = "average chunk size, a power of two (default 4096)",
      .min = 64, .max = 4096 },
    { .name = "exclude", .type = PBR_OPT_LIST, .value = "PATTERN", .help = "leave out what matches; may be repeated" },
    { .name = "cache-limit", .type = PBR_OPT_NUMBER, .value = "N", .help = "entries that wait for a decision at most (default 512)",
      .min = 1, .max = 1 << 20 },
    { 0 },
};

struct plan {
    struct pbr_cli *cli;
    struct pbr_reference *ref;
    struct pbr_chunk_stream *chunks;
    uint8_t *spare; /* one buffer is enough: chunks are done with at once */
    uint64_t size;  /* of the payload stream so far */
    json_t *suggested, *injections, *index;
};

static int no_memory(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the plan");
}

/* Appends a new reference; takes `item` over, NULL for "could not be made". */
static int append(json_t *list, json_t *item, struct pbr_diag *diag)
{
    return json_array_append_new(list, item) == 0 ? PBR_OK : no_memory(diag);
}

/* ---- payload stream: chunks are noted and dropped ---- */

static int acquire(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag)
{
    struct plan *p = ctx;
    *ret = p->spare ? p->spare : pbr_realloc(&p->cli->env, NULL, cap);
    p->spare = NULL;
    return *ret ? PBR_OK : no_memory(diag);
}

static void release(void *ctx, uint8_t *buf)
{
    struct plan *p = ctx;
    pbr_free(&p->cli->env, p->spare);
    p->spare = buf;
}

static int note_chunk(struct plan *p, const uint8_t *digest, uint64_t size, const char *kind, struct pbr_diag *diag)
{
    char hex[2 * PBR_DIGEST_LEN + 1];
    pbr_format_hex(digest, PBR_DIGEST_LEN, hex);
    p->size += size;
    return append(p->index, json_pack("[I, s, s]", (json_int_t)p->size, hex, kind), diag);
}

static int take_raw(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag)
{
    struct plan *p = ctx;
    uint8_t digest[PBR_DIGEST_LEN];
    (void)start;
    const int rc = pbr_chunk_digest(NULL, pbr_span(buf, len), digest);
    release(p, buf);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "cannot compute a digest") : note_chunk(p, digest, len, "raw", diag);
}

static int take_injected(void *ctx, uint64_t boundary, const struct pbr_inject *inj, struct pbr_diag *diag)
{
    struct plan *p = ctx;
    uint64_t bytes = 0;
    int rc = PBR_OK;
    for (size_t i = 0; i < inj->chunk_nr && rc == PBR_OK; i++) {
        bytes += inj->chunks[i].size;
        rc = note_chunk(p, inj->chunks[i].digest, inj->chunks[i].size, "inject", diag);
    }
    return rc < 0 ? rc : append(p->injections, json_pack("[I, I, I]", (json_int_t)boundary, (json_int_t)bytes,
                                                         (json_int_t)inj->chunk_nr), diag);
}

/* ---- the creation ---- */

static int on_suggest(void *ctx, uint64_t payload_pos, struct pbr_diag *diag)
{
    struct plan *p = ctx;
    const int rc = append(p->suggested, json_integer((json_int_t)payload_pos), diag);
    return rc < 0 ? rc : pbr_chunk_stream_suggest(p->chunks, payload_pos, diag);
}

static int on_decide(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *entry,
                     struct pbr_create_plan *ret, struct pbr_diag *diag)
{
    struct plan *p = ctx;
    return pbr_reference_decide(p->ref, cr, entry, ret, diag);
}

static int on_flush(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    struct plan *p = ctx;
    return pbr_reference_flush(p->ref, cr, diag);
}

static int create_into(struct plan *p, const struct pbr_args *args, int root, int fd, struct pbr_diag *diag)
{
    const char *const *patterns;
    const size_t n = pbr_args_list(args, "exclude", &patterns);
    struct pbr_fd_sink out;
    struct pbr_sink payload = pbr_chunk_stream_sink(p->chunks);
    struct pbr_span *excludes = pbr_alloc(&p->cli->env, n + 1, sizeof(*excludes));
    if (!excludes || pbr_fd_sink_init(&out, &p->cli->env, fd, IO_BUFFER, "the metadata archive") < 0) {
        pbr_free(&p->cli->env, excludes);
        return no_memory(diag);
    }
    for (size_t i = 0; i < n; i++)
        excludes[i] = pbr_span_str(patterns[i]);
    struct pbr_sink archive = pbr_fd_sink(&out);
    const struct pbr_create_opts opts = {
        .excludes = excludes,
        .exclude_nr = n,
        .normalise_excludes = true,
        .hooks = { .ctx = p, .suggest = on_suggest, .decide = on_decide, .flush = on_flush },
    };
    const struct pbr_create_outputs outputs = { &archive, &payload };
    int rc = pbr_create(&p->cli->env, root, pbr_args_text(args, "source"), &outputs, &opts, NULL, diag);
    if (rc == PBR_OK)
        rc = pbr_chunk_stream_finish(p->chunks, diag);
    if (rc == PBR_OK)
        rc = pbr_fd_sink_flush(&out, diag);
    pbr_fd_sink_release(&out);
    pbr_free(&p->cli->env, excludes);
    return rc;
}

/* ---- what came out ---- */

static int note_entry(struct plan *p, struct pbr_span path, const struct pbr_pxar_entry *e, json_t *list,
                      struct pbr_diag *diag)
{
    const struct pbr_env *env = &p->cli->env;
    path = pbr_span_sub(path, 1, path.len - 1); /* "/a/b": from the root on */
    if (e->kind == PBR_KIND_FILE)
        return append(list, json_pack("[o, s, I, I]", pbr_reuse_name_json(env, path), "ref", (json_int_t)e->ref_off, (json_int_t)e->size),
                      diag);
    if (e->kind == PBR_KIND_HARDLINK)
        return append(list, json_pack("[o, s, I, o]", pbr_reuse_name_json(env, path), "hardlink", (json_int_t)e->link_off,
                                      pbr_reuse_name_json(env, e->target)), diag);
    return PBR_OK;
}

/* Files and hard links of the archive that was just written, in its order. */
static int read_references(struct plan *p, int fd, json_t *list, struct pbr_diag *diag)
{
    struct pbr_stream stream;
    struct pbr_reader *reader = NULL;
    struct pbr_pxar_event ev = { .ev = PBR_PXAR_EV_MORE };
    const struct pbr_reader_opts opts = { .meta_only = true };
    if (lseek(fd, 0, SEEK_SET) < 0)
        return pbr_fail_os(diag, errno, "cannot read the metadata archive");
    int rc = pbr_stream_fd(&p->cli->env, fd, false, IO_BUFFER, "the metadata archive", &stream, diag);
    if (rc < 0)
        return rc;
    rc = pbr_reader_open_opts(&p->cli->env, &stream, NULL, &opts, &reader, diag);
    while (rc == PBR_OK && ev.ev != PBR_PXAR_EV_END) {
        rc = pbr_reader_next(reader, &ev, diag);
        if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_ENTRY)
            rc = note_entry(p, pbr_reader_path(reader), &ev.entry, list, diag);
    }
    pbr_reader_free(reader);
    pbr_stream_close(&stream);
    return rc;
}

static json_t *counters_json(const struct pbr_reuse_counts *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "reused_files", (json_int_t)c->reused_files,
                     "reused_size", (json_int_t)c->reused_size, "reencoded_files", (json_int_t)c->reencoded_files,
                     "reencoded_size", (json_int_t)c->reencoded_size, "hardlinks", (json_int_t)c->hardlinks,
                     "injected_chunks", (json_int_t)c->injected_nr, "injected_size", (json_int_t)c->injected_size,
                     "partial_chunks", (json_int_t)c->partial, "padding", (json_int_t)pbr_reuse_padding(c));
}

static int print_plan(struct plan *p, const struct pbr_args *args, int fd, struct pbr_diag *diag)
{
    const struct pbr_reuse_counts counts = pbr_reference_counts(p->ref);
    const enum pbr_format format = pbr_output_format(args);
    size_t i;
    json_t *item;
    pbr_reference_log_summary(p->ref);
    if (format == PBR_FORMAT_TEXT) {
        json_array_foreach(p->injections, i, item)
            (void)printf("inject at %" JSON_INTEGER_FORMAT ": %" JSON_INTEGER_FORMAT " bytes in %" JSON_INTEGER_FORMAT " chunks\n",
                         json_integer_value(json_array_get(item, 0)), json_integer_value(json_array_get(item, 1)),
                         json_integer_value(json_array_get(item, 2)));
        return PBR_OK;
    }
    json_t *references = json_array();
    int rc = references ? read_references(p, fd, references, diag) : no_memory(diag);
    if (rc == PBR_OK) {
        json_t *root = json_pack("{s:O, s:O, s:O, s:I, s:O, s:o}", "references", references, "injections", p->injections,
                                 "suggested", p->suggested, "payload_size", (json_int_t)p->size, "payload_index", p->index,
                                 "counters", counters_json(&counts));
        rc = root ? pbr_print_json(root, format, diag) : no_memory(diag);
        json_decref(root);
    }
    json_decref(references);
    return rc;
}

/* ---- the command ---- */

static int run_plan(struct plan *p, const struct pbr_args *args, int root, int fd, struct pbr_diag *diag)
{
    const struct pbr_chunk_out out = {
        .ctx = p, .acquire = acquire, .release = release, .raw = take_raw, .inject = take_injected
    };
    struct pbr_chunk_stream_opts opts = { .payload = true };
    int rc = pbr_chunk_size_from(args, &opts.avg, diag);
    if (rc == PBR_OK)
        rc = pbr_chunk_stream_new(&p->cli->env, &opts, &out, &p->chunks, diag);
    if (rc < 0)
        return rc;
    pbr_reference_set_payload(p->ref, p->chunks);
    rc = create_into(p, args, root, fd, diag);
    if (rc == PBR_OK)
        rc = print_plan(p, args, fd, diag);
    pbr_chunk_stream_free(p->chunks);
    pbr_free(&p->cli->env, p->spare);
    return rc;
}

/* The new archive: a file that stays if all goes well, or memory. */
static int with_output(struct plan *p, const struct pbr_args *args, int root, struct pbr_diag *diag)
{
    const char *path = pbr_args_text(args, "metadata-output");
    int fd = path ? pbr_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0640)
                  : memfd_create("pbsref-plan", MFD_CLOEXEC);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot create %s", path ? path : "a file in memory");
    p->suggested = json_array();
    p->injections = json_array();
    p->index = json_array();
    int rc = p->suggested && p->injections && p->index ? run_plan(p, args, root, fd, diag) : no_memory(diag);
    if (rc < 0 && path)
        (void)unlink(path); /* a part of an archive is no archive (CRT-170) */
    json_decref(p->suggested);
    json_decref(p->injections);
    json_decref(p->index);
    pbr_close(&fd);
    return rc;
}

/* Reference from files. */
static int with_reference(struct plan *p, const struct pbr_args *args, int root, struct pbr_diag *diag)
{
    const char *archive_path = pbr_args_text(args, "reference-archive");
    const char *index_path = pbr_args_text(args, "reference-index");
    const uint64_t cache_max = pbr_args_number(args, "cache-limit", PBR_REUSE_CACHE_DEFAULT);
    struct pbr_source archive;
    struct pbr_buf file;
    struct pbr_index index;
    int rc = pbr_load_file(&p->cli->env, AT_FDCWD, index_path, PBR_INDEX_SIZE_MAX, &file, diag);
    if (rc < 0)
        return rc;
    rc = pbr_index_parse(pbr_buf_span(&file), true, &index, diag);
    if (rc < 0)
        pbr_diag_context(diag, "%s", index_path);
    if (rc == PBR_OK)
        rc = pbr_source_open(&p->cli->env, AT_FDCWD, archive_path, &archive, diag);
    if (rc == PBR_OK) {
        rc = pbr_reference_new(&p->cli->env, &archive, &index, cache_max, &p->ref, diag);
        if (rc < 0)
            pbr_diag_context(diag, "%s", archive_path);
        if (rc == PBR_OK)
            rc = with_output(p, args, root, diag);
        pbr_reference_free(p->ref);
        pbr_source_close(&archive);
    }
    pbr_buf_release(&file);
    return rc;
}

int pbr_cmd_reuse_plan(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct plan plan = { .cli = cli };
    const char *source = pbr_args_text(args, "source");
    if (!pbr_args_has(args, "reference-archive") || !pbr_args_has(args, "reference-index"))
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-005", "missing argument: --reference-archive and --reference-index are required");
    int root = pbr_openat(AT_FDCWD, source, O_RDONLY | O_DIRECTORY, 0);
    if (root < 0)
        return pbr_fail_os(diag, errno, "cannot open source directory %s", source);
    const int rc = with_reference(&plan, args, root, diag);
    pbr_close(&root);
    return rc;
}
