/* SPDX-License-Identifier: MIT */
/* pbsref catalog dump [CAT-080 .. CAT-083, CLI-070] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/read.h"
#include "cli/cli.h"
#include "client/restore.h"
#include "format/catalog.h"
#include "format/quote.h"
#include "sys/env.h"

enum { LINE_MAX_BYTES = 128 << 20 };

/* One line to stderr, as the original does: type, quoted path, for files size and local time. */
static int print_line(struct pbr_cli *cli, char type, const char *prefix, struct pbr_span path, uint64_t size,
                      int64_t mtime_s, struct pbr_diag *diag)
{
    struct pbr_buf whole, line;
    char when[64];
    pbr_buf_init(&whole, &cli->env, LINE_MAX_BYTES);
    pbr_buf_init(&line, &cli->env, LINE_MAX_BYTES);
    int rc = pbr_buf_printf(&whole, "./%s", prefix);
    if (rc == PBR_OK)
        rc = pbr_buf_append(&whole, path);
    if (rc == PBR_OK)
        rc = pbr_buf_printf(&line, "%c ", type);
    if (rc == PBR_OK)
        rc = pbr_quote(pbr_buf_span(&whole), &line);
    if (rc == PBR_OK && type == 'f') {
        pbr_sys_format_local(mtime_s, PBR_TIME_ISO, when);
        rc = when[0] ? pbr_buf_printf(&line, " %" PRIu64 " %s", size, when)
                     : pbr_buf_printf(&line, " %" PRIu64 " %" PRId64, size, mtime_s);
    }
    if (rc == PBR_OK && cli->level >= PBR_LOG_INFO) {
        (void)fwrite(line.ptr, 1, line.len, stderr);
        (void)fputc('\n', stderr);
    }
    pbr_buf_release(&line);
    pbr_buf_release(&whole);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "no memory for a line") : PBR_OK;
}

/* ---- with a catalog ---- */

/* The draft's entries show as what they are to a user [APX-082]. */
static char catalog_letter(const struct pbr_pcat_entry *e)
{
    return e->type == PBR_PCAT_REF ? 'f' : e->type == PBR_PCAT_ARCHIVE ? 'd' : (char)e->type;
}

static int dump_catalog(struct pbr_cli *cli, const struct pbr_source *src, struct pbr_diag *diag)
{
    struct pbr_pcat *cat;
    struct pbr_pcat_walk *walk = NULL;
    struct pbr_pcat_entry e;
    int rc = pbr_pcat_open(&cli->env, src, &cat, diag);
    if (rc < 0)
        return rc;
    rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, diag);
    while (rc >= 0 && (rc = pbr_pcat_walk_next(walk, &e, diag)) > 0)
        rc = print_line(cli, catalog_letter(&e), "", pbr_pcat_walk_path(walk), e.size, e.mtime_s, diag);
    pbr_pcat_walk_free(walk);
    pbr_pcat_free(cat);
    return rc;
}

static int dump_from_catalog(struct pbr_cli *cli, struct pbr_restore *restore, struct pbr_diag *diag)
{
    struct pbr_restore_archive a;
    struct pbr_source src;
    int rc = pbr_restore_find(restore, "catalog.pcat1.didx", &a, diag);
    if (rc < 0)
        return rc;
    rc = pbr_restore_source(restore, &a.index, &src, diag);
    if (rc == PBR_OK) {
        rc = dump_catalog(cli, &src, diag);
        pbr_source_close(&src);
    }
    pbr_restore_archive_release(&a);
    return rc;
}

/* ---- without: the metadata archives (CAT-083) ---- */

static char type_letter(const struct pbr_pxar_entry *e)
{
    switch (e->kind) {
    case PBR_KIND_DIR:
        return 'd';
    case PBR_KIND_FILE:
    case PBR_KIND_APPENDIX_REF:
        return 'f';
    case PBR_KIND_SYMLINK:
        return 'l';
    case PBR_KIND_HARDLINK:
        return 'h';
    case PBR_KIND_FIFO:
        return 'p';
    case PBR_KIND_SOCKET:
        return 's';
    case PBR_KIND_DEVICE:
        break;
    }
    return (e->meta.mode & PBR_MODE_TYPE) == PBR_MODE_BLOCK  ? 'b'
           : (e->meta.mode & PBR_MODE_TYPE) == PBR_MODE_CHAR ? 'c'
                                                              : 0;
}

