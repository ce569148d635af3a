/* SPDX-License-Identifier: MIT */
/* Random access by goodbye tables. Input: see support/archive.h; options and bytes 6, 7 reserved.
 *
 * Reaches: pbr_access_* (access.c), pbr_goodbye_find_* and _check (goodbye.c), pbr_verify (verify.c).
 * Asserts: whatever the tables say, a walk over them gives entries that lie inside the archive, in bounded time; in an
 * archive without findings, everything the sequential reader sees is found by its path, with the same metadata and
 * contents, and hard links lead to what they name. */
#include "archive/access.h"
#include "support/archive.h"

enum { VISITS_MAX = 3000, LEVELS = 8, CHILDREN = 64 };

struct run {
    struct pbr_access *access;
    uint64_t archive_len;
    size_t visits;
};

static void read_content(struct run *run, const struct pbr_access_entry *e, uint64_t *h)
{
    struct pbr_access_content c;
    struct pbr_diag diag = { 0 };
    uint8_t room[256];
    const int rc = pbr_access_content(run->access, e, &c, &diag);
    MUST(rc == (int)diag.code);
    if (rc < 0)
        return;
    MUST(c.size == e->entry.size);
    for (uint64_t at = 0;;) {
        size_t n = 0;
        const int read = pbr_access_content_read(&c, at, room, sizeof(room), &n, NULL);
        if (read < 0 || n == 0)
            break;
        MUST(n <= sizeof(room) && n <= c.size - at);
        if (h)
            fuzz_hash(h, room, n);
        at += n;
    }
}

/* An entry as the tables give it: in place, and with names that find it or another of that name again. */
static void check_found(struct run *run, const struct pbr_access_entry *e)
{
    struct pbr_access_entry *linked = NULL;
    MUST(e->end <= run->archive_len && e->entry.entry_pos < run->archive_len);
    MUST(e->is_root || !pbr_pxar_name_check(e->entry.name));
    if (e->entry.kind == PBR_KIND_FILE)
        read_content(run, e, NULL);
    if (e->entry.kind == PBR_KIND_HARDLINK && pbr_access_follow(run->access, e, &linked, NULL) == PBR_OK)
        MUST(linked->entry.kind == PBR_KIND_FILE && linked->entry.name_pos < e->entry.name_pos);
    pbr_access_entry_free(linked);
}

static void walk_children(struct run *run, struct pbr_access_dir *dir, struct pbr_access_dir **open, size_t *ret_open)
{
    const uint64_t nr = pbr_access_dir_count(dir);
    uint64_t last_pos = 0;
    bool complete = true;
    MUST(nr <= run->archive_len / PBR_PXAR_GOODBYE_REC);
    for (uint64_t i = 0; i < nr && i < CHILDREN && run->visits < VISITS_MAX; i++) {
        struct pbr_access_entry *e = NULL, *again = NULL;
        run->visits++;
        if (pbr_access_dir_get_ordered(dir, i, &e, NULL) == PBR_OK) {
            MUST(!complete || i == 0 || e->entry.name_pos >= last_pos);
            last_pos = e->entry.name_pos;
        }
        pbr_access_entry_free(e);
        complete = complete && e;
        e = NULL;
        if (pbr_access_dir_get(dir, i, &e, NULL) < 0)
            continue;
        check_found(run, e);
        MUST(e->entry.name_pos > pbr_access_dir_start(dir) && e->entry.name_pos < run->archive_len);
        if (pbr_access_dir_find(dir, e->entry.name, &again, NULL) == PBR_OK)
            MUST(pbr_span_eq(again->entry.name, e->entry.name));
        if (e->entry.kind == PBR_KIND_DIR && *ret_open < LEVELS &&
            pbr_access_opendir(run->access, e, &open[*ret_open], NULL) == PBR_OK)
            ++*ret_open;
        pbr_access_entry_free(again);
        pbr_access_entry_free(e);
    }
}

