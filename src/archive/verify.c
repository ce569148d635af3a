/* SPDX-License-Identifier: MIT */
/* Structure check of archives; see verify.h. */
#include "archive/verify.h"

#include <stdlib.h>
#include <string.h>

#include "archive/read.h"
#include "archive/verify_int.h"
#include "base/limits.h"
#include "format/goodbye.h"

enum {
    LIST_MAX = 1 << 30,       /* bytes: 25 million children of the open directories */
    FILES_MAX = 2000000000,   /* bytes: 125 million regular files */
    NAMES_MAX = 32 << 20,     /* last name of every open directory: depth 4096 times 4096 bytes, and NULs */
};

struct open_dir {
    struct pbr_goodbye_child self; /* name_pos of the root: 0 (PXAR-153) */
    uint64_t entry_pos;           /* the same */
    size_t children_before;       /* bytes of `children` that belong to the directories above */
    size_t names_before;          /* bytes of `names` that belong to the directories above */
    bool has_last, warned;
};

struct file_at {
    uint64_t name_pos;
    uint64_t path_hash;
};

struct verify {
    const struct pbr_env *env;
    const struct pbr_verify_opts *opts;
    struct pbr_reader *reader;
    struct pbr_verify_result res;
    bool broken;             /* the grammar broke: nothing behind it can be judged */
    bool has_payload;
    uint64_t version;        /* 0: no FORMAT_VERSION */
    bool has_inline;         /* contents of a file stood in the archive */
    bool has_appendix;
    uint64_t root_pos;       /* of the root's ENTRY */
    struct pbr_buf dirs;     /* struct open_dir */
    struct pbr_buf children; /* struct pbr_goodbye_child */
    struct pbr_buf recs;     /* struct pbr_pxar_rec of the table being read */
    bool recs_wanted;
    uint64_t goodbye_pos, goodbye_end;
    struct pbr_buf names;    /* name of the last child of each open directory */
    struct pbr_buf files;    /* struct file_at, ascending */
    bool has_ref;
    uint64_t last_ref, ref_end;
};

/* ---- findings ---- */

static void report(struct verify *v, bool warning, const char *rule, uint64_t off, bool in_payload, const char *text)
{
    if (warning)
        v->res.warnings++;
    else
        v->res.errors++;
    if (!v->opts->report)
        return;
    const struct pbr_verify_finding f = {
        .warning = warning,
        .rule = rule,
        .off = off,
        .in_payload = in_payload,
        .path = v->reader && v->dirs.len ? pbr_reader_path(v->reader) : pbr_span(NULL, 0),
        .text = text,
        .reached = v->reader ? pbr_reader_pos(v->reader) : 0,
        .broke = v->broken,
    };
    v->opts->report(v->opts->ctx, &f);
}

/* Turns a failure about the archive into a finding: PBR_OK. Failures of the world around it stay what they are. */
static int found(struct verify *v, int rc, struct pbr_diag *cause, bool in_payload, struct pbr_diag *diag)
{
    if (rc == PBR_E_FORMAT || rc == PBR_E_TRUNCATED || rc == PBR_E_UNSUPPORTED) {
        report(v, false, cause->rule ? cause->rule : "PXAR-225", cause->off, in_payload, cause->text);
        return PBR_OK;
    }
    if (rc < 0 && diag && diag->code == PBR_OK)
        *diag = *cause;
    return rc;
}

/* Whether the offset of a reader's failure counts in the payload stream. */
static bool is_payload_rule(const struct pbr_diag *cause)
{
    return cause->rule &&
           (strcmp(cause->rule, "PXAR-240") == 0 || strcmp(cause->rule, "PXAR-241") == 0 ||
            strcmp(cause->rule, "PXAR-243") == 0 ||
            (strcmp(cause->rule, "PXAR-242") == 0 && cause->code == PBR_E_TRUNCATED));
}

static int keep(struct verify *v, struct pbr_buf *list, const void *rec, size_t size, struct pbr_diag *diag)
{
    (void)v;
    const int rc = pbr_buf_append(list, pbr_span(rec, size));
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "verification: %s",
                           rc == PBR_E_LIMIT ? "more entries than the limit allows" : "out of memory");
    return PBR_OK;
}

