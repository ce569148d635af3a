/* SPDX-License-Identifier: MIT */
/* The decision of change detection. Input: byte 0 entries that may wait (mod 20, 0: 1); byte 1 chunks of the previous index
 * (1 + mod 63); byte 2 bit 0: the index begins and ends with a marker as an intact one does, bit 1: the stream of the
 * draft, which has no start marker [SPL-025]; bytes 3..7 reserved; then two bytes per chunk, its size; then records of eight
 * bytes: kind and flags, what the previous entry says (enum), size (2), offset (3), inode.
 *
 * Reaches: pbr_reuse_* (reuse.c), pbr_run_find, _holds (run.c), pbr_seen_add (seen.c).
 * Asserts, whatever the previous archive and index say: references strictly increase and lie behind the payload position at
 * which they are written; each re-used file's reference leads to exactly the bytes that the previous reference named, all of
 * them injected; chunks are injected as the index has them; no more entries wait than may; the account (files, bytes,
 * chunks, padding) equals what was written; with room for few entries to wait and with room for many. */
#include "detect/reuse.h"
#include "fuzz.h"
#include "support/take.h"

enum { HEAD = 8, CHUNKS_MAX = 63, ENTRIES_MAX = 300, INJECT_MAX = 4096, MARKER = 16 };

enum previous { PREV_NONE, PREV_SAME, PREV_NEXT, PREV_OTHER_META, PREV_OTHER_SIZE, PREV_KIND, PREV_INLINE, PREV_HUGE };

struct file {
    struct pbr_reuse_entry entry;
    struct pbr_pxar_meta meta;
    struct pbr_pxar_entry previous;
    bool has_previous;
};

struct reference {
    uint64_t off, size, previous_off;
};

/* Payload positions [start, start + size) came from there in the previous stream. */
struct piece {
    uint64_t start, size, from;
};

struct world {
    struct pbr_index index;
    uint8_t *index_file;
    struct file files[ENTRIES_MAX];
    size_t nr;
    uint64_t first; /* where the first file can begin, in both streams */
    /* a run */
    const struct file *current;
    uint64_t pos;
    struct {
        const struct file *file;
        uint64_t rel;
    } waiting[ENTRIES_MAX];
    size_t waiting_nr, limited, lookups;
    struct reference refs[ENTRIES_MAX];
    size_t ref_nr;
    struct piece pieces[INJECT_MAX];
    size_t piece_nr;
    uint64_t seen[ENTRIES_MAX];
    size_t seen_nr;
    uint64_t written_files, written_bytes, reused_bytes, links;
};

/* ---- input ---- */

static void take_index(struct take *t, struct world *w, size_t nr, bool markers)
{
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    const size_t len = PBR_INDEX_HDR + nr * PBR_DIDX_REC;
    uint64_t end = 0;
    w->index_file = calloc(1, len);
    MUST(w->index_file);
    pbr_index_hdr_emit(&head, w->index_file);
    for (size_t i = 0; i < nr; i++) {
        const uint64_t size = take_u(t, 2);
        const uint8_t digest[PBR_DIGEST_LEN] = { (uint8_t)(size % 3) }; /* many are alike [CDM-061] */
        end += (size ? size : 1) + (markers && (i == 0 || i == nr - 1) ? MARKER : 0);
        pbr_didx_rec_emit(end, digest, w->index_file + PBR_INDEX_HDR + i * PBR_DIDX_REC);
    }
    MUST(pbr_index_parse(pbr_span(w->index_file, len), false, &w->index, NULL) == PBR_OK);
}

static void take_previous(struct file *f, enum previous what, uint64_t off, uint64_t *next)
{
    f->has_previous = what != PREV_NONE;
    f->previous = (struct pbr_pxar_entry){ .kind = PBR_KIND_FILE, .meta = f->meta, .size = f->entry.size,
                                           .has_ref = true, .ref_off = off };
    switch (what) {
    case PREV_NEXT: f->previous.ref_off = *next; break;
    case PREV_OTHER_META: f->previous.meta.mtime_ns++; break;
    case PREV_OTHER_SIZE: f->previous.size++; break;
    case PREV_KIND: f->previous.kind = PBR_KIND_HARDLINK; break;
    case PREV_INLINE: f->previous.has_ref = false; break;
    case PREV_HUGE: f->previous.ref_off = UINT64_MAX - off; break;
    default: break;
    }
    *next = f->previous.ref_off + MARKER + f->previous.size;
}

