/* SPDX-License-Identifier: MIT */
/* Random access to archives; see access.h. */
#include "archive/access.h"

#include <stdlib.h>
#include <string.h>

#include "archive/read.h"
#include "base/limits.h"
#include "format/goodbye.h"

enum {
    ARCHIVE_MIN = 24,               /* PXAR-260 */
    TABLE_MIN = PBR_PXAR_HDR + PBR_PXAR_GOODBYE_REC, /* PXAR-263 */
    TABLE_MAX = 1 << 30,            /* bytes of one goodbye table: 44 million children */
    READ_MIN = 512,                 /* first read of an entry: most need one */
    READ_MAX = 64 << 10,
    READ_BIT = 8,                   /* a divisor of all items' fixed parts */
};

struct pbr_access {
    const struct pbr_env *env;
    const struct pbr_source *archive, *payload;
    uint64_t root;            /* position of the root's ENTRY as its tail names it: 0 but behind a draft's marker */
    uint64_t appendix, total; /* the appendix: where it starts, its bytes; total 0: there is none */
};

struct pbr_access_dir {
    struct pbr_access *a;
    uint64_t end;        /* position where the directory ends */
    uint64_t goodbye;    /* G: position of its GOODBYE header */
    uint64_t self;       /* position of its ENTRY; root: 0 */
    uint64_t n;          /* children */
    uint8_t *table;      /* n records as stored */
    uint64_t *order;     /* slots by ascending FILENAME position; NULL until asked for */
};

/* ---- open ---- */

static int check_start(const struct pbr_source *archive, struct pbr_diag *diag)
{
    uint8_t start[ARCHIVE_MIN];
    if (archive->size < ARCHIVE_MIN)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-260", 0, "%" PRIu64 " bytes are too small to contain a pxar archive",
                        archive->size);
    const int rc = pbr_source_read_at(archive, 0, start, sizeof(start), diag);
    if (rc < 0)
        return rc;
    const uint64_t htype = pbr_get_u64le(start);
    const uint64_t full = pbr_get_u64le(start + 8);
    const uint64_t version = pbr_get_u64le(start + 16);
    if (full < PBR_PXAR_HDR)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-004", 0, "invalid header - too small (%" PRIu64 ")", full);
    if (htype == PBR_PXAR_FORMAT_VERSION && version != 1 && version != 2)
        return pbr_fail(diag, PBR_E_UNSUPPORTED, "PXAR-041", 16, "unknown format version %" PRIu64, version);
    if (htype != PBR_PXAR_FORMAT_VERSION && htype != PBR_PXAR_DRAFT_VERSION && htype != PBR_PXAR_ENTRY && htype != PBR_PXAR_ENTRY_V1)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-005", 0, "archive starts with item %s",
                        pbr_pxar_type_name(htype));
    return PBR_OK;
}

/* The two last records, and the item in front of the appendix that they lead to [APX-061]. */
static int check_appendix(struct pbr_access *a, struct pbr_pxar_rec tail, struct pbr_pxar_rec appendix, struct pbr_diag *diag)
{
    enum { ITEM = PBR_PXAR_HDR + 8 };
    uint8_t item[ITEM];
    const uint64_t end = a->archive->size, at = end - PBR_PXAR_GOODBYE_REC;
    if (tail.hash != PBR_PXAR_GOODBYE_TAIL || tail.size > end || appendix.offset != appendix.size || appendix.size == 0 ||
        appendix.offset > end - tail.size || end - tail.size - appendix.offset < ITEM || tail.offset > end - tail.size)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-061", at, "the last record does not lead to an appendix");
    const uint64_t start = end - tail.size - appendix.offset;
    const int rc = pbr_source_read_at(a->archive, start - ITEM, item, ITEM, diag);
    if (rc < 0)
        return rc;
    if (pbr_get_u64le(item) != PBR_PXAR_APPENDIX || pbr_get_u64le(item + 8) != ITEM ||
        pbr_get_u64le(item + PBR_PXAR_HDR) != appendix.size)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-061", start - ITEM, "no APPENDIX item in front of the appendix");
    a->root = end - tail.size - tail.offset;
    a->appendix = start;
    a->total = appendix.size;
    return PBR_OK;
}