static struct open_dir *top_dir(struct verify *v)
{
    return (void *)(v->dirs.ptr + (v->dirs.len - sizeof(struct open_dir)));
}

/* ---- names ---- */

/* Two names that are equal leave a directory that cannot be extracted, and a table that leads to one of them only. */
static void report_twice(struct verify *v, uint64_t name_pos, const char *text)
{
    report(v, false, "EXT-051", name_pos, false, text);
}

/* Ascending bytewise; the list of excludes may stand last (CRT-021, EXT-140). Equal names next to each other are told
 * here, with their path, others at the end of the directory. */
static int check_order(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    struct open_dir *dir = top_dir(v);
    const struct pbr_span last =
        pbr_span_sub(pbr_buf_span(&v->names), dir->names_before, v->names.len - dir->names_before);
    const bool is_root = v->dirs.len == sizeof(*dir);
    const int order = dir->has_last ? pbr_span_cmp(last, e->name) : -1;
    if (order == 0) {
        report_twice(v, e->name_pos, "name is there twice");
    } else if (order > 0 && !dir->warned && !(is_root && pbr_span_eq_str(e->name, ".pxarexclude-cli"))) {
        dir->warned = true;
        report(v, true, "PXAR-034", e->name_pos, false, "names are not in ascending order");
    }
    dir->has_last = true;
    v->names.len = dir->names_before;
    return keep(v, &v->names, e->name.ptr, e->name.len, diag);
}

/* ---- payload references ---- */

static int check_payload(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    struct pbr_span view;
    struct pbr_diag cause = { 0 };
    int rc;
    if (!v->has_payload && e->has_ref)
        return PBR_OK;
    if (!v->has_payload && !v->opts->contents)
        return PBR_OK;
    do {
        rc = pbr_reader_content(v->reader, &view, &cause);
    } while (rc == PBR_OK && view.len > 0 && v->opts->contents);
    if (rc == PBR_E_TRUNCATED)
        v->broken = true;
    return found(v, rc, &cause, e->has_ref, diag);
}

static int check_ref(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    (void)diag;
    v->res.refs++;
    if (v->version == 1 || v->has_inline) /* none at all and only references: the draft [SPL-020, SPL-026] */
        report(v, false, "PXAR-008", e->entry_pos, false, "payload reference in an archive that is not version 2");
    if (v->opts->refs_elsewhere)
        return PBR_OK;
    if (e->ref_off < PBR_PXAR_HDR && v->version != 0)
        report(v, false, "PXAR-134", e->entry_pos, false, "payload reference into the start marker");
    else if (v->has_ref && e->ref_off <= v->last_ref)
        report(v, false, "PXAR-139", e->entry_pos, false, "payload references are not strictly increasing");
    else if (v->has_ref && e->ref_off < v->ref_end)
        report(v, false, "PXAR-245", e->entry_pos, false, "payload reference into the record of another file");
    v->has_ref = true;
    v->last_ref = e->ref_off;
    const uint64_t end = e->ref_off + PBR_PXAR_HDR + e->size; /* the reader checked the sum */
    if (end > v->ref_end)
        v->ref_end = end;
    return PBR_OK;
}

/* What hard links may lead to. */
static int note_file(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    const struct file_at file = { e->name_pos, pbr_pxar_name_hash(pbr_reader_path(v->reader)) };
    v->res.files++;
    if (!pbr_add(v->res.file_bytes, e->size, &v->res.file_bytes))
        v->res.file_bytes = UINT64_MAX;
    return keep(v, &v->files, &file, sizeof(file), diag);
}

static int check_file(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    int rc = note_file(v, e, diag);
    if (rc == PBR_OK && e->has_ref)
        rc = check_ref(v, e, diag);
    else if (rc == PBR_OK && (v->version == 2 || v->has_ref))
        report(v, false, "PXAR-008", e->entry_pos, false, "file contents inside a version 2 archive");
    v->has_inline |= !e->has_ref;
    return rc < 0 ? rc : check_payload(v, e, diag);
}

