/* SPDX-License-Identifier: MIT */
/* `reuse show` as JSON; see reuse_out.h. */
#include "base/limits.h"
#include "cli/reuse_out.h"
#include "format/quote.h"

static int no_memory(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the report");
}

json_t *pbr_reuse_name_json(const struct pbr_env *env, struct pbr_span name)
{
    struct pbr_buf quoted;
    json_t *text = json_stringn((const char *)name.ptr, name.len);
    if (text)
        return text;
    pbr_buf_init(&quoted, env, 256 << 20);
    const char *q = pbr_quote(name, &quoted) == PBR_OK ? pbr_buf_cstr(&quoted) : NULL;
    text = q ? json_string(q) : NULL;
    pbr_buf_release(&quoted);
    return text;
}

static json_t *number_or_null(bool is, uint64_t n)
{
    return is ? json_integer((json_int_t)n) : json_null();
}

static json_t *sum_json(const struct pbr_report_sum *s)
{
    return json_pack("{s:I, s:I}", "number", (json_int_t)s->nr, "bytes", (json_int_t)s->bytes);
}

static json_t *why_json(unsigned why)
{
    json_t *list = json_array();
    for (unsigned bit = 0; list && bit < PBR_WHY_BITS; bit++)
        if (why & 1u << bit)
            (void)json_array_append_new(list, json_string(pbr_report_why_word((enum pbr_report_why)(1u << bit))));
    return list;
}

static json_t *file_json(const struct pbr_env *env, const struct pbr_report *r, const struct pbr_report_file *f)
{
    const struct pbr_layout_entry *e = pbr_report_entry(r, f), *was = pbr_report_old_entry(r, f);
    json_t *o = json_pack("{s:o, s:s}", "path", pbr_reuse_name_json(env, e->path), "kind", pbr_report_file_word(f->kind));
    if (!o || f->kind == PBR_REPORT_FILE_LINK)
        return o;
    (void)json_object_set_new(o, "size", json_integer((json_int_t)e->size));
    (void)json_object_set_new(o, "offset", json_integer((json_int_t)e->off));
    (void)json_object_set_new(o, "previous_offset", number_or_null(was && was->kind == PBR_KIND_FILE, was ? was->off : 0));
    (void)json_object_set_new(o, "first_chunk", number_or_null(f->chunk_nr > 0, f->chunk_first));
    (void)json_object_set_new(o, "chunks", json_integer((json_int_t)f->chunk_nr));
    (void)json_object_set_new(o, "padding_before", json_integer((json_int_t)f->gap));
    (void)json_object_set_new(o, "age", json_integer((json_int_t)f->age));
    (void)json_object_set_new(o, "why", why_json(f->why));
    if (f->why & PBR_WHY_PADDING)
        (void)json_object_set_new(o, "waste_permille", json_integer((json_int_t)f->waste_permille));
    return o;
}

static json_t *chunk_json(const struct pbr_report *r, size_t i)
{
    char hex[2 * PBR_DIGEST_LEN + 1];
    const struct pbr_report_chunk *c = pbr_report_chunk(r, i);
    pbr_format_hex(pbr_index_digest(pbr_layout_index(pbr_report_now(r)), i), PBR_DIGEST_LEN, hex);
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:b, s:b, s:I, s:I}", "digest", hex, "kind", pbr_report_chunk_word(c->kind),
                     "offset", (json_int_t)c->start, "size", (json_int_t)c->size, "padding", (json_int_t)(c->size - c->used),
                     "previous", number_or_null(c->old != PBR_REPORT_NONE, c->old), "uploaded", c->sent, "joined", c->joined,
                     "files", (json_int_t)c->file_nr, "age", (json_int_t)c->age);
}

