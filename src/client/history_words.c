/* SPDX-License-Identifier: MIT */
/* Sentences about what was re-used; see history_words.h. */
#include "client/history_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/human.h"
#include "format/quote.h"

enum { QUOTED_MAX = 256 << 20, TIME_CAP = 40 };

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static uint64_t file_nr(const struct pbr_report_totals *t)
{
    return t->files[PBR_REPORT_FILE_REUSED].nr + t->files[PBR_REPORT_FILE_KEPT].nr +
           t->files[PBR_REPORT_FILE_REENCODED].nr + t->files[PBR_REPORT_FILE_NEW].nr;
}

/* ---- headlines ---- */

int pbr_words_files(const struct pbr_history_archive *a, struct pbr_buf *out)
{
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    const uint64_t all = file_nr(t), reused = t->files[PBR_REPORT_FILE_REUSED].nr;
    return pbr_buf_printf(out, "%" PRIu64 " of %" PRIu64 " file%s re-used without reading", reused, all, plural(all));
}

int pbr_words_bytes(const struct pbr_history_archive *a, bool direct, struct pbr_buf *out)
{
    char sent[PBR_HUMAN_MAX], all[PBR_HUMAN_MAX];
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    pbr_human_size_short(t->sent.bytes + a->metadata_sent.bytes, sent);
    pbr_human_size_short(a->stored.size, all);
    return pbr_buf_printf(out, direct ? "%s of %s uploaded" : "%s of %s not in the other snapshot", sent, all);
}

struct read_sums {
    uint64_t changed, padding, no_reuse, other;
};

static struct read_sums sum_reads(const struct pbr_report *r)
{
    struct read_sums s = { 0 };
    for (size_t i = 0; i < pbr_report_file_count(r); i++) {
        const struct pbr_report_file *f = pbr_report_file(r, i);
        if (f->kind != PBR_REPORT_FILE_REENCODED)
            continue;
        if (f->why & PBR_WHY_PADDING)
            s.padding++;
        else if (f->why & PBR_WHY_NO_REUSE)
            s.no_reuse++;
        else if (f->why & (PBR_WHY_OTHER | PBR_WHY_REFERENCE))
            s.other++;
        else
            s.changed++;
    }
    return s;
}

static int part(struct pbr_buf *out, bool *first, uint64_t n, const char *what)
{
    if (n == 0)
        return PBR_OK;
    const int rc = pbr_buf_printf(out, "%s%" PRIu64 " %s", *first ? ": " : ", ", n, what);
    *first = false;
    return rc;
}

int pbr_words_read(const struct pbr_history_archive *a, struct pbr_buf *out)
{
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    const struct read_sums s = sum_reads(a->report);
    const uint64_t fresh = t->files[PBR_REPORT_FILE_NEW].nr, nr = fresh + t->files[PBR_REPORT_FILE_REENCODED].nr;
    char bytes[PBR_HUMAN_MAX];
    bool first = true;
    pbr_human_size_short(t->files[PBR_REPORT_FILE_NEW].bytes + t->files[PBR_REPORT_FILE_REENCODED].bytes, bytes);
    int rc = pbr_buf_printf(out, "%" PRIu64 " file%s of %s read", nr, plural(nr), bytes);
    if (rc == PBR_OK && !a->before)
        return pbr_buf_printf(out, ": %s", a->no_before);
    if (rc == PBR_OK)
        rc = part(out, &first, fresh, "new");
    if (rc == PBR_OK)
        rc = part(out, &first, s.changed, "changed");
    if (rc == PBR_OK)
        rc = part(out, &first, s.padding, "unchanged, but too little of their chunks is still in use");
    if (rc == PBR_OK)
        rc = part(out, &first, s.no_reuse, "unchanged, read all the same (data mode, or no usable reference)");
    if (rc == PBR_OK)
        rc = part(out, &first, s.other, "unchanged, for another reason");
    if (rc == PBR_OK && t->removed)
        rc = pbr_buf_printf(out, "; %" PRIu64 " removed", t->removed);
    return rc;
}

int pbr_words_padding(const struct pbr_history_archive *a, struct pbr_buf *out)
{
    char padding[PBR_HUMAN_MAX];
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    const uint64_t size = a->stored.payload_index.index.size;
    pbr_human_size_short(t->padding, padding);
    return pbr_buf_printf(out, "%s of padding (%.1f %% of the payload stream) in %" PRIu64 " of %" PRIu64 " re-used chunk%s",
                          padding, size ? 100.0 * (double)t->padding / (double)size : 0.0,
                          t->chunks[PBR_REPORT_CHUNK_PART].nr, t->injected.nr, plural(t->injected.nr));
}

const char *pbr_words_chunk(enum pbr_report_chunk_kind kind)
{
    static const char *const words[PBR_REPORT_CHUNK_KINDS] = { "new", "re-used whole", "re-used in part", "read, but already stored",
                                                               "marker" };
    return words[kind];
}

/* ---- why ---- */

static int add_reason(struct pbr_buf *out, bool *first, const char *text)
{
    const int rc = pbr_buf_printf(out, "%s%s", *first ? "" : ", ", text);
    *first = false;
    return rc;
}