/* A file whose entry stands in the appendix: looked at when the reader gets there [APX-052]. */
static int check_appendix_ref(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    v->res.appendix_refs++;
    const int rc = note_file(v, e, diag);
    return rc < 0 ? rc : pbr_reader_want(v->reader, diag);
}

static int check_appendix_file(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    const uint64_t used = e->data_pos - e->name_pos + e->size; /* the reader checked that it lies in the section */
    v->res.padding_bytes -= used < v->res.padding_bytes ? used : v->res.padding_bytes;
    return check_payload(v, e, diag);
}

/* ---- hard links ---- */

static int by_name_pos(const void *pa, const void *pb)
{
    const struct file_at *a = pa, *b = pb;
    return a->name_pos < b->name_pos ? -1 : a->name_pos > b->name_pos;
}

/* The hash a file's path has when the link spells it without leading slash (PXAR-075). */
static int hash_link_path(struct verify *v, struct pbr_span target, uint64_t *ret, struct pbr_diag *diag)
{
    struct pbr_buf path;
    pbr_buf_init(&path, v->env, PBR_NAME_MAX + 2);
    int rc = keep(v, &path, "/", 1, diag);
    if (rc == PBR_OK)
        rc = keep(v, &path, target.ptr, target.len, diag);
    if (rc == PBR_OK)
        *ret = pbr_pxar_name_hash(pbr_buf_span(&path));
    pbr_buf_release(&path);
    return rc;
}

static int check_hardlink(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    const struct file_at key = { .name_pos = e->name_pos - e->link_off };
    const size_t n = v->files.len / sizeof(key);
    uint64_t want = 0;
    v->res.hardlinks++;
    const struct file_at *file = NULL;
    if (e->link_off > 0 && e->link_off <= e->name_pos && n > 0)
        file = bsearch(&key, v->files.ptr, n, sizeof(key), by_name_pos);
    if (!file) {
        report(v, false, "PXAR-074", e->entry_pos, false, "hard link does not point to an earlier regular file");
        return PBR_OK;
    }
    const int rc = hash_link_path(v, e->target, &want, diag);
    if (rc == PBR_OK && file->path_hash != want)
        report(v, false, "PXAR-075", e->entry_pos, false, "hard link names another file than it points to");
    return rc;
}

/* ---- directories ---- */

static int enter_dir(struct verify *v, const struct pbr_pxar_entry *e, bool is_root, struct pbr_diag *diag)
{
    struct open_dir dir = {
        .self.name_pos = is_root ? 0 : e->name_pos,
        .entry_pos = is_root ? 0 : e->entry_pos,
        .children_before = v->children.len,
        .names_before = v->names.len,
    };
    pbr_goodbye_child_set_name(&dir.self, e->name);
    v->res.dirs++;
    return keep(v, &v->dirs, &dir, sizeof(dir), diag);
}

static void begin_goodbye(struct verify *v, const struct pbr_pxar_event *ev)
{
    const size_t children = (v->children.len - top_dir(v)->children_before) / sizeof(struct pbr_goodbye_child);
    const uint64_t recs = (ev->size - PBR_PXAR_HDR) / PBR_PXAR_GOODBYE_REC;
    const unsigned tails = v->has_appendix && v->dirs.len == sizeof(struct open_dir) ? 2 : 1; /* [APX-034] */
    v->goodbye_pos = ev->pos;
    v->goodbye_end = ev->pos + ev->size;
    pbr_buf_clear(&v->recs);
    v->recs_wanted = recs == (uint64_t)children + tails;
}

/* The root's table with an appendix: its tail counts the record behind it, which the decoder has checked [APX-033]. */
static void drop_appendix_tail(struct verify *v)
{
    struct pbr_pxar_rec *last = (void *)(v->recs.ptr + (v->recs.len - sizeof(*last)));
    v->recs.len -= sizeof(*last);
    if (last[-1].size >= PBR_PXAR_GOODBYE_REC)
        last[-1].size -= PBR_PXAR_GOODBYE_REC;
}