/* What the end says [APX-060]; that there is a goodbye table at all is found out later. */
static int check_end(struct pbr_access *a, struct pbr_diag *diag)
{
    uint8_t recs[2 * PBR_PXAR_GOODBYE_REC];
    if (a->archive->size < sizeof(recs))
        return PBR_OK;
    const int rc = pbr_source_read_at(a->archive, a->archive->size - sizeof(recs), recs, sizeof(recs), diag);
    if (rc < 0)
        return rc;
    const struct pbr_pxar_rec last = pbr_goodbye_rec_get(recs + PBR_PXAR_GOODBYE_REC);
    return last.hash == PBR_PXAR_APPENDIX_TAIL ? check_appendix(a, pbr_goodbye_rec_get(recs), last, diag) : PBR_OK;
}

/* An archive with the draft's marker names the ENTRY behind it, with or without appendix [APX-035]. */
static int check_marker(struct pbr_access *a, struct pbr_diag *diag)
{
    uint8_t hdr[PBR_PXAR_HDR];
    const int rc = pbr_source_read_at(a->archive, 0, hdr, sizeof(hdr), diag);
    if (rc == PBR_OK && pbr_get_u64le(hdr) == PBR_PXAR_DRAFT_VERSION)
        a->root = PBR_PXAR_HDR;
    return rc;
}

int pbr_access_open(const struct pbr_env *env, const struct pbr_source *archive, const struct pbr_source *payload,
                    struct pbr_access **ret, struct pbr_diag *diag)
{
    struct pbr_access access = { .env = env, .archive = archive, .payload = payload };
    int rc = check_start(archive, diag);
    if (rc == PBR_OK)
        rc = check_marker(&access, diag);
    if (rc == PBR_OK)
        rc = check_end(&access, diag);
    if (rc < 0)
        return rc;
    struct pbr_access *a = pbr_alloc(env, 1, sizeof(*a));
    if (!a)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    *a = access;
    *ret = a;
    return PBR_OK;
}

void pbr_access_free(struct pbr_access *a)
{
    if (a)
        pbr_free(a->env, a);
}

uint64_t pbr_access_appendix(const struct pbr_access *a, uint64_t *ret_start)
{
    *ret_start = a->appendix;
    return a->total;
}

void pbr_access_entry_free(struct pbr_access_entry *e)
{
    if (!e)
        return;
    pbr_pxar_dec_free(e->dec);
    pbr_free(e->env, e);
}

bool pbr_access_is_loss(int rc, const struct pbr_diag *cause)
{
    switch (rc) {
    case PBR_E_TRUNCATED:
    case PBR_E_FORMAT:
    case PBR_E_UNSUPPORTED:
    case PBR_E_LIMIT:
    case PBR_E_INTEGRITY:
    case PBR_E_CRYPTO:
    case PBR_E_NOENT:
        return true;
    case PBR_E_REMOTE:
        return cause->status != 0; /* an answer; without one the connection is gone */
    default:
        return false;
    }
}

/* ---- decoding one entry ---- */

/* Feeds in[...] to the decoder until its ENTRY is out. 1: *ret filled; 0: needs more. */
static int feed(struct pbr_pxar_dec *dec, struct pbr_span in, struct pbr_pxar_entry *ret, struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_pxar_event ev;
        size_t used;
        const int rc = pbr_pxar_dec_step(dec, in, &used, &ev, diag);
        if (rc < 0)
            return rc;
        in = pbr_span_sub(in, used, in.len);
        if (ev.ev == PBR_PXAR_EV_ENTRY) {
            *ret = ev.entry;
            return 1;
        }
        if (ev.ev == PBR_PXAR_EV_MORE || ev.ev == PBR_PXAR_EV_END)
            return 0;
    }
}

/* Reads *n bytes, or where they are not all to be had only the first READ_BIT of them: what is lost may lie behind the
 * entry. */
