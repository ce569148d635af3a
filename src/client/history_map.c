/* SPDX-License-Identifier: MIT */
/* The picture: cells of a map and the bar of a payload stream, as SVG; see html_int.h. A cell is filled by bytes, from below:
 * in use of re-used chunks (w), padding in them (p), read but stored already (k), new (n); markers are grey (m). */
#include "client/history_words.h"
#include "client/html_int.h"
#include "client/human.h"

enum { CELL = 13, PITCH = 15, FILES_IN_TITLE = 6, NAME_IN_TITLE = 90, BAR_WIDTH = 1000, LEAST = 2 };

/* ---- what a cell holds ---- */

struct shares {
    uint64_t used, padding, known, new, marker; /* bytes */
};

struct cell {
    size_t first, nr; /* chunks */
    struct shares shares;
    uint64_t sums[PBR_REPORT_CHUNK_KINDS];
};

static void add_chunk(struct shares *s, const struct pbr_report_chunk *c)
{
    switch (c->kind) {
    case PBR_REPORT_CHUNK_WHOLE:
    case PBR_REPORT_CHUNK_PART:
        s->used += c->used;
        s->padding += c->size - c->used;
        break;
    case PBR_REPORT_CHUNK_NEW: s->new += c->size; break;
    case PBR_REPORT_CHUNK_KNOWN: s->known += c->size; break;
    case PBR_REPORT_CHUNK_MARKER: s->marker += c->size; break;
    case PBR_REPORT_CHUNK_KINDS: break;
    }
}

static struct cell make_cell(const struct pbr_report *r, size_t first, size_t nr)
{
    struct cell c = { .first = first, .nr = nr };
    for (size_t i = first; i < first + nr; i++) {
        const struct pbr_report_chunk *chunk = pbr_report_chunk(r, i);
        add_chunk(&c.shares, chunk);
        c.sums[chunk->kind]++;
    }
    if (c.shares.used + c.shares.padding + c.shares.known + c.shares.new > 0)
        c.shares.marker = 0; /* 16 bytes: only worth showing alone */
    return c;
}

/* ---- titles ---- */

static void put_size(struct pbr_page *p, uint64_t bytes)
{
    char text[PBR_HUMAN_MAX];
    pbr_human_size_short(bytes, text);
    pbr_page_put(p, "%s", text);
}

static void title_of_file(struct pbr_page *p, const struct pbr_layout_entry *e)
{
    pbr_page_put(p, "\n");
    pbr_page_name(p, e->path, NAME_IN_TITLE);
    pbr_page_put(p, " at %" PRIu64 " (", e->off);
    put_size(p, e->size);
    pbr_page_put(p, ")");
}

static void title_of_files(struct pbr_page *p, const struct pbr_report *r, const struct cell *cell)
{
    const struct pbr_report_chunk *a = pbr_report_chunk(r, cell->first), *z = pbr_report_chunk(r, cell->first + cell->nr - 1);
    const size_t end = z->file_first + z->file_nr, nr = end > a->file_first ? end - a->file_first : 0;
    for (size_t n = 0; n < nr && n < FILES_IN_TITLE; n++)
        title_of_file(p, pbr_layout_get(pbr_report_now(r), pbr_layout_file(pbr_report_now(r), a->file_first + n)));
    if (nr > FILES_IN_TITLE)
        pbr_page_put(p, "\n… and %zu more files", nr - FILES_IN_TITLE);
    if (nr == 0)
        pbr_page_put(p, "\nno file");
}

static void title_of_one(struct pbr_page *p, const struct pbr_report *r, size_t i)
{
    const struct pbr_report_chunk *c = pbr_report_chunk(r, i);
    pbr_page_put(p, "chunk %zu: %s\n", i, pbr_words_chunk(c->kind));
    put_size(p, c->size);
    pbr_page_put(p, " at %" PRIu64, c->start);
    if (c->size > c->used && !c->read) {
        pbr_page_put(p, ", of it ");
        put_size(p, c->size - c->used);
        pbr_page_put(p, " padding");
    }
    if (c->age > 1)
        pbr_page_put(p, ", also in %u snapshots before", c->age);
}

static void title_of_many(struct pbr_page *p, const struct pbr_report *r, const struct cell *cell)
{
    const char *between = ": ";
    const uint64_t start = pbr_report_chunk(r, cell->first)->start;
    pbr_page_put(p, "chunks %zu to %zu", cell->first, cell->first + cell->nr - 1);
    for (int kind = 0; kind < PBR_REPORT_CHUNK_KINDS; kind++) {
        if (cell->sums[kind] == 0)
            continue;
        pbr_page_put(p, "%s%" PRIu64 " %s", between, cell->sums[kind], pbr_words_chunk((enum pbr_report_chunk_kind)kind));
        between = ", ";
    }
    pbr_page_put(p, "\nfrom %" PRIu64 " on", start);
    if (cell->shares.padding) {
        pbr_page_put(p, ", ");
        put_size(p, cell->shares.padding);
        pbr_page_put(p, " padding");
    }
}