static int by_name(const void *pa, const void *pb)
{
    const struct pbr_goodbye_child *a = pa, *b = pb;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->name_check != b->name_check)
        return a->name_check < b->name_check ? -1 : 1;
    return a->name_pos < b->name_pos ? -1 : a->name_pos > b->name_pos;
}

/* Names that are there twice, or different ones with one hash (one chance in 2^64, or a search for hours). One of each kind
 * is told per directory; equal names that follow each other in the archive were told there. */
static void report_equal_hashes(struct verify *v, const struct pbr_goodbye_child *children, size_t n)
{
    bool told_twice = false, told_hash = false;
    for (size_t i = 1; i < n; i++) {
        const struct pbr_goodbye_child *a = &children[i - 1], *b = &children[i];
        if (a->hash != b->hash)
            continue;
        const bool same = a->name_check == b->name_check;
        if (same && a->end_pos != b->name_pos && !told_twice) {
            told_twice = true;
            report_twice(v, b->name_pos, "two entries of the directory have the same name");
        } else if (!same && !told_hash) {
            told_hash = true;
            report(v, true, "PXAR-160", b->name_pos, false, "two names of the directory have one hash");
        }
    }
}

/* Leaves the children in the order for pbr_goodbye_check. */
static void check_uniqueness(struct verify *v, struct pbr_goodbye_child *children, size_t n)
{
    size_t i = 1;
    pbr_goodbye_sort(children, n);
    while (i < n && children[i - 1].hash != children[i].hash)
        i++;
    if (i >= n)
        return;
    qsort(children, n, sizeof(*children), by_name);
    report_equal_hashes(v, children, n);
    pbr_goodbye_sort(children, n);
}

static int end_goodbye(struct verify *v, struct pbr_diag *diag)
{
    const struct open_dir dir = *top_dir(v);
    struct pbr_goodbye_child *children =
        v->children.ptr ? (void *)(v->children.ptr + dir.children_before) : NULL;
    const size_t n = (v->children.len - dir.children_before) / sizeof(*children);
    struct pbr_diag cause = { 0 };
    int rc = PBR_OK;
    const bool is_root = v->dirs.len == sizeof(dir);
    const bool after_marker = is_root && v->root_pos > 0 && (v->version == 0 || v->has_appendix); /* [APX-035] */
    if (v->recs_wanted && is_root && v->has_appendix)
        drop_appendix_tail(v);
    check_uniqueness(v, children, n);
    if (!v->recs_wanted) /* told only here, where the path is the directory's */
        report(v, false, "PXAR-150", v->goodbye_pos, false, "goodbye table has not one record per child and a tail");
    if (v->recs_wanted) {
        rc = pbr_goodbye_check((const void *)v->recs.ptr, children, n, v->goodbye_pos,
                               after_marker ? v->root_pos : dir.entry_pos, &cause);
        rc = found(v, rc, &cause, false, diag);
    }
    v->children.len = dir.children_before;
    v->names.len = dir.names_before;
    v->dirs.len -= sizeof(dir);
    if (rc < 0 || v->dirs.len == 0)
        return rc;
    struct pbr_goodbye_child self = dir.self;
    self.end_pos = v->goodbye_end;
    return keep(v, &v->children, &self, sizeof(self), diag);
}

static int add_child(struct verify *v, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    const bool is_inline = e->kind == PBR_KIND_FILE && !e->has_ref;
    struct pbr_goodbye_child child = {
        .name_pos = e->name_pos,
        .end_pos = is_inline ? e->data_pos + e->size : e->end_pos,
        .size_extra = e->has_ref ? e->size : 0,
    };
    pbr_goodbye_child_set_name(&child, e->name);
    return keep(v, &v->children, &child, sizeof(child), diag);
}

/* ---- events ---- */

static int tell_entry(struct verify *v, const struct pbr_pxar_entry *e, bool in_appendix, struct pbr_diag *diag)
{
    const struct pbr_verify_opts *o = v->opts;
    return o->entry ? o->entry(o->ctx, e, pbr_reader_path(v->reader), in_appendix, diag) : PBR_OK;
}

