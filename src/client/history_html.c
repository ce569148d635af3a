/* SPDX-License-Identifier: MIT */
/* The page: head, headlines, legend, tables; the map is in history_map.c. See history_html.h. */
#include "client/history_html.h"

#include <stdio.h>
#include <string.h>

#include "client/history_words.h"
#include "client/html_int.h"
#include "client/human.h"

enum { FLUSH_AT = 1 << 18, BUF_MAX = 1 << 20, SCRATCH_MAX = 64 << 20, COLUMNS = 72, COLUMNS_MIN = 10, CELLS = 8000,
       CELLS_MIN = 64, ROWS = 50, NAME_IN_TABLE = 160 };

/* ---- putting ---- */

static void flush(struct pbr_page *p)
{
    if (p->rc == PBR_OK)
        p->rc = pbr_sink_write(p->out, pbr_buf_span(&p->buf), p->diag);
    pbr_buf_clear(&p->buf);
}

static void fail(struct pbr_page *p, int rc)
{
    if (rc < 0 && p->rc == PBR_OK)
        p->rc = pbr_fail_at(p->diag, (enum pbr_err)rc, NULL, "no memory for the page");
}

void pbr_page_put(struct pbr_page *p, const char *fmt, ...)
{
    char text[1024]; /* markup is short; names and sentences do not come this way */
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (p->rc < 0)
        return;
    fail(p, n < 0 || (size_t)n >= sizeof(text) ? PBR_E_LIMIT : pbr_buf_append(&p->buf, pbr_span(text, (size_t)n)));
    if (p->buf.len > FLUSH_AT)
        flush(p);
}

