/* SPDX-License-Identifier: MIT */
/* Archive and payload stream read in sequence, as pairs or alone. Input: see support/archive.h; options bit 0: contents
 * are left unread, bit 1: references into an appendix are not asked for; the other bits and bytes 6, 7 reserved.
 *
 * Reaches: pbr_reader_* (read.c, read_appendix.c), pbr_verify (verify.c, verify_entry.c), pbr_list and _dump through the same reader.
 * Asserts: events, paths, contents, positions and the result do not depend on how the streams are split; every file hands
 * out exactly its size; paths and depth fit; references never go back; what the reader refuses the checker refuses; an
 * archive without findings is read to its end. */
#include "support/archive.h"

enum { OPT_UNREAD = 1, OPT_UNWANTED = 2 };

struct result {
    int rc;
    const char *rule;
    uint64_t hash, archive_pos, payload_pos;
    bool done;
};

static const char *rule_of(const struct pbr_diag *diag)
{
    return diag->rule ? diag->rule : "";
}

/* The rest of the file's contents; 0, or the code of the failure. */
static int take_content(struct pbr_reader *r, uint64_t size, uint64_t *hash, struct pbr_diag *diag)
{
    struct pbr_span view;
    uint64_t got = 0;
    int rc;
    while ((rc = pbr_reader_content(r, &view, diag)) == PBR_OK && view.len) {
        fuzz_hash(hash, view.ptr, view.len);
        got += view.len;
        MUST(got <= size);
    }
    MUST(rc < 0 || got == size);
    return rc;
}

static void check_path(struct pbr_reader *r, const struct pbr_pxar_event *ev)
{
    const struct pbr_span path = pbr_reader_path(r);
    size_t slashes = 0;
    for (size_t i = 0; i < path.len; i++)
        slashes += path.ptr[i] == '/';
    MUST(path.len && path.ptr[0] == '/' && strlen(pbr_reader_path_str(r)) == path.len);
    MUST(path.len == 1 ? ev->depth == 0 : ev->depth == slashes || pbr_reader_in_appendix(r));
    if (ev->ev == PBR_PXAR_EV_ENTRY && ev->depth > 0) {
        const struct pbr_span name = ev->entry.name;
        MUST(!pbr_pxar_name_check(name) && path.len > name.len);
        MUST(pbr_span_eq(pbr_span_sub(path, path.len - name.len, name.len), name));
    }
}

/* `unordered`: nothing is read there, so nothing is said about the order of references. */
static int take_entry(struct pbr_reader *r, const struct pbr_pxar_event *ev, bool unread, bool wanted, bool unordered,
                      uint64_t *last_ref, struct result *res, struct pbr_diag *diag)
{
    struct pbr_diag own = { 0 };
    const struct pbr_pxar_entry e = ev->entry;
    fuzz_hash_entry(&res->hash, &e);
    if (e.kind == PBR_KIND_APPENDIX_REF && wanted)
        return pbr_reader_want(r, diag);
    if (e.kind != PBR_KIND_FILE)
        return PBR_OK;
    MUST(!e.has_ref || unordered || e.ref_off >= *last_ref);
    *last_ref = e.has_ref ? e.ref_off : *last_ref;
    if (unread)
        return PBR_OK;
    const int rc = take_content(r, e.size, &res->hash, &own);
    fuzz_hash_str(&res->hash, own.rule);
    if (rc == PBR_OK || (own.rule && strcmp(own.rule, "PXAR-243") == 0)) {
        fuzz_hash_u64(&res->hash, pbr_reader_padding(r));
        return PBR_OK; /* the next entry can be read [PXAR-244] */
    }
    *diag = own;
    return rc;
}

static struct result read_all(const struct fuzz_pair *pair, size_t step, const struct pbr_reader_opts *opts)
{
    struct result res = { .hash = 1 };
    struct fuzz_reader r;
    struct pbr_diag diag = { 0 };
    uint64_t last_ref = 0;
    res.rc = fuzz_reader_open(&r, pair, step, opts, &diag);
    while (res.rc == PBR_OK && !res.done) {
        struct pbr_pxar_event ev;
        res.rc = pbr_reader_next(r.reader, &ev, &diag);
        if (res.rc < 0)
            break;
        fuzz_hash_u64(&res.hash, ev.ev);
        fuzz_hash_span(&res.hash, pbr_reader_path(r.reader));
        if (ev.ev == PBR_PXAR_EV_ENTRY || ev.ev == PBR_PXAR_EV_DIR_END)
            check_path(r.reader, &ev);
        if (ev.ev == PBR_PXAR_EV_ENTRY)
            res.rc = take_entry(r.reader, &ev, opts->meta_only || (pair->options & OPT_UNREAD),
                                !(pair->options & OPT_UNWANTED), !pair->split, &last_ref, &res, &diag);
        res.done = ev.ev == PBR_PXAR_EV_END;
    }
    MUST(res.rc == (int)diag.code);
    if (res.done) {
        res.archive_pos = pbr_reader_pos(r.reader);
        res.payload_pos = pbr_reader_payload_pos(r.reader);
        MUST(res.archive_pos <= pair->archive.len && res.payload_pos <= pair->payload.len);
    }
    res.rule = rule_of(&diag);
    fuzz_reader_close(&r);
    return res;
}

static void check_verify(const struct fuzz_pair *pair, const struct result *read)
{
    const struct pbr_verify_opts opts = { .contents = true };
    struct pbr_verify_result res;
    struct pbr_diag diag = { 0 };
    const int rc = fuzz_pair_verify(pair, &opts, &res, &diag);
    if (rc < 0) {
        MUST(rc == PBR_E_LIMIT);
        return;
    }
    MUST(res.errors == 0 ? read->rc == PBR_OK : true);
    MUST(read->rc == PBR_OK || res.errors > 0 || res.appendix_refs > 0); /* read in another order there */
    MUST(res.errors > 0 || (res.archive_size == pair->archive.len && read->archive_pos == pair->archive.len));
    MUST(res.dirs + res.files + res.hardlinks <= res.entries && res.refs <= res.files);
    MUST(res.padding_bytes <= pair->payload.len + res.appendix_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const size_t steps[] = { 1, 7, 64 };
    struct fuzz_pair pair;
    if (!fuzz_pair_get(pbr_span(data, len), &pair))
        return 0;
    for (int meta_only = 0; meta_only <= !pair.split; meta_only++) {
        const struct pbr_reader_opts opts = { .meta_only = meta_only };
        const struct result whole = read_all(&pair, 0, &opts);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            const struct result split = read_all(&pair, steps[i], &opts);
            MUST(split.rc == whole.rc && strcmp(split.rule, whole.rule) == 0 && split.hash == whole.hash);
            MUST(split.archive_pos == whole.archive_pos && split.payload_pos == whole.payload_pos);
        }
        if (!meta_only)
            check_verify(&pair, &whole);
    }
    return 0;
}
