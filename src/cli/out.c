/* SPDX-License-Identifier: MIT */
/* Messages, errors, JSON and tables; see cli.h. */
#include <langinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/cli.h"
#include "format/manifest.h"

int pbr_exit_code(int rc)
{
    switch (rc) {
    case PBR_OK:
        return 0;
    case PBR_E_ARG:
        return 2;
    case PBR_E_TRUNCATED:
    case PBR_E_FORMAT:
    case PBR_E_UNSUPPORTED:
    case PBR_E_LIMIT:
    case PBR_E_INTEGRITY:
    case PBR_E_CRYPTO:
        return 3;
    case PBR_E_PROTO:
    case PBR_E_REMOTE:
        return 4;
    case PBR_E_PARTIAL:
        return 5;
    default:
        return 1;
    }
}

int pbr_source_result(int rc)
{
    return rc == PBR_E_LIMIT || rc == PBR_E_UNSUPPORTED ? PBR_E_STATE : rc;
}

void pbr_print_error(const struct pbr_cli *cli, const struct pbr_diag *diag)
{
    char line[PBR_DIAG_TEXT_MAX + 96];
    pbr_diag_format(diag, line, sizeof(line));
    pbr_progress_clear();
    (void)fprintf(stderr, cli->colour ? "\033[31mError:\033[0m %s\n" : "Error: %s\n", line);
}

void pbr_cli_log(void *ctx, enum pbr_log_level level, const char *line)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const struct pbr_cli *cli = ctx;
    if (level > cli->level)
        return;
    pthread_mutex_lock(&lock);
    pbr_progress_clear();
    const bool stressed = cli->colour && level <= PBR_LOG_WARN;
    (void)fprintf(stderr, stressed ? "\033[33m%s\033[0m\n" : "%s\n", line);
    pthread_mutex_unlock(&lock);
}

enum pbr_log_level pbr_log_level_from(const char *text)
{
    if (!text || strcmp(text, "info") == 0)
        return PBR_LOG_INFO;
    if (strcmp(text, "off") == 0 || strcmp(text, "error") == 0)
        return PBR_LOG_ERROR;
    if (strcmp(text, "warn") == 0)
        return PBR_LOG_WARN;
    if (strcmp(text, "debug") == 0 || strcmp(text, "trace") == 0)
        return PBR_LOG_DEBUG;
    (void)fprintf(stderr, "unknown log level '%s', using info (off error warn info debug trace)\n", text);
    return PBR_LOG_INFO;
}

int pbr_output_check(const struct pbr_args *args, struct pbr_diag *diag)
{
    const char *text = getenv("PROXMOX_OUTPUT_FORMAT");
    if (!text || !pbr_args_knows(args, "output-format") || pbr_args_has(args, "output-format"))
        return PBR_OK;
    if (strcmp(text, "text") == 0 || strcmp(text, "json") == 0 || strcmp(text, "json-pretty") == 0)
        return PBR_OK;
    return pbr_fail_at(diag, PBR_E_ARG, "CLI-013", "PROXMOX_OUTPUT_FORMAT: undefined output format '%s' (text, json, json-pretty)", text);
}

enum pbr_format pbr_output_format(const struct pbr_args *args)
{
    const char *text = pbr_args_text(args, "output-format");
    if (!text)
        text = getenv("PROXMOX_OUTPUT_FORMAT");
    if (!text || strcmp(text, "text") == 0)
        return PBR_FORMAT_TEXT;
    return strcmp(text, "json") == 0 ? PBR_FORMAT_JSON : PBR_FORMAT_JSON_PRETTY;
}

int pbr_print_json(const json_t *value, enum pbr_format format, struct pbr_diag *diag)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_SORT_KEYS | (format == PBR_FORMAT_JSON ? JSON_COMPACT : JSON_INDENT(2));
    char *text = json_dumps(value, flags);
    if (!text)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the output");
    const bool ok = puts(text) >= 0 && fflush(stdout) == 0;
    pbr_json_text_free(text);
    return ok ? PBR_OK : pbr_fail_at(diag, PBR_E_IO, NULL, "cannot write to standard output");
}

/* ---- tables ---- */