static int read_piece(struct pbr_access *a, uint64_t pos, uint8_t *out, size_t *n, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    const int rc = pbr_source_read_at(a->archive, pos, out, *n, &cause);
    if (rc < 0 && *n > READ_BIT && pbr_access_is_loss(rc, &cause)) {
        *n = READ_BIT;
        return pbr_source_read_at(a->archive, pos, out, READ_BIT, diag);
    }
    if (rc < 0 && diag && diag->code == PBR_OK)
        *diag = cause;
    return rc;
}

/* Reads [pos, end) until the entry that starts there is decoded. */
static int decode_range(struct pbr_access *a, struct pbr_pxar_dec *dec, uint64_t pos, uint64_t end,
                        struct pbr_pxar_entry *ret, struct pbr_diag *diag)
{
    uint8_t *buf = pbr_realloc(a->env, NULL, READ_MAX);
    if (!buf)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    int rc = 0;
    for (size_t want = READ_MIN; rc == 0 && pos < end;) {
        size_t n = end - pos < want ? (size_t)(end - pos) : want;
        rc = read_piece(a, pos, buf, &n, diag);
        if (rc == PBR_OK)
            rc = feed(dec, pbr_span(buf, n), ret, diag);
        pos += n;
        want = n == READ_BIT ? READ_BIT : READ_MAX;
    }
    if (rc == 0) {
        struct pbr_pxar_event ev;
        rc = pbr_pxar_dec_finish(dec, &ev, diag);
        if (rc == PBR_OK)
            *ret = ev.entry;
    }
    pbr_free(a->env, buf);
    return rc < 0 ? rc : PBR_OK;
}

/* The entry whose items start at `pos` (FILENAME, or ENTRY of a directory itself) and lie before `end`. */
static int load_entry(struct pbr_access *a, uint64_t pos, uint64_t end, struct pbr_access_entry **ret,
                      struct pbr_diag *diag)
{
    const struct pbr_pxar_dec_opts opts = { .subtree = true, .base_pos = pos };
    struct pbr_access_entry *e = pbr_alloc(a->env, 1, sizeof(*e));
    if (!e)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    e->env = a->env;
    e->end = end;
    e->at = pos;
    int rc = pbr_pxar_dec_new(a->env, &opts, &e->dec);
    if (rc < 0)
        rc = pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    else
        rc = decode_range(a, e->dec, pos, end, &e->entry, diag);
    if (rc < 0) {
        pbr_access_entry_free(e);
        return rc;
    }
    *ret = e;
    return PBR_OK;
}

/* The file that a reference leads to, in place of the reference [APX-054, APX-063, APX-064]. */
static int resolve(struct pbr_access *a, struct pbr_access_entry **entry, struct pbr_diag *diag)
{
    const struct pbr_pxar_entry *ref = &(*entry)->entry;
    struct pbr_access_entry *e;
    if (ref->appendix_off >= a->total)
        return pbr_fail(diag, PBR_E_FORMAT, a->total ? "APX-054" : "APX-056", ref->entry_pos,
                        "reference to %" PRIu64 " of an appendix of %" PRIu64 " bytes", ref->appendix_off, a->total);
    const uint64_t pos = a->appendix + ref->appendix_off, end = a->appendix + a->total;
    int rc = load_entry(a, pos, end, &e, diag);
    if (rc < 0)
        return rc;
    if (e->entry.kind != PBR_KIND_FILE || e->entry.has_ref)
        rc = pbr_fail(diag, PBR_E_FORMAT, "APX-029", pos, "a reference leads to a %s", pbr_pxar_kind_name(e->entry.kind));
    else if (!pbr_span_eq(e->entry.name, ref->name) || e->entry.size != ref->size || e->entry.size > end - e->entry.data_pos)
        rc = pbr_fail(diag, PBR_E_FORMAT, "APX-054", pos, "the file in the appendix is not the one that was referenced");
    if (rc < 0) {
        pbr_access_entry_free(e);
        return rc;
    }
    e->end = (*entry)->end;
    e->at = (*entry)->at;
    pbr_access_entry_free(*entry);
    *entry = e;
    return PBR_OK;
}