static void describe(const struct pbr_report *r, const struct pbr_report_file *f, enum pbr_report_why bit, char *out,
                     size_t cap)
{
    char now_size[PBR_HUMAN_MAX], old_size[PBR_HUMAN_MAX];
    const struct pbr_layout_entry *is = pbr_report_entry(r, f), *was = pbr_report_old_entry(r, f);
    const char *text = "";
    out[0] = 0;
    switch (bit) {
    case PBR_WHY_TYPE: text = "was no regular file"; break;
    case PBR_WHY_LINK: text = "was a hard link"; break;
    case PBR_WHY_MTIME: text = "time"; break;
    case PBR_WHY_FLAGS: text = "flags"; break;
    case PBR_WHY_ATTRIBUTES: text = "attributes or ACL"; break;
    case PBR_WHY_REFERENCE: text = "unchanged; the earlier reference is damaged"; break;
    case PBR_WHY_NO_REUSE: text = "unchanged; nothing was re-used (data mode, or no usable reference)"; break;
    case PBR_WHY_OTHER: text = "unchanged; the archive does not tell why"; break;
    case PBR_WHY_SIZE:
        pbr_human_size_short(was->size, old_size);
        pbr_human_size_short(is->size, now_size);
        if (strcmp(old_size, now_size) == 0)
            (void)snprintf(out, cap, "size %" PRIu64 " → %" PRIu64 " B", was->size, is->size);
        else
            (void)snprintf(out, cap, "size %s → %s", old_size, now_size);
        return;
    case PBR_WHY_MODE:
        (void)snprintf(out, cap, "mode %04o → %04o", (unsigned)(was->mode & PBR_MODE_PERM), (unsigned)(is->mode & PBR_MODE_PERM));
        return;
    case PBR_WHY_OWNER:
        (void)snprintf(out, cap, "owner %" PRIu32 ":%" PRIu32 " → %" PRIu32 ":%" PRIu32, was->uid, was->gid, is->uid, is->gid);
        return;
    case PBR_WHY_PADDING:
        (void)snprintf(out, cap, "unchanged; %u %% of its chunks would be padding (limit 10 %%)", (f->waste_permille + 9) / 10);
        return;
    case PBR_WHY_BITS: break;
    }
    (void)snprintf(out, cap, "%s", text);
}

int pbr_words_why(const struct pbr_report *r, const struct pbr_report_file *f, struct pbr_buf *out)
{
    char text[160];
    bool first = true;
    int rc = PBR_OK;
    for (unsigned bit = 0; bit < PBR_WHY_BITS && rc == PBR_OK; bit++) {
        if (!(f->why & 1u << bit))
            continue;
        describe(r, f, (enum pbr_report_why)(1u << bit), text, sizeof(text));
        rc = add_reason(out, &first, text);
    }
    return rc;
}

/* ---- names and times ---- */

/* The nearest place at or before `at` where a character begins. */
static size_t char_start(struct pbr_span text, size_t at)
{
    while (at > 0 && at < text.len && (text.ptr[at] & 0xc0) == 0x80)
        at--;
    return at;
}

int pbr_words_name(struct pbr_span name, size_t max, struct pbr_buf *out)
{
    struct pbr_buf quoted;
    pbr_buf_init(&quoted, out->env, QUOTED_MAX);
    int rc = pbr_quote(name, &quoted);
    if (rc == PBR_OK) {
        const struct pbr_span text = pbr_span_sub(pbr_buf_span(&quoted), 1, quoted.len - 2); /* without the quotes */
        if (max == 0 || text.len <= max) {
            rc = pbr_buf_append(out, text);
        } else {
            const size_t head = char_start(text, max / 3), tail = char_start(text, text.len - (max - max / 3));
            rc = pbr_buf_append(out, pbr_span_sub(text, 0, head));
            if (rc == PBR_OK)
                rc = pbr_buf_append(out, pbr_span_str("…"));
            if (rc == PBR_OK)
                rc = pbr_buf_append(out, pbr_span_sub(text, tail, text.len));
        }
    }
    pbr_buf_release(&quoted);
    return rc;
}

void pbr_words_time(int64_t time_s, char out[TIME_CAP])
{
    char text[32];
    pbr_time_format_any(time_s, text); /* 2023-11-14T22:13:20Z */
    const size_t date = strcspn(text, "T");
    const char *clock = text[date] ? text + date + 1 : "";
    (void)snprintf(out, TIME_CAP, "%.*s %.*s UTC", (int)date, text, (int)strcspn(clock, "Z"), clock);
}

/* ---- largest files ---- */

struct by_size {
    uint64_t size;
    size_t i;
};

static int compare_sizes(const void *a, const void *b)
{
    const struct by_size *one = a, *two = b;
    return one->size != two->size ? (one->size < two->size) - (one->size > two->size) : (one->i > two->i) - (one->i < two->i);
}

int pbr_words_largest(const struct pbr_env *env, const struct pbr_report *r, enum pbr_report_file_kind kind, size_t **ret,
                      size_t *ret_nr)
{
    size_t nr = 0;
    const size_t cap = (size_t)pbr_report_totals(r)->files[kind].nr;
    struct by_size *rows = pbr_alloc(env, cap + 1, sizeof(*rows));
    size_t *numbers = pbr_alloc(env, cap + 1, sizeof(*numbers));
    if (!rows || !numbers) {
        pbr_free(env, rows);
        pbr_free(env, numbers);
        return PBR_E_NOMEM;
    }
    for (size_t i = 0; i < pbr_report_file_count(r); i++) {
        const struct pbr_report_file *f = pbr_report_file(r, i);
        if (f->kind == kind)
            rows[nr++] = (struct by_size){ pbr_report_entry(r, f)->size, i };
    }
    qsort(rows, nr, sizeof(*rows), compare_sizes);
    for (size_t i = 0; i < nr; i++)
        numbers[i] = rows[i].i;
    pbr_free(env, rows);
    *ret = numbers;
    *ret_nr = nr;
    return PBR_OK;
}