static void walk_tables(struct run *run)
{
    struct pbr_access_dir *open[LEVELS];
    size_t open_nr = 0;
    if (pbr_access_opendir_at(run->access, run->archive_len, &open[0], NULL) == PBR_OK)
        open_nr = 1;
    while (open_nr > 0) {
        struct pbr_access_dir *dir = open[--open_nr];
        struct pbr_access_entry *self = NULL;
        if (pbr_access_dir_self(dir, &self, NULL) == PBR_OK)
            MUST(self->entry.kind == PBR_KIND_DIR);
        pbr_access_entry_free(self);
        walk_children(run, dir, open, &open_nr);
        pbr_access_dir_free(dir);
    }
}

static void check_path(struct run *run, const struct pbr_pxar_event *ev, struct pbr_reader *r)
{
    struct pbr_access_entry *e = NULL, *linked = NULL;
    struct pbr_span view;
    uint64_t hash[2] = { 0, 0 };
    MUST(pbr_access_lookup(run->access, pbr_reader_path(r), &e, NULL) == PBR_OK);
    if (ev->entry.kind == PBR_KIND_APPENDIX_REF) { /* handed out as the file it leads to */
        MUST(e->entry.kind == PBR_KIND_FILE && e->entry.size == ev->entry.size);
        read_content(run, e, NULL);
        pbr_access_entry_free(e);
        return;
    }
    MUST(e->entry.entry_pos == ev->entry.entry_pos);
    fuzz_hash_entry(&hash[0], &e->entry);
    fuzz_hash_entry(&hash[1], &ev->entry);
    MUST(hash[0] == hash[1]);
    if (ev->entry.kind == PBR_KIND_HARDLINK) {
        MUST(pbr_access_follow(run->access, e, &linked, NULL) == PBR_OK);
        MUST(linked->entry.name_pos == ev->entry.name_pos - ev->entry.link_off);
    }
    if (ev->entry.kind == PBR_KIND_FILE) {
        while (pbr_reader_content(r, &view, NULL) == PBR_OK && view.len)
            fuzz_hash(&hash[1], view.ptr, view.len);
        read_content(run, e, &hash[0]);
        MUST(hash[0] == hash[1]);
    }
    pbr_access_entry_free(linked);
    pbr_access_entry_free(e);
}

static void check_paths(struct run *run, const struct fuzz_pair *pair)
{
    struct fuzz_reader r;
    struct pbr_pxar_event ev;
    MUST(fuzz_reader_open(&r, pair, 0, NULL, NULL) == PBR_OK);
    while (pbr_reader_next(r.reader, &ev, NULL) == PBR_OK && ev.ev != PBR_PXAR_EV_END)
        if (ev.ev == PBR_PXAR_EV_ENTRY)
            check_path(run, &ev, r.reader);
    MUST(ev.ev == PBR_PXAR_EV_END);
    fuzz_reader_close(&r);
}

/* No findings at all, and what no table can tell: two entries of one name. */
static bool is_sound(const struct fuzz_pair *pair)
{
    const struct pbr_verify_opts opts = { .contents = true };
    struct pbr_verify_result res;
    struct pbr_diag diag = { 0 };
    const int rc = fuzz_pair_verify(pair, &opts, &res, &diag);
    return rc == PBR_OK && res.errors == 0 && res.warnings == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_pair pair;
    if (!fuzz_pair_get(pbr_span(data, len), &pair))
        return 0;
    const struct pbr_source archive = pbr_source_mem(&pair.archive), payload = pbr_source_mem(&pair.payload);
    struct run run = { .archive_len = pair.archive.len };
    struct pbr_diag diag = { 0 };
    const bool sound = is_sound(&pair);
    const int rc = pbr_access_open(&fuzz_env, &archive, pair.split ? &payload : NULL, &run.access, &diag);
    MUST(rc == (int)diag.code && (rc == PBR_OK || !sound));
    if (rc == PBR_OK) {
        walk_tables(&run);
        if (sound)
            check_paths(&run, &pair);
    }
    pbr_access_free(run.access);
    return 0;
}
