/* SPDX-License-Identifier: MIT */
/* `reuse show` as text; see reuse_out.h. */
#include <stdio.h>

#include "cli/reuse_out.h"
#include "client/history_words.h"
#include "client/human.h"

enum { LINE_MAX_BYTES = 256 << 20, NUMBER_MAX = 32 };

static int no_memory(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the report");
}

/* Prints and empties `line`, if it could be made. */
static int say(struct pbr_buf *line, int rc, struct pbr_diag *diag)
{
    if (rc < 0)
        return no_memory(diag);
    (void)printf("  ");
    (void)fwrite(line->ptr, 1, line->len, stdout);
    (void)putchar('\n');
    pbr_buf_clear(line);
    return PBR_OK;
}

static int print_headlines(const struct pbr_history *h, const struct pbr_history_archive *a, struct pbr_diag *diag)
{
    struct pbr_buf line;
    pbr_buf_init(&line, h->env, LINE_MAX_BYTES);
    int rc = say(&line, pbr_words_files(a, &line), diag);
    if (rc == PBR_OK)
        rc = say(&line, pbr_words_bytes(a, h->direct, &line), diag);
    if (rc == PBR_OK)
        rc = say(&line, pbr_words_read(a, &line), diag);
    if (rc == PBR_OK)
        rc = say(&line, pbr_words_padding(a, &line), diag);
    pbr_buf_release(&line);
    return rc;
}

/* ---- tables ---- */

static void number(uint64_t n, char out[NUMBER_MAX])
{
    (void)snprintf(out, NUMBER_MAX, "%" PRIu64, n);
}

static int print_chunks(const struct pbr_history *h, const struct pbr_history_archive *a, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "chunks", false }, { "number", true }, { "bytes", true } };
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    struct pbr_table *table;
    int rc = pbr_table_new(h->env, columns, 3, &table);
    if (rc < 0)
        return no_memory(diag);
    for (int k = 0; k < PBR_REPORT_CHUNK_KINDS && rc == PBR_OK; k++) {
        char nr[NUMBER_MAX], bytes[PBR_HUMAN_MAX];
        const char *cells[] = { pbr_words_chunk((enum pbr_report_chunk_kind)k), nr, bytes };
        number(t->chunks[k].nr, nr);
        pbr_human_size(t->chunks[k].bytes, bytes);
        if (t->chunks[k].nr > 0)
            rc = pbr_table_row(table, cells);
    }
    if (rc == PBR_OK)
        pbr_table_print(table);
    pbr_table_free(table);
    return rc < 0 ? no_memory(diag) : PBR_OK;
}

static int add_file(const struct pbr_env *env, struct pbr_table *table, const struct pbr_report *r, size_t i)
{
    char size[PBR_HUMAN_MAX];
    struct pbr_buf why, name;
    const struct pbr_report_file *f = pbr_report_file(r, i);
    pbr_buf_init(&why, env, LINE_MAX_BYTES);
    pbr_buf_init(&name, env, LINE_MAX_BYTES);
    pbr_human_size_short(pbr_report_entry(r, f)->size, size);
    int rc = pbr_words_why(r, f, &why);
    if (rc == PBR_OK)
        rc = pbr_words_name(pbr_report_entry(r, f)->path, 0, &name);
    const char *cells[] = { size, rc == PBR_OK ? pbr_buf_cstr(&why) : NULL, rc == PBR_OK ? pbr_buf_cstr(&name) : NULL };
    if (rc == PBR_OK)
        rc = cells[1] && cells[2] ? pbr_table_row(table, cells) : PBR_E_NOMEM;
    pbr_buf_release(&name);
    pbr_buf_release(&why);
    return rc;
}

static int print_files(const struct pbr_history *h, const struct pbr_history_archive *a, enum pbr_report_file_kind kind,
                       const char *heading, size_t rows, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "size", true }, { "why", false }, { "file", false } };
    size_t *numbers, nr;
    struct pbr_table *table = NULL;
    if (pbr_report_totals(a->report)->files[kind].nr == 0)
        return PBR_OK;
    int rc = pbr_words_largest(h->env, a->report, kind, &numbers, &nr);
    if (rc < 0)
        return no_memory(diag);
    rc = pbr_table_new(h->env, columns, 3, &table);
    for (size_t i = 0; i < nr && i < rows && rc == PBR_OK; i++)
        rc = add_file(h->env, table, a->report, numbers[i]);
    if (rc == PBR_OK) {
        (void)printf(nr > rows ? "\n%s (the largest %zu of %zu):\n" : "\n%s:\n", heading, rows, nr);
        pbr_table_print(table);
    }
    pbr_table_free(table);
    pbr_free(h->env, numbers);
    return rc < 0 ? no_memory(diag) : PBR_OK;
}