struct pbr_table {
    const struct pbr_env *env;
    const struct pbr_table_column *columns;
    size_t column_nr;
    char **cells; /* row after row */
    size_t cell_nr, cell_cap;
};

int pbr_table_new(const struct pbr_env *env, const struct pbr_table_column *columns, size_t nr,
                  struct pbr_table **ret)
{
    struct pbr_table *t = pbr_alloc(env, 1, sizeof(*t));
    if (!t)
        return PBR_E_NOMEM;
    *t = (struct pbr_table){ .env = env, .columns = columns, .column_nr = nr };
    *ret = t;
    return PBR_OK;
}

int pbr_table_row(struct pbr_table *t, const char *const *cells)
{
    if (t->cell_nr + t->column_nr > t->cell_cap) {
        const size_t cap = t->cell_cap ? t->cell_cap * 2 : 16 * t->column_nr;
        char **bigger = pbr_realloc(t->env, t->cells, cap * sizeof(*bigger));
        if (!bigger)
            return PBR_E_NOMEM;
        t->cells = bigger;
        t->cell_cap = cap;
    }
    for (size_t i = 0; i < t->column_nr; i++) {
        char *copy = pbr_strdup(t->env, cells[i] ? cells[i] : "");
        if (!copy)
            return PBR_E_NOMEM;
        t->cells[t->cell_nr++] = copy;
    }
    return PBR_OK;
}

void pbr_table_free(struct pbr_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->cell_nr; i++)
        pbr_free(t->env, t->cells[i]);
    pbr_free(t->env, t->cells);
    pbr_free(t->env, t);
}

/* Columns on screen: bytes that do not continue a UTF-8 character. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void print_rule(const size_t *widths, size_t n, const char *left, const char *line, const char *middle,
                       const char *right)
{
    (void)fputs(left, stdout);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < widths[i] + 2; k++)
            (void)fputs(line, stdout);
        (void)fputs(i + 1 < n ? middle : right, stdout);
    }
    (void)putchar('\n');
}

static void print_row(const struct pbr_table *t, const size_t *widths, char *const *cells, const char *bar)
{
    for (size_t i = 0; i < t->column_nr; i++) {
        const char *text = cells ? cells[i] : t->columns[i].title;
        const int pad = (int)(widths[i] - width_of(text));
        const bool right = t->columns[i].right;
        const bool last = i + 1 == t->column_nr;
        if (*bar)
            (void)printf("%s %*s%s%*s ", bar, right ? pad : 0, "", text, right ? 0 : pad, "");
        else
            (void)printf("%*s%s%*s%s", right ? pad : 0, "", text, right || last ? 0 : pad, "", last ? "" : "  ");
    }
    (void)printf("%s\n", bar);
}

void pbr_table_print(const struct pbr_table *t)
{
    size_t widths[16];
    const bool border = !getenv("PROXMOX_OUTPUT_NO_BORDER") && isatty(1);
    const bool header = !getenv("PROXMOX_OUTPUT_NO_HEADER");
    const bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    const char *bar = !border ? "" : utf8 ? "│" : "|";
    for (size_t i = 0; i < t->column_nr; i++) {
        widths[i] = width_of(t->columns[i].title);
        for (size_t k = i; k < t->cell_nr; k += t->column_nr)
            if (width_of(t->cells[k]) > widths[i])
                widths[i] = width_of(t->cells[k]);
    }
    if (border)
        print_rule(widths, t->column_nr, utf8 ? "┌" : "+", utf8 ? "─" : "-", utf8 ? "┬" : "+", utf8 ? "┐" : "+");
    if (header)
        print_row(t, widths, NULL, bar);
    if (border && header)
        print_rule(widths, t->column_nr, utf8 ? "├" : "+", utf8 ? "─" : "-", utf8 ? "┼" : "+", utf8 ? "┤" : "+");
    for (size_t k = 0; k < t->cell_nr; k += t->column_nr)
        print_row(t, widths, t->cells + k, bar);
    if (border)
        print_rule(widths, t->column_nr, utf8 ? "└" : "+", utf8 ? "─" : "-", utf8 ? "┴" : "+", utf8 ? "┘" : "+");
}