/* ---- directories ---- */

void pbr_access_dir_free(struct pbr_access_dir *d)
{
    if (!d)
        return;
    pbr_free(d->a->env, d->table);
    pbr_free(d->a->env, d->order);
    pbr_free(d->a->env, d);
}

static int read_table(struct pbr_access *a, struct pbr_access_dir *d, struct pbr_diag *diag)
{
    uint8_t bytes[PBR_PXAR_GOODBYE_REC];
    const bool has_appendix = a->total > 0 && d->end == a->archive->size; /* one record more [APX-062] */
    const uint64_t tail_end = has_appendix ? d->end - PBR_PXAR_GOODBYE_REC : d->end;
    const uint64_t end = d->end;
    if (end < PBR_PXAR_GOODBYE_REC || end > a->archive->size)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-261", end, "no directory can end here");
    const uint64_t tail_pos = tail_end - PBR_PXAR_GOODBYE_REC;
    int rc = pbr_source_read_at(a->archive, tail_pos, bytes, sizeof(bytes), diag);
    if (rc < 0)
        return rc;
    const struct pbr_pxar_rec tail = pbr_goodbye_rec_get(bytes);
    if (tail.hash != PBR_PXAR_GOODBYE_TAIL)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-261", tail_pos, "no goodbye tail marker found");
    if (tail.size < TABLE_MIN || (tail.size - PBR_PXAR_HDR) % PBR_PXAR_GOODBYE_REC != 0)
        return pbr_fail(diag, PBR_E_FORMAT, tail.size < TABLE_MIN ? "PXAR-263" : "PXAR-261", tail_pos,
                        "invalid goodbye table size: %" PRIu64, tail.size);
    if (tail.size > end)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-261", tail_pos, "goodbye tail size out of range");
    d->goodbye = end - tail.size;
    if (tail.offset > d->goodbye)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-261", tail_pos, "goodbye offset out of range");
    d->self = d->goodbye - tail.offset;
    if (has_appendix && tail.size < TABLE_MIN + PBR_PXAR_GOODBYE_REC)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-033", tail_pos, "invalid goodbye table size: %" PRIu64, tail.size);
    const uint64_t len = tail.size - TABLE_MIN - (has_appendix ? PBR_PXAR_GOODBYE_REC : 0);
    if (len > TABLE_MAX)
        return pbr_fail(diag, PBR_E_LIMIT, NULL, tail_pos, "goodbye table of %" PRIu64 " bytes", len);
    d->n = len / PBR_PXAR_GOODBYE_REC;
    d->table = pbr_realloc(a->env, NULL, (size_t)len);
    if (!d->table)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    return len ? pbr_source_read_at(a->archive, d->goodbye + PBR_PXAR_HDR, d->table, (size_t)len, diag) : PBR_OK;
}

int pbr_access_opendir_at(struct pbr_access *a, uint64_t end, struct pbr_access_dir **ret, struct pbr_diag *diag)
{
    struct pbr_access_dir *d = pbr_alloc(a->env, 1, sizeof(*d));
    if (!d)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    d->a = a;
    d->end = end;
    const int rc = read_table(a, d, diag);
    if (rc < 0) {
        pbr_access_dir_free(d);
        return rc;
    }
    *ret = d;
    return PBR_OK;
}

int pbr_access_opendir(struct pbr_access *a, const struct pbr_access_entry *e, struct pbr_access_dir **ret,
                       struct pbr_diag *diag)
{
    struct pbr_access_dir *d;
    if (e->entry.kind != PBR_KIND_DIR)
        return pbr_fail_at(diag, PBR_E_STATE, "PXAR-271", "enter_directory() on a non-directory");
    const int rc = pbr_access_opendir_at(a, e->end, &d, diag);
    if (rc < 0)
        return rc;
    if (d->self != (e->is_root ? a->root : e->entry.entry_pos)) { /* a wrong size leads into another directory, or around */
        const uint64_t self = d->self;
        pbr_access_dir_free(d);
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-152", e->end, "goodbye table belongs to the directory at %" PRIu64,
                        self);
    }
    *ret = d;
    return PBR_OK;
}