static void take_files(struct take *t, struct world *w)
{
    uint64_t next = w->first;
    while (take_more(t) && w->nr < ENTRIES_MAX) {
        struct file *f = &w->files[w->nr++];
        const uint8_t kind = take_u8(t), previous = take_u8(t);
        const uint64_t size = take_u(t, 2), off = take_u(t, 3), inode = take_u8(t);
        /* every second entry or more is a file */
        f->entry.kind = kind & 1 ? PBR_REUSE_FILE : (enum pbr_reuse_kind)((kind >> 1) % 4);
        f->entry.size = kind & 0x80 ? UINT64_MAX - size : size;
        f->entry.dev = 1;
        f->entry.ino = inode;
        f->entry.nlink = kind & 0x40 ? 2 : 1;
        f->meta = (struct pbr_pxar_meta){ .mode = PBR_MODE_REG | 0644 };
        f->entry.meta = &f->meta;
        if (f->entry.kind == PBR_REUSE_FILE)
            take_previous(f, previous % 8, off, &next);
        if (kind & 0x80) /* a file of that size cannot be written anew here: the previous one decides */
            f->entry.size = f->has_previous ? size : 0;
    }
}

/* ---- the world around the decision ---- */

static int on_lookup(void *ctx, const struct pbr_pxar_entry **ret, struct pbr_diag *diag)
{
    struct world *w = ctx;
    (void)diag;
    MUST(w->current && w->current->entry.kind == PBR_REUSE_FILE && w->lookups++ == 0);
    *ret = w->current->has_previous ? &w->current->previous : NULL;
    return PBR_OK;
}

static bool is_duplicate(struct world *w, const struct file *f)
{
    if (f->entry.nlink < 2)
        return false;
    for (size_t i = 0; i < w->seen_nr; i++)
        if (w->seen[i] == f->entry.ino)
            return true;
    w->seen[w->seen_nr++] = f->entry.ino;
    w->links++;
    return false;
}

static void write_file(struct world *w, const struct file *f, const uint64_t *ref)
{
    if (f->entry.kind != PBR_REUSE_FILE || is_duplicate(w, f))
        return;
    const uint64_t size = MARKER + f->entry.size;
    const uint64_t off = ref ? *ref : w->pos;
    MUST(off >= w->pos && (w->ref_nr == 0 || off > w->refs[w->ref_nr - 1].off));
    MUST(w->ref_nr == 0 || off >= w->refs[w->ref_nr - 1].off + w->refs[w->ref_nr - 1].size);
    w->refs[w->ref_nr++] = (struct reference){ off, size, ref ? f->previous.ref_off : UINT64_MAX };
    if (ref) {
        w->reused_bytes += size;
        MUST(f->has_previous && f->previous.kind == PBR_KIND_FILE && f->previous.has_ref &&
             f->previous.size == f->entry.size && pbr_pxar_meta_equal(&f->previous.meta, f->entry.meta));
    } else {
        w->pos += size;
        w->written_files++;
        w->written_bytes += size;
    }
}

static int on_replay(void *ctx, const uint64_t *start_pad, struct pbr_diag *diag)
{
    struct world *w = ctx;
    const uint64_t base = start_pad ? w->pos + *start_pad : 0;
    (void)diag;
    for (size_t i = 0; i < w->waiting_nr; i++) {
        const uint64_t ref = base + w->waiting[i].rel;
        write_file(w, w->waiting[i].file, start_pad ? &ref : NULL);
    }
    w->waiting_nr = w->limited = 0;
    return PBR_OK;
}

/* Which chunks these are cannot be told by their digests: they are those behind the last ones, or begin a new run. Every
 * place they fit is a candidate; references decide in check_refs. So only size and digest are compared here. */
static int on_inject(void *ctx, const struct pbr_inject *inj, uint64_t bytes, struct pbr_diag *diag)
{
    struct world *w = ctx;
    uint64_t sum = 0;
    (void)diag;
    MUST(inj->chunk_nr >= 1 && inj->chunk_nr <= PBR_REUSE_BATCH && w->piece_nr + inj->chunk_nr <= INJECT_MAX);
    for (size_t i = 0; i < inj->chunk_nr; i++) {
        bool known = false;
        for (uint64_t k = 0; k < w->index.entry_nr && !known; k++)
            known = pbr_index_end(&w->index, k) - pbr_index_start(&w->index, k) == inj->chunks[i].size &&
                    memcmp(pbr_index_digest(&w->index, k), inj->chunks[i].digest, PBR_DIGEST_LEN) == 0;
        MUST(known && inj->chunks[i].size > 0);
        w->pieces[w->piece_nr++] = (struct piece){ w->pos + sum, inj->chunks[i].size, UINT64_MAX };
        sum += inj->chunks[i].size;
    }
    MUST(sum == bytes);
    w->pos += bytes;
    return PBR_OK;
}

static void on_disordered(void *ctx, uint64_t off, uint64_t last)
{
    struct world *w = ctx;
    MUST(w->current && w->current->has_previous && w->current->previous.ref_off == off);
    (void)last;
}

/* ---- properties of a finished run ---- */

