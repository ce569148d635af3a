/* SPDX-License-Identifier: MIT */
/* Extraction into a memory file system. Input: see support/archive.h; options: bits 0..3 allow_existing_dirs,
 * overwrite_files, _symlinks, _hardlinks; 4 strict; 5 something lies in the target already; 6 an operation of the target
 * fails, which one says byte 6 (also: what lies there); 7 few open directories. Byte 7 reserved.
 *
 * Reaches: pbr_extract and everything of extract_*.c, pbr_meta_apply (meta_apply.c, meta_acl.c), the reader (read.c,
 * read_appendix.c).
 * Asserts: names and paths that reach the file system are single components and clean paths, what lies outside is not
 * changed, what was there stays unless it may be overwritten, no node stays open and no more than the budget says
 * (support/memfs.c); the result and the notes agree; if all is well, the target holds what the archive says. */
#include "archive/extract.h"
#include "support/archive.h"
#include "support/memfs.h"

enum opt {
    OPT_EXISTING_DIRS = 1, OPT_FILES = 2, OPT_SYMLINKS = 4, OPT_HARDLINKS = 8, OPT_STRICT = 16, OPT_FILLED = 32,
    OPT_FAULT = 64, OPT_FEW_DIRS = 128,
};
enum { FEW_DIRS = 2, SOME_DIRS = 32, EXTRA_NODES = 3, BEFORE_MAX = 16 };

struct notes {
    uint64_t errors, last;
};

static void on_note(void *ctx, const struct pbr_extract_note *note)
{
    struct notes *n = ctx;
    struct pbr_buf text;
    n->errors += note->level == PBR_EXTRACT_ERROR;
    n->last += note->last;
    MUST(note->path.len && note->path.ptr[0] == '/');
    for (int one_line = 0; one_line < 2; one_line++) {
        pbr_buf_init(&text, &fuzz_env, 1 << 20);
        MUST(pbr_extract_note_text(note, one_line, &text) == PBR_OK);
        MUST(text.len > 0 && text.ptr[text.len - 1] != '\n');
        pbr_buf_release(&text);
    }
}

/* ---- what lies in the target before ---- */

static const char content[] = "was there before";

struct before {
    size_t nr, inode[BEFORE_MAX], dir;
    uint32_t type[BEFORE_MAX];
    bool outside[BEFORE_MAX];
};

/* In the way of entry `name` of the root: turn by turn a file, one that has a name outside too, a symlink, a directory. */
static void put_before(struct memfs *fs, struct before *b, const char *name, unsigned turn)
{
    static const uint32_t types[] = { PBR_MODE_REG, PBR_MODE_REG, PBR_MODE_SYMLINK, PBR_MODE_DIR };
    const uint32_t type = types[turn % 4];
    if (b->nr == BEFORE_MAX || strlen(name) > 255)
        return;
    b->outside[b->nr] = turn % 4 == 1;
    b->type[b->nr] = type;
    b->inode[b->nr++] = turn % 4 == 1 ? memfs_put_outside(fs, 0, name, content) : memfs_put(fs, 0, name, type | 0700, content);
}

static bool is_free(const struct memfs *fs, const char *name)
{
    char path[300];
    return strlen(name) <= 255 && snprintf(path, sizeof(path), "/%s", name) > 0 && !memfs_find(fs, pbr_span_str(path));
}

/* Names are those of the archive, so that entries meet what is there. */
static void fill(struct memfs *fs, const struct fuzz_pair *pair, unsigned turn, struct before *ret)
{
    const struct pbr_reader_opts opts = { .meta_only = !pair->split };
    struct fuzz_reader r;
    struct pbr_pxar_event ev;
    *ret = (struct before){ .dir = memfs_put(fs, 0, "d", PBR_MODE_DIR | 0700, NULL) };
    (void)memfs_put(fs, ret->dir, "s", PBR_MODE_SYMLINK | 0777, "..");
    if (fuzz_reader_open(&r, pair, 0, &opts, NULL) == PBR_OK)
        while (pbr_reader_next(r.reader, &ev, NULL) == PBR_OK && ev.ev != PBR_PXAR_EV_END)
            if (ev.ev == PBR_PXAR_EV_ENTRY && ev.depth == 1 && is_free(fs, pbr_reader_path_str(r.reader) + 1))
                put_before(fs, ret, pbr_reader_path_str(r.reader) + 1, turn++);
    fuzz_reader_close(&r);
}

static void check_before(const struct memfs *fs, const struct before *b, unsigned opts)
{
    MUST(memfs_find(fs, pbr_span_str("/d")) == memfs_inode(fs, b->dir));
    for (size_t i = 0; i < b->nr; i++) {
        const struct memfs_inode *at = memfs_inode(fs, b->inode[i]);
        MUST((at->mode & PBR_MODE_TYPE) == b->type[i]);
        if (b->type[i] == PBR_MODE_SYMLINK)
            MUST(strcmp(at->link_target, content) == 0);
        if (b->outside[i] || (b->type[i] == PBR_MODE_REG && !(opts & OPT_FILES)))
            MUST(at->size == strlen(content) && memcmp(at->bytes, content, strlen(content)) == 0);
        if (!(opts & (OPT_FILES | OPT_SYMLINKS | OPT_HARDLINKS)))
            MUST(at->links == (b->outside[i] ? 2 : 1) || b->type[i] == PBR_MODE_REG); /* more: hard links of the archive */
    }
}