uint64_t pbr_access_dir_count(const struct pbr_access_dir *d)
{
    return d->n;
}

uint64_t pbr_access_dir_start(const struct pbr_access_dir *d)
{
    return d->self;
}

int pbr_access_dir_self(struct pbr_access_dir *d, struct pbr_access_entry **ret, struct pbr_diag *diag)
{
    struct pbr_access_entry *e;
    int rc = load_entry(d->a, d->self, d->end, &e, diag);
    if (rc < 0)
        return rc;
    if (e->entry.kind != PBR_KIND_DIR || e->entry.name.len) {
        rc = pbr_fail(diag, PBR_E_FORMAT, "PXAR-265", d->self, "no directory's own entry lies there");
        pbr_access_entry_free(e);
        return rc;
    }
    e->is_root = d->self == d->a->root;
    *ret = e;
    return PBR_OK;
}

static struct pbr_pxar_rec rec_at(const struct pbr_access_dir *d, uint64_t i)
{
    return pbr_goodbye_rec_get(d->table + i * PBR_PXAR_GOODBYE_REC);
}

/* Position of the FILENAME of child i and end of its range (PXAR-266). */
static int child_range(const struct pbr_access_dir *d, uint64_t i, uint64_t *ret_pos, uint64_t *ret_end,
                       struct pbr_diag *diag)
{
    const struct pbr_pxar_rec rec = rec_at(d, i);
    const uint64_t at = d->goodbye + PBR_PXAR_HDR + i * PBR_PXAR_GOODBYE_REC;
    uint64_t end;
    if (rec.offset > d->goodbye || d->goodbye - rec.offset <= d->self)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-266", at, "invalid file offset %" PRIu64, rec.offset);
    const uint64_t pos = d->goodbye - rec.offset;
    if (!pbr_add(pos, rec.size, &end) || end <= pos)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-266", at, "bad file: invalid entry ranges");
    *ret_pos = pos;
    *ret_end = end;
    return PBR_OK;
}

int pbr_access_dir_get(struct pbr_access_dir *d, uint64_t i, struct pbr_access_entry **ret, struct pbr_diag *diag)
{
    struct pbr_access_entry *e;
    uint64_t pos = 0, end = 0;
    if (i >= d->n)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "child %" PRIu64 " of %" PRIu64, i, d->n);
    int rc = child_range(d, i, &pos, &end, diag);
    if (rc < 0)
        return rc;
    /* newly written files of split archives announce more than they have here (PXAR-157): the table is a sure end */
    rc = load_entry(d->a, pos, end < d->goodbye ? end : d->goodbye, &e, diag);
    if (rc < 0)
        return rc;
    if (e->entry.kind == PBR_KIND_APPENDIX_REF)
        rc = resolve(d->a, &e, diag);
    else if (e->entry.name.len == 0)
        rc = pbr_fail(diag, PBR_E_FORMAT, "PXAR-266", pos, "expected PXAR_FILENAME header");
    else if (e->entry.kind != PBR_KIND_FILE && end > d->goodbye)
        rc = pbr_fail(diag, PBR_E_FORMAT, "PXAR-159", pos, "entry reaches into its directory's goodbye table");
    if (rc < 0) {
        pbr_access_entry_free(e);
        return rc;
    }
    *ret = e;
    return PBR_OK;
}

/* qsort has no context: the offsets are sorted together with their slots. */
struct slot_at {
    uint64_t pos, slot;
};

static int by_pos(const void *pa, const void *pb)
{
    const struct slot_at *a = pa, *b = pb;
    return a->pos < b->pos ? -1 : a->pos > b->pos;
}