static const char *entity(uint8_t c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

void pbr_page_text(struct pbr_page *p, struct pbr_span text)
{
    for (size_t i = 0; i < text.len && p->rc == PBR_OK; i++) {
        const char *e = entity(text.ptr[i]);
        fail(p, e ? pbr_buf_append(&p->buf, pbr_span_str(e)) : pbr_buf_append_u8(&p->buf, text.ptr[i]));
        if (p->buf.len > FLUSH_AT)
            flush(p);
    }
}

void pbr_page_words(struct pbr_page *p, int rc)
{
    fail(p, rc);
    pbr_page_text(p, pbr_buf_span(&p->scratch));
    pbr_buf_clear(&p->scratch);
}

void pbr_page_name(struct pbr_page *p, struct pbr_span name, size_t max)
{
    pbr_page_words(p, pbr_words_name(name, max, &p->scratch));
}

static void put_size(struct pbr_page *p, uint64_t bytes)
{
    char text[PBR_HUMAN_MAX];
    pbr_human_size_short(bytes, text);
    pbr_page_put(p, "%s", text);
}

static void put_time(struct pbr_page *p, const struct pbr_snapshot *s)
{
    char text[40];
    pbr_words_time(s->time_s, text);
    pbr_page_put(p, "%s", text);
}

static void put_snapshot(struct pbr_page *p, const struct pbr_snapshot *s)
{
    char text[300];
    pbr_group_format(&s->group, text, sizeof(text));
    pbr_page_text(p, pbr_span_str(text));
    pbr_page_put(p, " of ");
    put_time(p, s);
}

/* ---- head ---- */

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d0d7de;--card:#f6f8fa;"
    "--n:#e8590c;--w:#3b82c4;--p:#c3d9ee;--k:#8a5fbf;--m:#9aa4ae}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6e9ec;--dim:#9aa4ae;--line:#353b43;--card:#1d2127;"
    "--n:#ff8c42;--w:#4a97dd;--p:#294863;--k:#b28ae6;--m:#6b747e}}\n"
    "body{margin:0 auto;padding:1.5rem;max-width:1180px;background:var(--bg);color:var(--fg);"
    "font:15px/1.45 system-ui,'DejaVu Sans',sans-serif}\n"
    "h1{font-size:1.15rem;font-weight:600;margin:0 0 1rem}h1 small,.note,figcaption small{color:var(--dim);font-weight:400}\n"
    "h2{font-size:1.15rem;margin:2rem 0 .5rem;border-top:1px solid var(--line);padding-top:1.2rem}"
    "h3{font-size:1rem;margin:1.6rem 0 .4rem}\n"
    ".big{display:flex;flex-wrap:wrap;gap:.2rem 3rem;margin:0}.big p{margin:0;font-size:1.75rem;line-height:1.25}"
    ".big b{font-weight:700}\n"
    ".say{margin:.4rem 0 0;color:var(--dim)}.note{font-size:.87rem;margin:.3rem 0}\n"
    "svg{display:block}svg rect:hover{opacity:.7}.bar{width:100%;height:26px;margin:.9rem 0 .6rem;border-radius:4px}\n"
    ".n{fill:var(--n);background:var(--n)}.w{fill:var(--w);background:var(--w)}.p{fill:var(--p);background:var(--p)}"
    ".k{fill:var(--k);background:var(--k)}.m{fill:var(--m);background:var(--m)}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.35rem 1.6rem;margin:0;padding:0;list-style:none;font-size:.93rem}"
    ".legend i{display:inline-block;width:13px;height:13px;margin-right:.45em;vertical-align:-1px;border-radius:2px}\n"
    ".maps{display:flex;flex-wrap:wrap;gap:1.5rem;align-items:flex-start}figure{margin:0}"
    "figcaption{margin-bottom:.4rem;line-height:1.3}.map{max-width:100%;height:auto}\n"
    "table{border-collapse:collapse;font-size:.9rem;min-width:55%}td,th{text-align:left;padding:.22rem .8rem .22rem 0;"
    "border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--dim);font-weight:500}"
    ".r{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td:first-child{overflow-wrap:anywhere}\n"
    "code{font:.93em/1.4 'DejaVu Sans Mono',monospace;unicode-bidi:isolate}\n";

static const struct pbr_generation *newest(const struct pbr_page *p)
{
    return &p->history->generations[p->history->nr - 1];
}

static void put_head(struct pbr_page *p)
{
    const struct pbr_history *h = p->history;
    pbr_page_put(p, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
                    "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
                    "<meta name=viewport content=\"width=device-width\">\n<title>Re-use in ");
    put_snapshot(p, &newest(p)->snapshot);
    pbr_page_put(p, "</title>\n<style>");
    if (p->rc == PBR_OK)
        fail(p, pbr_buf_append(&p->buf, pbr_span_str(style)));
    pbr_page_put(p, "</style></head><body>\n<h1>What ");
    put_snapshot(p, &newest(p)->snapshot);
    pbr_page_put(p, " re-used");
    if (h->nr > 1) {
        pbr_page_put(p, h->direct ? " <small>of the snapshot before it, " : " <small>compared with ");
        if (!h->direct) {
            put_snapshot(p, &h->generations[h->nr - 2].snapshot);
        } else {
            put_time(p, &h->generations[h->nr - 2].snapshot);
        }
        pbr_page_put(p, "</small>");
    }
    pbr_page_put(p, "</h1>\n");
}

/* ---- headlines and legend ---- */

/* The first words of a sentence in bold: up to " file" or " of". */
static void put_big(struct pbr_page *p, int rc, const char *until)
{
    const struct pbr_span all = pbr_buf_span(&p->scratch);
    size_t cut = 0;
    fail(p, rc);
    const size_t len = strlen(until);
    while (cut + len <= all.len && memcmp(all.ptr + cut, until, len) != 0)
        cut++;
    cut = cut + len <= all.len ? cut : all.len;
    pbr_page_put(p, "<p><b>");
    pbr_page_text(p, pbr_span_sub(all, 0, cut));
    pbr_page_put(p, "</b>");
    pbr_page_text(p, pbr_span_sub(all, cut, all.len));
    pbr_page_put(p, "</p>\n");
    pbr_buf_clear(&p->scratch);
}

static void put_headlines(struct pbr_page *p, const struct pbr_history_archive *a)
{
    const bool direct = p->history->direct;
    pbr_page_put(p, "<div class=big>");
    put_big(p, pbr_words_files(a, &p->scratch), " re-used");
    put_big(p, pbr_words_bytes(a, direct, &p->scratch), direct ? " uploaded" : " not in");
    pbr_page_put(p, "</div>\n<p class=say>");
    pbr_page_words(p, pbr_words_read(a, &p->scratch));
    pbr_page_put(p, ".<br>");
    pbr_page_words(p, pbr_words_padding(a, &p->scratch));
    pbr_page_put(p, ".</p>\n");
}

static void put_legend(struct pbr_page *p, const struct pbr_history_archive *a)
{
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    const struct pbr_report_sum *part = &t->chunks[PBR_REPORT_CHUNK_PART], *whole = &t->chunks[PBR_REPORT_CHUNK_WHOLE];
    const struct {
        const char *mark, *words;
        uint64_t nr, bytes;
    } rows[] = {
        { "<i class=w></i>", "re-used whole, nothing read", whole->nr, whole->bytes },
        { "<i style=\"background:linear-gradient(var(--p) 40%,var(--w) 40%)\"></i>", "re-used in part, faint is padding", part->nr,
          part->bytes },
        { "<i class=k></i>", "files read, chunk already stored", t->chunks[PBR_REPORT_CHUNK_KNOWN].nr,
          t->chunks[PBR_REPORT_CHUNK_KNOWN].bytes },
        { "<i class=n></i>", p->history->direct ? "new, uploaded" : "not in the other snapshot", t->chunks[PBR_REPORT_CHUNK_NEW].nr,
          t->chunks[PBR_REPORT_CHUNK_NEW].bytes },
        { "<i class=m></i>", "start or end marker", t->chunks[PBR_REPORT_CHUNK_MARKER].nr, t->chunks[PBR_REPORT_CHUNK_MARKER].bytes },
    };
    pbr_page_put(p, "<ul class=legend>");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].nr == 0)
            continue;
        pbr_page_put(p, "<li>%s%s: <b>%" PRIu64 "</b> chunk%s, ", rows[i].mark, rows[i].words, rows[i].nr,
                     rows[i].nr == 1 ? "" : "s");
        put_size(p, rows[i].bytes);
    }
    pbr_page_put(p, "</ul>\n");
}