/* ---- what lies there after ---- */

static void check_content(struct pbr_reader *r, const struct memfs_inode *i, uint64_t size)
{
    struct pbr_span view;
    uint64_t at = 0;
    MUST((i->mode & PBR_MODE_TYPE) == PBR_MODE_REG && i->size == size);
    while (pbr_reader_content(r, &view, NULL) == PBR_OK && view.len) {
        MUST(memcmp(i->bytes + at, view.ptr, view.len) == 0);
        at += view.len;
    }
    MUST(at == size);
}

static void check_entry(struct pbr_reader *r, const struct memfs *fs, const struct pbr_pxar_entry *e)
{
    const struct memfs_inode *i = memfs_find(fs, pbr_reader_path(r));
    const struct pbr_pxar_meta *m = &e->meta;
    MUST(i);
    switch (e->kind) {
    case PBR_KIND_DIR: return;
    case PBR_KIND_APPENDIX_REF: MUST(pbr_reader_want(r, NULL) == PBR_OK); return;
    case PBR_KIND_FILE: check_content(r, i, e->size); break;
    case PBR_KIND_SYMLINK: MUST(i->link_target && pbr_span_eq_str(e->target, i->link_target)); break;
    case PBR_KIND_HARDLINK: MUST(i->links > 1 && (i->mode & PBR_MODE_TYPE) != PBR_MODE_DIR); return;
    default: MUST((i->mode & PBR_MODE_TYPE) == (m->mode & PBR_MODE_TYPE)); break;
    }
    MUST(i->uid == m->uid && i->gid == m->gid && i->mtime_s == m->mtime_s && i->mtime_ns == m->mtime_ns);
    MUST(e->kind == PBR_KIND_SYMLINK || (i->mode & 07777) == (m->mode & 07777));
}

/* All was extracted into an empty target, nothing could overwrite anything: reads the archive again and compares. */
static void check_after(const struct fuzz_pair *pair, const struct memfs *fs)
{
    struct fuzz_reader r;
    struct pbr_pxar_event ev;
    size_t names = 0;
    MUST(fuzz_reader_open(&r, pair, 0, NULL, NULL) == PBR_OK);
    for (;;) {
        MUST(pbr_reader_next(r.reader, &ev, NULL) == PBR_OK);
        if (ev.ev == PBR_PXAR_EV_END)
            break;
        if (ev.ev != PBR_PXAR_EV_ENTRY)
            continue;
        names += ev.entry.name.len > 0 && !pbr_reader_in_appendix(r.reader);
        check_entry(r.reader, fs, &ev.entry);
    }
    MUST(names == memfs_name_nr(fs));
    fuzz_reader_close(&r);
}

static void check_result(int rc, const struct pbr_diag *diag, const struct pbr_extract_stats *stats,
                         const struct notes *notes, unsigned opts)
{
    MUST(rc == (int)diag->code);
    MUST(stats->errors == notes->errors && stats->failed <= stats->errors && stats->failed <= stats->entries);
    MUST(rc != PBR_OK || notes->errors == 0);
    MUST(rc != PBR_E_PARTIAL || (notes->errors > 0 && !(opts & OPT_STRICT)));
    MUST(!(opts & OPT_STRICT) || notes->errors <= 1);
    MUST(notes->last <= 1);
    MUST(stats->files + stats->symlinks + stats->hardlinks + stats->specials + stats->dirs + stats->skipped <=
         stats->entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_pair pair;
    struct fuzz_reader r;
    struct pbr_diag diag = { 0 };
    if (!fuzz_pair_get(pbr_span(data, len), &pair))
        return 0;
    const unsigned o = pair.options;
    struct memfs *fs = memfs_new();
    struct before before = { 0 };
    if (o & OPT_FILLED)
        fill(fs, &pair, data[6], &before);
    if (o & OPT_FAULT)
        memfs_fail_at(fs, data[6]);
    if (fuzz_reader_open(&r, &pair, 1 + data[6], NULL, &diag) == PBR_OK) {
        struct notes notes = { 0 };
        struct pbr_extract_stats stats;
        const struct pbr_extract_opts opts = { .allow_existing_dirs = o & OPT_EXISTING_DIRS,
                                               .overwrite_files = o & OPT_FILES,
                                               .overwrite_symlinks = o & OPT_SYMLINKS,
                                               .overwrite_hardlinks = o & OPT_HARDLINKS,
                                               .strict = o & OPT_STRICT,
                                               .open_dirs_max = o & OPT_FEW_DIRS ? FEW_DIRS : SOME_DIRS,
                                               .report = on_note,
                                               .ctx = &notes };
        const struct pbr_target target = memfs_target(fs);
        const int rc = pbr_extract(&fuzz_env, r.reader, &target, &opts, &stats, &diag);
        check_result(rc, &diag, &stats, &notes, o);
        MUST(memfs_open_most(fs) <= opts.open_dirs_max + EXTRA_NODES);
        if (rc == PBR_OK && !(o & (OPT_FILES | OPT_SYMLINKS | OPT_HARDLINKS | OPT_FILLED | OPT_FAULT)))
            check_after(&pair, fs);
    }
    if (o & OPT_FILLED)
        check_before(fs, &before, o);
    fuzz_reader_close(&r);
    memfs_free(fs);
    return 0;
}