static int build_order(struct pbr_access_dir *d, struct pbr_diag *diag)
{
    struct slot_at *slots = pbr_alloc(d->a->env, (size_t)d->n, sizeof(*slots));
    uint64_t *order = pbr_alloc(d->a->env, (size_t)d->n, sizeof(*order));
    if (!slots || !order) {
        pbr_free(d->a->env, slots);
        pbr_free(d->a->env, order);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    }
    for (uint64_t i = 0; i < d->n; i++) /* ascending position = descending offset; wild offsets fail when used */
        slots[i] = (struct slot_at){ UINT64_MAX - rec_at(d, i).offset, i };
    qsort(slots, (size_t)d->n, sizeof(*slots), by_pos);
    for (uint64_t i = 0; i < d->n; i++)
        order[i] = slots[i].slot;
    pbr_free(d->a->env, slots);
    d->order = order;
    return PBR_OK;
}

int pbr_access_dir_get_ordered(struct pbr_access_dir *d, uint64_t i, struct pbr_access_entry **ret,
                               struct pbr_diag *diag)
{
    if (i < d->n && !d->order) {
        const int rc = build_order(d, diag);
        if (rc < 0)
            return rc;
    }
    return pbr_access_dir_get(d, i < d->n ? d->order[i] : i, ret, diag);
}

static uint64_t hash_at(void *ctx, size_t i)
{
    return rec_at(ctx, i).hash;
}

int pbr_access_dir_find(struct pbr_access_dir *d, struct pbr_span name, struct pbr_access_entry **ret,
                        struct pbr_diag *diag)
{
    struct pbr_goodbye_find find;
    size_t i;
    pbr_goodbye_find_init(&find, pbr_pxar_name_hash(name), (size_t)d->n);
    while (pbr_goodbye_find_next(&find, hash_at, d, &i)) {
        struct pbr_access_entry *e;
        const int rc = pbr_access_dir_get(d, i, &e, diag);
        if (rc < 0)
            return rc;
        if (pbr_span_eq(e->entry.name, name)) {
            *ret = e;
            return PBR_OK;
        }
        pbr_access_entry_free(e);
    }
    return pbr_fail_at(diag, PBR_E_NOENT, "PXAR-269", "no such entry in the archive");
}

/* ---- paths ---- */

int pbr_access_root(struct pbr_access *a, struct pbr_access_entry **ret, struct pbr_diag *diag)
{
    struct pbr_access_dir *d;
    int rc = pbr_access_opendir_at(a, a->archive->size, &d, diag); /* PXAR-262 */
    if (rc < 0)
        return rc;
    if (d->self != a->root)
        rc = pbr_fail(diag, PBR_E_FORMAT, "PXAR-153", a->archive->size, "the last goodbye table is not the root's");
    else
        rc = pbr_access_dir_self(d, ret, diag);
    pbr_access_dir_free(d);
    return rc;
}

/* Cuts the next component off *path; empty at the end. */
static struct pbr_span next_component(struct pbr_span *path)
{
    size_t from = 0;
    while (from < path->len && path->ptr[from] == '/')
        from++;
    size_t to = from;
    while (to < path->len && path->ptr[to] != '/')
        to++;
    const struct pbr_span part = pbr_span_sub(*path, from, to - from);
    *path = pbr_span_sub(*path, to, path->len);
    return part;
}

static int step_into(struct pbr_access *a, const struct pbr_access_entry *dir, struct pbr_span name,
                     struct pbr_access_entry **ret, struct pbr_diag *diag)
{
    struct pbr_access_dir *d;
    if (pbr_span_eq_str(name, ".."))
        return pbr_fail_at(diag, PBR_E_ARG, "PXAR-271", "cannot enter parent directory in archive");
    if (dir->entry.kind != PBR_KIND_DIR)
        return pbr_fail_at(diag, PBR_E_ARG, "PXAR-271", "enter_directory() on a non-directory");
    int rc = pbr_access_opendir(a, dir, &d, diag);
    if (rc < 0)
        return rc;
    rc = pbr_access_dir_find(d, name, ret, diag);
    pbr_access_dir_free(d);
    return rc;
}