/* ---- maps ---- */

static size_t first_shown(const struct pbr_page *p)
{
    return p->opts.shown && p->opts.shown < p->history->nr ? p->history->nr - p->opts.shown : 0;
}

static void put_maps(struct pbr_page *p, const char *name)
{
    const struct pbr_history *h = p->history;
    const size_t first = first_shown(p), panels = h->nr - first;
    const size_t maps = panels * newest(p)->archive_nr, budget = p->opts.cells / maps;
    const size_t columns = COLUMNS / panels < COLUMNS_MIN ? COLUMNS_MIN : COLUMNS / panels;
    pbr_page_put(p, "<h3>The payload stream, one cell per chunk%s</h3>\n<p class=note>From left to right, row by row, in the order "
                    "of the stream. Point at a cell to see its files.</p>\n<div class=maps>\n",
                 panels > 1 ? ", oldest snapshot first" : "");
    for (size_t i = first; i < h->nr; i++) {
        const struct pbr_history_archive *a = pbr_generation_find(&h->generations[i], name);
        pbr_page_put(p, "<figure>");
        if (panels > 1) {
            pbr_page_put(p, "<figcaption>");
            put_time(p, &h->generations[i].snapshot);
            pbr_page_put(p, "<br><small>");
            if (a) {
                pbr_page_put(p, "%" PRIu64 " of %zu chunks uploaded, ", pbr_report_totals(a->report)->sent.nr,
                             pbr_report_chunk_count(a->report));
                put_size(p, pbr_report_totals(a->report)->padding);
                pbr_page_put(p, " padding");
            } else {
                pbr_page_put(p, "no split archive of this name");
            }
            pbr_page_put(p, "</small></figcaption>\n");
        }
        if (a)
            pbr_page_map(p, a, budget < CELLS_MIN ? CELLS_MIN : budget, columns);
        pbr_page_put(p, "</figure>\n");
    }
    pbr_page_put(p, "</div>\n");
}

/* ---- tables ---- */

static void put_more(struct pbr_page *p, size_t all)
{
    if (all > p->opts.rows)
        pbr_page_put(p, "<p class=note>The largest %zu of %zu.</p>\n", p->opts.rows, all);
}

static void put_files(struct pbr_page *p, const struct pbr_report *r, enum pbr_report_file_kind kind, const char *heading)
{
    size_t *numbers, nr;
    if (p->rc < 0 || pbr_report_totals(r)->files[kind].nr == 0)
        return;
    const int rc = pbr_words_largest(p->env, r, kind, &numbers, &nr);
    if (rc < 0) {
        fail(p, rc);
        return;
    }
    const bool why = kind == PBR_REPORT_FILE_REENCODED;
    pbr_page_put(p, "<h3>%s</h3>\n", heading);
    put_more(p, nr);
    pbr_page_put(p, "<table><tr><th>file<th class=r>size%s\n", why ? "<th>why" : "");
    for (size_t i = 0; i < nr && i < p->opts.rows; i++) {
        const struct pbr_report_file *f = pbr_report_file(r, numbers[i]);
        pbr_page_put(p, "<tr><td><code>");
        pbr_page_name(p, pbr_report_entry(r, f)->path, NAME_IN_TABLE);
        pbr_page_put(p, "</code><td class=r>");
        put_size(p, pbr_report_entry(r, f)->size);
        if (why) {
            pbr_page_put(p, "<td>");
            pbr_page_words(p, pbr_words_why(r, f, &p->scratch));
        }
        pbr_page_put(p, "\n");
    }
    pbr_page_put(p, "</table>\n");
    pbr_free(p->env, numbers);
}