/* The chunk of the previous index that holds `off`. */
static uint64_t chunk_of(const struct world *w, uint64_t off)
{
    uint64_t i = 0;
    MUST(pbr_index_lookup(&w->index, off, &i));
    return i;
}

/* The reference's first byte lies as deep in its piece as the previous one lay in its chunk, and from there on the pieces
 * are that chunk and its successors, without a gap: so it leads to the same bytes. */
static void check_ref(struct world *w, const struct reference *ref)
{
    size_t i = 0;
    while (i < w->piece_nr && w->pieces[i].start + w->pieces[i].size <= ref->off)
        i++;
    MUST(i < w->piece_nr && ref->off >= w->pieces[i].start);
    uint64_t k = chunk_of(w, ref->previous_off);
    MUST(ref->off - w->pieces[i].start == ref->previous_off - pbr_index_start(&w->index, k));
    for (uint64_t at = w->pieces[i].start; at < ref->off + ref->size; i++, k++) {
        MUST(i < w->piece_nr && k < w->index.entry_nr && w->pieces[i].start == at);
        MUST(w->pieces[i].size == pbr_index_end(&w->index, k) - pbr_index_start(&w->index, k));
        MUST(w->pieces[i].from == UINT64_MAX || w->pieces[i].from == k);
        w->pieces[i].from = k; /* one piece is one chunk for all files that lie in it */
        at += w->pieces[i].size;
    }
}

static void check_account(const struct world *w, const struct pbr_reuse_counts *c)
{
    uint64_t injected = 0, reused = 0;
    for (size_t i = 0; i < w->piece_nr; i++)
        injected += w->pieces[i].size;
    for (size_t i = 0; i < w->ref_nr; i++)
        reused += w->refs[i].previous_off != UINT64_MAX;
    MUST(c->injected_nr == w->piece_nr && c->injected_size == injected);
    MUST(c->reused_files == reused && c->reused_size == w->reused_bytes);
    MUST(c->reencoded_files == w->written_files && c->reencoded_size == w->written_bytes);
    MUST(c->hardlinks == w->links && c->partial <= c->injected_nr);
    MUST(c->injected_size >= c->reused_size && pbr_reuse_padding(c) == injected - w->reused_bytes);
    MUST(w->pos == w->first + w->written_bytes + injected);
}

static void run(struct world *w, uint64_t cache_max)
{
    const struct pbr_reuse_ops ops = { .ctx = w, .lookup = on_lookup, .replay = on_replay, .inject = on_inject,
                                       .disordered = on_disordered };
    struct pbr_reuse *r = NULL;
    w->pos = w->first;
    w->waiting_nr = w->limited = w->ref_nr = w->piece_nr = w->seen_nr = 0;
    w->written_files = w->written_bytes = w->reused_bytes = w->links = 0;
    MUST(pbr_reuse_new(&fuzz_env, &w->index, cache_max, &ops, &r, NULL) == PBR_OK);
    pbr_reuse_set_first(r, w->first);
    for (size_t i = 0; i < w->nr; i++) {
        const struct file *f = &w->files[i];
        bool wait;
        uint64_t rel;
        w->current = f;
        w->lookups = 0;
        MUST(pbr_reuse_add(r, &f->entry, &wait, &rel, NULL) == PBR_OK);
        w->current = NULL;
        if (!wait) {
            MUST(w->waiting_nr == 0);
            write_file(w, f, NULL);
            continue;
        }
        w->limited += f->entry.kind != PBR_REUSE_DIR_END;
        MUST(w->limited <= cache_max);
        w->waiting[w->waiting_nr].file = f;
        w->waiting[w->waiting_nr++].rel = rel;
    }
    MUST(pbr_reuse_finish(r, NULL) == PBR_OK && w->waiting_nr == 0);
    const struct pbr_reuse_counts counts = pbr_reuse_counts(r);
    pbr_reuse_free(r);
    for (size_t i = 0; i < w->ref_nr; i++)
        if (w->refs[i].previous_off != UINT64_MAX)
            check_ref(w, &w->refs[i]);
    check_account(w, &counts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct take t = { .left = pbr_span(data, len) };
    const struct pbr_span head = take_span(&t, HEAD);
    if (head.len < HEAD)
        return 0;
    struct world *w = calloc(1, sizeof(*w));
    MUST(w);
    w->first = head.ptr[2] & 2 ? 0 : MARKER;
    take_index(&t, w, 1 + head.ptr[1] % CHUNKS_MAX, head.ptr[2] & 1);
    take_files(&t, w);
    const uint64_t cache_max = head.ptr[0] % 20 ? head.ptr[0] % 20 : 1;
    run(w, cache_max);
    run(w, PBR_REUSE_CACHE_DEFAULT);
    free(w->index_file);
    free(w);
    return 0;
}