static int check_entry(struct verify *v, const struct pbr_pxar_event *ev, struct pbr_diag *diag)
{
    const struct pbr_pxar_entry *e = &ev->entry;
    const bool is_root = ev->depth == 0;
    const bool in_appendix = pbr_reader_in_appendix(v->reader);
    struct pbr_diag cause = { 0 };
    v->res.entries += !in_appendix; /* there it is a file that was met before */
    if (is_root)
        v->root_pos = e->entry_pos;
    int rc = found(v, pbr_verify_entry(v->env, e, &cause), &cause, false, diag);
    if (rc == PBR_OK && !is_root && !in_appendix)
        rc = check_order(v, e, diag);
    if (rc < 0)
        return rc;
    if (in_appendix) {
        rc = check_appendix_file(v, e, diag);
        return rc == PBR_OK ? tell_entry(v, e, true, diag) : rc;
    }
    rc = e->kind == PBR_KIND_DIR ? enter_dir(v, e, is_root, diag) : add_child(v, e, diag);
    if (rc == PBR_OK && e->kind == PBR_KIND_FILE)
        rc = check_file(v, e, diag);
    if (rc == PBR_OK && e->kind == PBR_KIND_HARDLINK)
        rc = check_hardlink(v, e, diag);
    if (rc == PBR_OK && e->kind == PBR_KIND_APPENDIX_REF)
        rc = check_appendix_ref(v, e, diag);
    return rc == PBR_OK ? tell_entry(v, e, false, diag) : rc;
}

static int check_event(struct verify *v, const struct pbr_pxar_event *ev, struct pbr_diag *diag)
{
    switch (ev->ev) {
    case PBR_PXAR_EV_VERSION: v->version = ev->version; break;
    case PBR_PXAR_EV_APPENDIX:
        v->has_appendix = true;
        v->res.appendix_bytes = v->res.padding_bytes = ev->total;
        break;
    case PBR_PXAR_EV_ENTRY: return check_entry(v, ev, diag);
    case PBR_PXAR_EV_GOODBYE: begin_goodbye(v, ev); break;
    case PBR_PXAR_EV_GOODBYE_REC:
        return v->recs_wanted ? keep(v, &v->recs, &ev->rec, sizeof(ev->rec), diag) : PBR_OK;
    case PBR_PXAR_EV_DIR_END: return end_goodbye(v, diag);
    default: break;
    }
    return PBR_OK;
}

static int check_events(struct verify *v, struct pbr_diag *diag)
{
    while (!v->broken) {
        struct pbr_pxar_event ev;
        struct pbr_diag cause = { 0 };
        int rc = pbr_reader_next(v->reader, &ev, &cause);
        if (rc < 0) {
            v->broken = true;
            return found(v, rc, &cause, is_payload_rule(&cause), diag);
        }
        if (ev.ev == PBR_PXAR_EV_END)
            return PBR_OK;
        rc = check_event(v, &ev, diag);
        if (rc < 0)
            return rc;
        v->res.broken_pos = pbr_reader_pos(v->reader);
        v->res.open_dirs = v->dirs.len / sizeof(struct open_dir);
        v->res.after_dir = ev.ev == PBR_PXAR_EV_DIR_END;
    }
    return PBR_OK;
}

/* ---- behind the last event ---- */

/* Reads a stream to its end; *ret_last holds the last 16 bytes, if there were as many. */
static int drain(struct pbr_stream *s, uint64_t *ret_len, uint8_t ret_last[PBR_PXAR_HDR], struct pbr_diag *diag)
{
    uint64_t total = 0;
    for (;;) {
        struct pbr_span view;
        const int rc = pbr_stream_peek(s, &view, diag);
        if (rc < 0)
            return rc;
        if (view.len == 0)
            break;
        const size_t n = view.len < PBR_PXAR_HDR ? view.len : PBR_PXAR_HDR;
        memmove(ret_last, ret_last + n, PBR_PXAR_HDR - n);
        memcpy(ret_last + (PBR_PXAR_HDR - n), view.ptr + (view.len - n), n);
        total += view.len;
        pbr_stream_consume(s, view.len);
    }
    *ret_len = total;
    return PBR_OK;
}