static int dump_metadata(struct pbr_cli *cli, struct pbr_stream *archive, const char *prefix, struct pbr_diag *diag)
{
    struct pbr_reader *reader;
    struct pbr_pxar_event ev;
    const struct pbr_reader_opts opts = { .meta_only = true };
    int rc = pbr_reader_open_opts(&cli->env, archive, NULL, &opts, &reader, diag);
    if (rc < 0)
        return rc;
    while ((rc = pbr_reader_next(reader, &ev, diag)) == PBR_OK && ev.ev != PBR_PXAR_EV_END) {
        const char type = ev.ev == PBR_PXAR_EV_ENTRY && ev.depth > 0 ? type_letter(&ev.entry) : 0;
        if (type)
            rc = print_line(cli, type, prefix, pbr_reader_path(reader), ev.entry.size, ev.entry.meta.mtime_s, diag);
        if (rc < 0)
            break;
    }
    pbr_reader_free(reader);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int dump_archive(struct pbr_cli *cli, struct pbr_restore *restore, const char *name, struct pbr_diag *diag)
{
    struct pbr_restore_archive a;
    int rc = pbr_restore_find(restore, name, &a, diag);
    if (rc < 0)
        return rc;
    rc = pbr_restore_streams(restore, &a, true, diag);
    if (rc == PBR_OK)
        rc = dump_metadata(cli, &a.stream, name, diag);
    pbr_restore_archive_release(&a);
    return rc;
}

static int dump_from_archives(struct pbr_cli *cli, struct pbr_restore *restore, struct pbr_diag *diag)
{
    const struct pbr_manifest *m = pbr_restore_manifest(restore);
    const char **names = pbr_alloc(&cli->env, m->file_nr + 1, sizeof(*names));
    size_t n = 0;
    int rc = names ? PBR_OK : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for names");
    for (size_t i = 0; names && i < m->file_nr; i++)
        if (pbr_name_is_metadata(pbr_span_str(m->files[i].name)))
            names[n++] = m->files[i].name;
    if (rc == PBR_OK && n == 0)
        rc = pbr_fail_at(diag, PBR_E_NOENT, "CAT-083", "snapshot has neither a catalog nor a metadata archive");
    if (names)
        qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n && rc == PBR_OK; i++)
        rc = dump_archive(cli, restore, names[i], diag);
    pbr_free(&cli->env, names);
    return rc;
}

int pbr_cmd_catalog_dump(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    const char *ns;
    struct pbr_client *client;
    struct pbr_restore *restore = NULL;
    struct pbr_snapshot snapshot;
    struct pbr_key_choice key = { 0 };
    int rc = pbr_snapshot_parse(pbr_span_str(pbr_args_text(args, "snapshot")), &snapshot, diag);
    if (rc == PBR_OK)
        rc = pbr_namespace(args, &ns, diag);
    if (rc == PBR_OK)
        rc = pbr_key_load(cli, args, &key, diag);
    if (rc == PBR_OK)
        rc = pbr_cli_connect(cli, args, &client, diag);
    if (rc < 0) {
        pbr_crypt_wipe(&key.crypt);
        return rc;
    }
    rc = pbr_restore_open(&cli->env, client, ns, &snapshot, pbr_key_announce(cli, &key), &restore, diag);
    if (rc == PBR_OK)
        rc = pbr_manifest_find(pbr_restore_manifest(restore), "catalog.pcat1.didx")
                 ? dump_from_catalog(cli, restore, diag)
                 : dump_from_archives(cli, restore, diag);
    pbr_restore_close(restore);
    pbr_cli_disconnect(cli, client);
    pbr_crypt_wipe(&key.crypt);
    return rc;
}