/* A row of the table of generations. */
static void put_generation(struct pbr_page *p, const struct pbr_generation *g, const char *name)
{
    const struct pbr_history_archive *a = pbr_generation_find(g, name);
    pbr_page_put(p, "<tr><td>");
    put_time(p, &g->snapshot);
    if (!a) {
        pbr_page_put(p, "<td colspan=8>no split archive of this name\n");
        return;
    }
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    const size_t chunk_nr = pbr_report_chunk_count(a->report);
    const uint64_t size = a->stored.payload_index.index.size;
    pbr_page_put(p, "<td class=r>%" PRIu64 "<td class=r>%" PRIu64 "<td class=r>", t->files[PBR_REPORT_FILE_REUSED].nr,
                 t->files[PBR_REPORT_FILE_REENCODED].nr + t->files[PBR_REPORT_FILE_NEW].nr);
    put_size(p, size);
    pbr_page_put(p, "<td class=r>");
    put_size(p, t->padding);
    pbr_page_put(p, " (%.1f %%)<td class=r>%zu<td class=r>%" PRIu64 "<td class=r>%" PRIu64 "<td class=r>",
                 size ? 100.0 * (double)t->padding / (double)size : 0.0, chunk_nr, t->injected.nr, t->pieces);
    put_size(p, chunk_nr ? size / chunk_nr : 0);
    pbr_page_put(p, "\n");
}

static void put_generations(struct pbr_page *p, const char *name)
{
    pbr_page_put(p, "<h3>Fragmentation over generations</h3>\n<p class=note>A piece is a run of chunks that lie side by side "
                    "in the snapshot before as well, or were cut together.</p>\n<table><tr><th>snapshot<th class=r>files re-used"
                    "<th class=r>files read<th class=r>payload<th class=r>padding<th class=r>chunks<th class=r>re-used<th class=r>pieces"
                    "<th class=r>mean chunk\n");
    for (size_t i = first_shown(p); i < p->history->nr; i++)
        put_generation(p, &p->history->generations[i], name);
    pbr_page_put(p, "</table>\n");
}

/* ---- all of it ---- */

static void put_archive(struct pbr_page *p, const struct pbr_history_archive *a)
{
    pbr_page_put(p, "<section>");
    if (newest(p)->archive_nr > 1) {
        pbr_page_put(p, "<h2>");
        pbr_page_text(p, pbr_span_str(a->name));
        pbr_page_put(p, "</h2>\n");
    }
    put_headlines(p, a);
    pbr_page_bar(p, a);
    put_legend(p, a);
    put_maps(p, a->name);
    put_generations(p, a->name);
    if (a->before) {
        put_files(p, a->report, PBR_REPORT_FILE_REENCODED, "Files that were read again, and why");
        put_files(p, a->report, PBR_REPORT_FILE_NEW, "New files");
        put_files(p, a->report, PBR_REPORT_FILE_KEPT, "Files re-used of a snapshot in between");
    }
    pbr_page_put(p, "</section>\n");
}

static void put_others(struct pbr_page *p)
{
    const struct pbr_generation *g = newest(p);
    if (g->other_nr == 0)
        return;
    pbr_page_put(p, "<h3>Also in this snapshot</h3>\n<p class=note>Files are re-used only in split archives of data and metadata "
                    "mode.</p>\n<table>");
    for (size_t i = 0; i < g->other_nr; i++) {
        pbr_page_put(p, "<tr><td>");
        pbr_page_text(p, pbr_span_str(g->others[i].name));
        pbr_page_put(p, "<td>%s<td class=r>", g->others[i].what);
        put_size(p, g->others[i].size);
        pbr_page_put(p, "\n");
    }
    pbr_page_put(p, "</table>\n");
}

int pbr_history_html(const struct pbr_history *h, const struct pbr_html_opts *opts, struct pbr_sink *out,
                     struct pbr_diag *diag)
{
    struct pbr_page p = { .env = h->env, .history = h, .opts = *opts, .out = out, .diag = diag };
    p.opts.rows = opts->rows ? opts->rows : ROWS;
    p.opts.cells = opts->cells ? opts->cells : CELLS;
    pbr_buf_init(&p.buf, h->env, BUF_MAX);
    pbr_buf_init(&p.scratch, h->env, SCRATCH_MAX);
    put_head(&p);
    for (size_t i = 0; i < newest(&p)->archive_nr; i++)
        put_archive(&p, &newest(&p)->archives[i]);
    put_others(&p);
    pbr_page_put(&p, "</body></html>\n");
    flush(&p);
    pbr_buf_release(&p.scratch);
    pbr_buf_release(&p.buf);
    return p.rc;
}