static int check_archive_end(struct verify *v, struct pbr_stream *archive, struct pbr_diag *diag)
{
    uint8_t last[PBR_PXAR_HDR] = { 0 };
    uint64_t rest = 0;
    const uint64_t end = pbr_reader_pos(v->reader);
    const int rc = drain(archive, &rest, last, diag);
    if (rc < 0)
        return rc;
    v->res.archive_size = end + rest;
    if (rest > 0)
        report(v, false, "PXAR-036", end, false, "bytes behind the end of the archive");
    return PBR_OK;
}

static int check_payload_end(struct verify *v, struct pbr_stream *payload, struct pbr_diag *diag)
{
    uint8_t last[PBR_PXAR_HDR] = { 0 }, want[PBR_PXAR_HDR];
    uint64_t rest = 0;
    const int rc = drain(payload, &rest, last, diag);
    if (rc < 0)
        return rc;
    const uint64_t size = pbr_reader_payload_pos(v->reader) + rest;
    const bool draft = v->version == 0; /* no start marker [SPL-025] */
    const uint64_t used = v->ref_end > PBR_PXAR_HDR || draft ? v->ref_end : PBR_PXAR_HDR;
    v->res.payload_size = size;
    if (v->version == 1 && v->res.refs == 0) /* no version at all: the draft [SPL-026]; references: told there */
        report(v, false, "PXAR-008", 0, true, "payload stream beside an archive that is not version 2");
    pbr_pxar_hdr_emit(want, PBR_PXAR_PAYLOAD_TAIL, 0);
    if (size < used)
        report(v, false, "PXAR-274", size, true, "payload stream ends inside a referenced file");
    else if (size < used + PBR_PXAR_HDR || rest < PBR_PXAR_HDR || memcmp(last, want, sizeof(want)) != 0)
        report(v, draft, draft ? "SPL-024" : "PXAR-135", size, true, "payload stream does not end with its tail marker");
    const uint64_t known = v->res.file_bytes + (v->res.refs + (draft ? 1 : 2)) * PBR_PXAR_HDR;
    v->res.padding_bytes = size > known ? size - known : 0;
    return PBR_OK;
}

static void release(struct verify *v)
{
    pbr_reader_free(v->reader);
    pbr_buf_release(&v->dirs);
    pbr_buf_release(&v->children);
    pbr_buf_release(&v->recs);
    pbr_buf_release(&v->names);
    pbr_buf_release(&v->files);
}

static int open_reader(struct verify *v, struct pbr_stream *archive, struct pbr_stream *payload,
                       struct pbr_diag *diag)
{
    const struct pbr_reader_opts opts = { .goodbye = true, .meta_only = v->opts->meta_only };
    struct pbr_diag cause = { 0 };
    const int rc = pbr_reader_open_opts(v->env, archive, payload, &opts, &v->reader, &cause);
    v->broken = rc < 0;
    return found(v, rc, &cause, true, diag);
}

int pbr_verify(const struct pbr_env *env, struct pbr_stream *archive, struct pbr_stream *payload,
               const struct pbr_verify_opts *opts, struct pbr_verify_result *ret, struct pbr_diag *diag)
{
    static const struct pbr_verify_opts none = { 0 };
    struct verify v = { .env = env, .opts = opts ? opts : &none, .has_payload = payload != NULL };
    pbr_buf_init(&v.dirs, env, PBR_PATH_DEPTH_MAX * sizeof(struct open_dir));
    pbr_buf_init(&v.children, env, LIST_MAX);
    pbr_buf_init(&v.recs, env, LIST_MAX);
    pbr_buf_init(&v.names, env, NAMES_MAX);
    pbr_buf_init(&v.files, env, FILES_MAX);
    int rc = open_reader(&v, archive, payload, diag);
    if (rc == PBR_OK && !v.broken)
        rc = check_events(&v, diag);
    if (rc == PBR_OK && !v.broken)
        rc = check_archive_end(&v, archive, diag);
    if (rc == PBR_OK && !v.broken && payload)
        rc = check_payload_end(&v, payload, diag);
    v.res.broken = v.broken;
    if (rc == PBR_OK)
        *ret = v.res;
    release(&v);
    return rc;
}