static int add_generation(struct pbr_table *table, const struct pbr_generation *g, const char *name)
{
    char when[40], reused[NUMBER_MAX], read[NUMBER_MAX], size[PBR_HUMAN_MAX], padding[PBR_HUMAN_MAX], chunks[NUMBER_MAX],
        injected[NUMBER_MAX], pieces[NUMBER_MAX];
    const struct pbr_history_archive *a = pbr_generation_find(g, name);
    const char *none[] = { when, NULL, NULL, NULL, NULL, NULL, NULL, NULL };
    const char *cells[] = { when, reused, read, size, padding, chunks, injected, pieces };
    pbr_words_time(g->snapshot.time_s, when);
    if (!a)
        return pbr_table_row(table, none);
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    number(t->files[PBR_REPORT_FILE_REUSED].nr, reused);
    number(t->files[PBR_REPORT_FILE_REENCODED].nr + t->files[PBR_REPORT_FILE_NEW].nr, read);
    pbr_human_size_short(a->stored.payload_index.index.size, size);
    pbr_human_size_short(t->padding, padding);
    number(pbr_report_chunk_count(a->report), chunks);
    number(t->injected.nr, injected);
    number(t->pieces, pieces);
    return pbr_table_row(table, cells);
}

static int print_generations(const struct pbr_history *h, size_t first, const char *name, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "snapshot", false }, { "files re-used", true }, { "read", true },
                                                       { "payload", true }, { "padding", true }, { "chunks", true },
                                                       { "re-used", true }, { "pieces", true } };
    struct pbr_table *table;
    int rc = pbr_table_new(h->env, columns, 8, &table);
    if (rc < 0)
        return no_memory(diag);
    for (size_t i = first; i < h->nr && rc == PBR_OK; i++)
        rc = add_generation(table, &h->generations[i], name);
    if (rc == PBR_OK) {
        (void)printf("\n");
        pbr_table_print(table);
    }
    pbr_table_free(table);
    return rc < 0 ? no_memory(diag) : PBR_OK;
}

/* ---- all of it ---- */

static int print_archive(const struct pbr_history *h, size_t first, const struct pbr_history_archive *a, size_t rows,
                         struct pbr_diag *diag)
{
    (void)printf("\n%s\n", a->name);
    int rc = print_headlines(h, a, diag);
    (void)printf("\n");
    if (rc == PBR_OK)
        rc = print_chunks(h, a, diag);
    if (rc == PBR_OK)
        rc = print_generations(h, first, a->name, diag);
    if (rc == PBR_OK && a->before)
        rc = print_files(h, a, PBR_REPORT_FILE_REENCODED, "Files that were read again", rows, diag);
    if (rc == PBR_OK && a->before)
        rc = print_files(h, a, PBR_REPORT_FILE_NEW, "New files", rows, diag);
    if (rc == PBR_OK && a->before)
        rc = print_files(h, a, PBR_REPORT_FILE_KEPT, "Files re-used of a snapshot in between", rows, diag);
    return rc;
}

int pbr_reuse_print_text(const struct pbr_history *h, size_t first, size_t rows, struct pbr_diag *diag)
{
    char now[300], before[300];
    const struct pbr_generation *newest = &h->generations[h->nr - 1];
    int rc = PBR_OK;
    pbr_snapshot_format(&newest->snapshot, now, sizeof(now));
    if (h->nr > 1) {
        pbr_snapshot_format(&h->generations[h->nr - 2].snapshot, before, sizeof(before));
        (void)printf("%s against %s%s\n", now, before, h->direct ? ", the snapshot before it" : "");
    } else {
        (void)printf("%s\n", now);
    }
    for (size_t i = 0; i < newest->archive_nr && rc == PBR_OK; i++)
        rc = print_archive(h, first, &newest->archives[i], rows, diag);
    for (size_t i = 0; i < newest->other_nr && rc == PBR_OK; i++)
        (void)printf("%s%s: %s, files in it are never re-used\n", i ? "" : "\n", newest->others[i].name, newest->others[i].what);
    if (rc == PBR_OK && fflush(stdout) != 0)
        rc = pbr_fail_at(diag, PBR_E_IO, NULL, "cannot write to standard output");
    return rc;
}