int pbr_access_lookup(struct pbr_access *a, struct pbr_span path, struct pbr_access_entry **ret,
                      struct pbr_diag *diag)
{
    struct pbr_access_entry *at;
    if (path.len == 0)
        return pbr_fail_at(diag, PBR_E_NOENT, "PXAR-271", "the empty path names nothing");
    int rc = pbr_access_root(a, &at, diag);
    if (rc < 0)
        return rc;
    for (;;) {
        struct pbr_access_entry *child;
        const struct pbr_span name = next_component(&path);
        if (name.len == 0)
            break;
        if (pbr_span_eq_str(name, "."))
            continue;
        rc = step_into(a, at, name, &child, diag);
        pbr_access_entry_free(at);
        if (rc < 0)
            return rc;
        at = child;
    }
    *ret = at;
    return PBR_OK;
}

/* ---- links and contents ---- */

int pbr_access_follow(struct pbr_access *a, const struct pbr_access_entry *link, struct pbr_access_entry **ret,
                      struct pbr_diag *diag)
{
    const struct pbr_pxar_entry *l = &link->entry;
    struct pbr_access_entry *e;
    if (l->kind != PBR_KIND_HARDLINK)
        return pbr_fail_at(diag, PBR_E_STATE, "PXAR-275", "not a hard link");
    if (l->link_off == 0 || l->link_off > l->name_pos)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-275", l->entry_pos, "invalid offset in hardlink");
    const uint64_t pos = l->name_pos - l->link_off;
    int rc = load_entry(a, pos, l->name_pos, &e, diag); /* the target's items end before the link's begin */
    if (rc < 0)
        return rc;
    if (e->entry.kind == PBR_KIND_APPENDIX_REF)
        rc = resolve(a, &e, diag); /* [APX-037] */
    else if (e->entry.name.len == 0 || e->entry.kind != PBR_KIND_FILE)
        rc = pbr_fail(diag, PBR_E_FORMAT, "PXAR-275", l->entry_pos, "hardlink does not point to a regular file");
    if (rc < 0) {
        pbr_access_entry_free(e);
        return rc;
    }
    *ret = e;
    return PBR_OK;
}

static int content_ref(struct pbr_access *a, const struct pbr_pxar_entry *e, struct pbr_access_content *ret,
                       struct pbr_diag *diag)
{
    uint8_t hdr[PBR_PXAR_HDR];
    uint64_t start, end;
    if (!a->payload)
        return pbr_fail_at(diag, PBR_E_STATE, "PXAR-278", "contents without the payload stream");
    if (!pbr_add(e->ref_off, sizeof(hdr), &start) || !pbr_add(start, e->size, &end) || end > a->payload->size)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-274", e->entry_pos, "out of range access for payload");
    int rc = pbr_source_read_at(a->payload, e->ref_off, hdr, sizeof(hdr), diag);
    if (rc == PBR_OK)
        rc = pbr_reader_check_payload_header(hdr, e->size, e->ref_off, diag);
    if (rc < 0)
        return rc;
    *ret = (struct pbr_access_content){ a->payload, start, e->size };
    return PBR_OK;
}

int pbr_access_content(struct pbr_access *a, const struct pbr_access_entry *file, struct pbr_access_content *ret,
                       struct pbr_diag *diag)
{
    const struct pbr_pxar_entry *e = &file->entry;
    uint64_t end;
    if (e->kind != PBR_KIND_FILE)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "%s has no contents", pbr_pxar_kind_name(e->kind));
    if (e->has_ref)
        return content_ref(a, e, ret, diag);
    if (!pbr_add(e->data_pos, e->size, &end) || end > a->archive->size)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-273", e->entry_pos, "file contents reach beyond the archive");
    *ret = (struct pbr_access_content){ a->archive, e->data_pos, e->size };
    return PBR_OK;
}

int pbr_access_content_read(const struct pbr_access_content *c, uint64_t off, uint8_t *out, size_t len,
                            size_t *ret_len, struct pbr_diag *diag)
{
    if (off >= c->size) {
        *ret_len = 0;
        return PBR_OK;
    }
    const size_t n = len < c->size - off ? len : (size_t)(c->size - off);
    const int rc = pbr_source_read_at(c->src, c->off + off, out, n, diag);
    if (rc == PBR_OK)
        *ret_len = n;
    return rc;
}