/* Figures of one archive in one generation. */
static json_t *archive_json(const struct pbr_history_archive *a)
{
    const struct pbr_report_totals *t = pbr_report_totals(a->report);
    json_t *files = json_object(), *chunks = json_object();
    for (int k = 0; files && k < PBR_REPORT_FILE_KINDS; k++)
        (void)json_object_set_new(files, pbr_report_file_word((enum pbr_report_file_kind)k), sum_json(&t->files[k]));
    for (int k = 0; chunks && k < PBR_REPORT_CHUNK_KINDS; k++)
        (void)json_object_set_new(chunks, pbr_report_chunk_word((enum pbr_report_chunk_kind)k), sum_json(&t->chunks[k]));
    return json_pack("{s:s, s:s, s:s, s:b, s:s?, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "name", a->name,
                     "metadata_archive", a->stored.name, "payload_archive", a->stored.payload_name, "compared", a->before != NULL,
                     "not_compared_because", a->no_before, "file_kinds", files, "chunk_kinds", chunks, "injected",
                     sum_json(&t->injected), "uploaded", sum_json(&t->sent), "metadata_uploaded", sum_json(&a->metadata_sent),
                     "removed_files", (json_int_t)t->removed, "padding", (json_int_t)t->padding, "pieces", (json_int_t)t->pieces,
                     "payload_size", (json_int_t)a->stored.payload_index.index.size, "payload_chunks",
                     (json_int_t)pbr_report_chunk_count(a->report), "metadata_size", (json_int_t)a->stored.index.index.size);
}

/* The same with every file and chunk. */
static json_t *detailed_json(const struct pbr_env *env, const struct pbr_history_archive *a)
{
    const struct pbr_report *r = a->report;
    json_t *o = archive_json(a), *files = json_array(), *chunks = json_array();
    bool ok = o && files && chunks;
    for (size_t i = 0; ok && i < pbr_report_file_count(r); i++)
        ok = json_array_append_new(files, file_json(env, r, pbr_report_file(r, i))) == 0;
    for (size_t i = 0; ok && i < pbr_report_chunk_count(r); i++)
        ok = json_array_append_new(chunks, chunk_json(r, i)) == 0;
    ok = ok && json_object_set(o, "files", files) == 0 && json_object_set(o, "chunks", chunks) == 0;
    json_decref(files);
    json_decref(chunks);
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *generation_json(const struct pbr_generation *g)
{
    char text[300];
    json_t *archives = json_array();
    for (size_t i = 0; archives && i < g->archive_nr; i++)
        (void)json_array_append_new(archives, archive_json(&g->archives[i]));
    pbr_snapshot_format(&g->snapshot, text, sizeof(text));
    return json_pack("{s:s, s:o}", "snapshot", text, "archives", archives);
}

static json_t *others_json(const struct pbr_generation *g)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < g->other_nr; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "name", g->others[i].name, "size",
                                                    (json_int_t)g->others[i].size, "what", g->others[i].what));
    return list;
}

int pbr_reuse_print_json(const struct pbr_history *h, size_t first, enum pbr_format format, struct pbr_diag *diag)
{
    char now[300], before[300];
    const struct pbr_generation *newest = &h->generations[h->nr - 1];
    json_t *archives = json_array(), *generations = json_array();
    bool ok = archives && generations;
    for (size_t i = 0; ok && i < newest->archive_nr; i++)
        ok = json_array_append_new(archives, detailed_json(h->env, &newest->archives[i])) == 0;
    for (size_t i = first; ok && i < h->nr; i++)
        ok = json_array_append_new(generations, generation_json(&h->generations[i])) == 0;
    pbr_snapshot_format(&newest->snapshot, now, sizeof(now));
    if (h->nr > 1)
        pbr_snapshot_format(&h->generations[h->nr - 2].snapshot, before, sizeof(before));
    json_t *root = !ok ? NULL
                       : json_pack("{s:s, s:s?, s:b, s:O, s:O, s:o}", "snapshot", now, "against", h->nr > 1 ? before : NULL,
                                   "direct", h->direct, "archives", archives, "generations", generations, "others",
                                   others_json(newest));
    json_decref(archives);
    json_decref(generations);
    const int rc = root ? pbr_print_json(root, format, diag) : no_memory(diag);
    json_decref(root);
    return rc;
}