/* ---- cells ---- */

struct layer {
    char class;
    uint64_t bytes;
    unsigned height;
};

/* Heights of the layers in a cell: by bytes, but what is there is seen; the largest gives way. */
static size_t stack(const struct shares *s, struct layer layers[5])
{
    const struct layer all[5] = {
        { 'w', s->used, 0 }, { 'p', s->padding, 0 }, { 'k', s->known, 0 }, { 'n', s->new, 0 }, { 'm', s->marker, 0 }
    };
    const uint64_t total = s->used + s->padding + s->known + s->new + s->marker;
    size_t nr = 0, largest = 0;
    unsigned sum = 0;
    for (size_t i = 0; i < 5; i++) {
        if (all[i].bytes == 0)
            continue;
        layers[nr] = all[i];
        layers[nr].height = (unsigned)((double)all[i].bytes / (double)total * CELL + 0.5);
        layers[nr].height = layers[nr].height < LEAST ? LEAST : layers[nr].height;
        largest = layers[nr].bytes > layers[largest].bytes ? nr : largest;
        sum += layers[nr++].height;
    }
    if (nr > 0)
        layers[largest].height -= sum > CELL ? sum - CELL : 0;
    if (nr > 0 && sum < CELL)
        layers[largest].height += CELL - sum;
    return nr;
}

static void put_cell(struct pbr_page *p, const struct pbr_report *r, const struct cell *cell, size_t column, size_t row)
{
    struct layer layers[5];
    const size_t nr = stack(&cell->shares, layers);
    size_t bottom = row * PITCH + CELL;
    pbr_page_put(p, "<g><title>");
    if (cell->nr == 1)
        title_of_one(p, r, cell->first);
    else
        title_of_many(p, r, cell);
    title_of_files(p, r, cell);
    pbr_page_put(p, "</title>");
    for (size_t i = 0; i < nr; i++) {
        bottom -= layers[i].height;
        pbr_page_put(p, "<rect class=%c x=%zu y=%zu width=%d height=%u />", layers[i].class, column * PITCH, bottom, (int)CELL,
                     layers[i].height);
    }
    pbr_page_put(p, "</g>\n");
}

void pbr_page_map(struct pbr_page *p, const struct pbr_history_archive *a, size_t cells, size_t columns)
{
    const size_t chunk_nr = pbr_report_chunk_count(a->report);
    const size_t per_cell = chunk_nr > cells ? (chunk_nr + cells - 1) / cells : 1;
    const size_t cell_nr = (chunk_nr + per_cell - 1) / per_cell;
    const size_t width = (cell_nr < columns ? cell_nr : columns) * PITCH, height = (cell_nr + columns - 1) / columns * PITCH;
    if (per_cell > 1)
        pbr_page_put(p, "<p class=note>%zu chunks: one cell stands for %zu of them.</p>\n", chunk_nr, per_cell);
    pbr_page_put(p, "<svg class=map role=img aria-label=\"map of %zu chunks\" width=%zu height=%zu viewBox=\"0 0 %zu %zu\">\n",
                 chunk_nr, width, height, width, height);
    for (size_t i = 0; i < cell_nr; i++) {
        const size_t first = i * per_cell;
        const struct cell cell = make_cell(a->report, first, chunk_nr - first < per_cell ? chunk_nr - first : per_cell);
        put_cell(p, a->report, &cell, i % columns, i / columns);
    }
    pbr_page_put(p, "</svg>\n");
}

/* ---- bar ---- */

void pbr_page_bar(struct pbr_page *p, const struct pbr_history_archive *a)
{
    static const char *const words[4] = { "in use, re-used without reading", "padding in re-used chunks",
                                          "read, but already stored", "new" };
    const struct cell all = make_cell(a->report, 0, pbr_report_chunk_count(a->report));
    const uint64_t bytes[4] = { all.shares.used, all.shares.padding, all.shares.known, all.shares.new };
    const uint64_t total = bytes[0] + bytes[1] + bytes[2] + bytes[3];
    double x = 0.0;
    pbr_page_put(p, "<svg class=bar role=img aria-label=\"shares of the payload stream\" viewBox=\"0 0 %d 10\" "
                    "preserveAspectRatio=none>", (int)BAR_WIDTH);
    for (size_t i = 0; i < 4 && total > 0; i++) {
        const double width = (double)bytes[i] / (double)total * BAR_WIDTH;
        if (bytes[i] == 0)
            continue;
        pbr_page_put(p, "<rect class=%c x=%.2f y=0 width=%.2f height=10><title>%s: ", "wpkn"[i], x, width, words[i]);
        put_size(p, bytes[i]);
        pbr_page_put(p, "</title></rect>");
        x += width;
    }
    pbr_page_put(p, "</svg>\n");
}
