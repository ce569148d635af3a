/* SPDX-License-Identifier: MIT */
/* Archives, `.pxar` or `.mpxar`, and those of the two drafts, as they come.
 *
 * Reaches: pbr_pxar_dec_step and everything below it (pxar_dec.c, pxar_dec_item.c), the encoder (pxar_enc.c, goodbye.c).
 * Asserts: the events do not depend on how the input is split; positions never go backwards; what the decoder accepts and
 * the encoder takes is decoded and encoded again to the same bytes. */
#include "fuzz.h"

#include "format/pxar_enc.h"
#include "support/archive.h"

enum { OUT_MAX = 64 << 20 };

static void hash_event(uint64_t *h, const struct pbr_pxar_event *ev)
{
    const struct pbr_pxar_entry *e = &ev->entry;
    if (ev->ev == PBR_PXAR_EV_DATA || ev->ev == PBR_PXAR_EV_APPENDIX_DATA) { /* pieces differ, the bytes do not */
        fuzz_hash(h, ev->data.ptr, ev->data.len);
        return;
    }
    fuzz_hash_u64(h, ev->ev);
    if (ev->ev == PBR_PXAR_EV_END || ev->ev == PBR_PXAR_EV_FILE_END)
        return;
    fuzz_hash_u64(h, ev->pos);
    if (ev->ev == PBR_PXAR_EV_GOODBYE_REC) {
        fuzz_hash(h, &ev->rec, sizeof(ev->rec));
    } else if (ev->ev == PBR_PXAR_EV_DIR_END) {
        fuzz_hash_u64(h, ev->depth);
    } else if (ev->ev == PBR_PXAR_EV_ENTRY) {
        const uint64_t plain[] = { ev->depth, e->kind, e->size, e->has_ref, e->has_ref ? e->ref_off : 0, e->link_off,
                                   e->major, e->minor, e->name_pos, e->entry_pos, e->end_pos };
        fuzz_hash(h, plain, sizeof(plain));
        fuzz_hash_entry(h, e);
    } else {
        fuzz_hash_u64(h, ev->size);
        fuzz_hash_u64(h, ev->ev == PBR_PXAR_EV_APPENDIX ? ev->total : 0);
        fuzz_hash_u64(h, ev->ev == PBR_PXAR_EV_VERSION ? ev->version : ev->htype);
        fuzz_hash_span(h, ev->data);
    }
}

struct result {
    int rc;
    const char *rule;
    uint64_t hash, used;
};

static struct result decode(struct pbr_span in, enum fuzz_split how, bool items)
{
    struct result r = { .hash = UINT64_C(0xcbf29ce484222325) };
    const struct pbr_pxar_dec_opts opts = { .items = items };
    struct pbr_pxar_dec *dec = NULL;
    struct pbr_diag diag = { 0 };
    uint64_t state = in.len, last = 0;
    size_t given = 0, taken = 0;
    MUST(pbr_pxar_dec_new(&fuzz_env, &opts, &dec) == PBR_OK);
    for (;;) {
        struct pbr_pxar_event ev;
        size_t used;
        r.rc = pbr_pxar_dec_step(dec, pbr_span_sub(in, taken, given - taken), &used, &ev, &diag);
        if (r.rc < 0)
            break;
        MUST(used <= given - taken);
        taken += used;
        MUST(pbr_pxar_dec_pos(dec) == taken && taken >= last);
        last = taken;
        if (ev.ev == PBR_PXAR_EV_MORE) {
            MUST(taken == given);
            if (given == in.len) {
                r.rc = pbr_pxar_dec_finish(dec, &ev, &diag);
                break;
            }
            given += fuzz_piece(how, &state, in.len - given);
            continue;
        }
        hash_event(&r.hash, &ev);
        if (ev.ev == PBR_PXAR_EV_END)
            break;
    }
    MUST((r.rc < 0) == (diag.code != PBR_OK) && (int)diag.code == r.rc);
    MUST(r.rc == PBR_OK || r.rc == PBR_E_TRUNCATED || r.rc == PBR_E_LIMIT || diag.rule);
    r.rule = diag.rule ? diag.rule : "";
    r.used = taken;
    pbr_pxar_dec_free(dec);
    return r;
}

/* ---- decode and encode again ---- */

struct coder {
    struct pbr_buf archive, payload, prelude;
    struct pbr_sink archive_sink, payload_sink;
    bool split, has_prelude;
    struct pbr_pxar_enc *enc;
};

static int put_entry(struct coder *c, const struct pbr_pxar_entry *e)
{
    const struct pbr_span prelude = pbr_buf_span(&c->prelude);
    if (!c->enc)
        return pbr_pxar_enc_new(&fuzz_env, &c->archive_sink, c->split ? &c->payload_sink : NULL,
                                c->has_prelude ? &prelude : NULL, &e->meta, &c->enc, NULL);
    if (e->has_ref && !c->split) { /* the draft without version and markers: told by its first reference */
        c->split = true;
        if (pbr_pxar_enc_attach(c->enc, &c->payload_sink, NULL) < 0)
            return PBR_E_STATE; /* contents inside were before */
    }
    switch (e->kind) {
    case PBR_KIND_DIR: return pbr_pxar_enc_dir_enter(c->enc, e->name, &e->meta, NULL);
    case PBR_KIND_FILE:
        return e->has_ref ? pbr_pxar_enc_file_ref(c->enc, e->name, &e->meta, e->ref_off, e->size, NULL, NULL)
                          : pbr_pxar_enc_file(c->enc, e->name, &e->meta, e->size, NULL, NULL);
    case PBR_KIND_SYMLINK: return pbr_pxar_enc_symlink(c->enc, e->name, &e->meta, e->target, NULL);
    case PBR_KIND_DEVICE: return pbr_pxar_enc_device(c->enc, e->name, &e->meta, e->major, e->minor, NULL);
    case PBR_KIND_FIFO:
    case PBR_KIND_SOCKET: return pbr_pxar_enc_special(c->enc, e->name, &e->meta, NULL);
    case PBR_KIND_HARDLINK: return pbr_pxar_enc_hardlink(c->enc, e->name, e->target, e->name_pos - e->link_off, NULL);
    case PBR_KIND_APPENDIX_REF: return pbr_pxar_enc_appendix_ref(c->enc, e->name, e->appendix_off, e->size, NULL, NULL);
    }
    return PBR_E_ARG;
}

/* Bytes of the appendix go into the archive behind the encoder's back. */
static int put_appendix_data(struct coder *c, struct pbr_span in)
{
    const int rc = pbr_buf_append(&c->archive, in);
    return rc < 0 ? rc : pbr_pxar_enc_advance(c->enc, in.len, NULL);
}

static int put_event(struct coder *c, const struct pbr_pxar_event *ev)
{
    uint64_t start;
    switch (ev->ev) {
    case PBR_PXAR_EV_APPENDIX: return pbr_pxar_enc_appendix(c->enc, ev->total, &start, NULL);
    case PBR_PXAR_EV_APPENDIX_DATA: return put_appendix_data(c, ev->data);
    case PBR_PXAR_EV_VERSION: c->split = true; return PBR_OK;
    case PBR_PXAR_EV_PRELUDE: c->has_prelude = true; return pbr_buf_append(&c->prelude, ev->data);
    case PBR_PXAR_EV_ENTRY: return put_entry(c, &ev->entry);
    case PBR_PXAR_EV_DATA: return pbr_pxar_enc_file_write(c->enc, ev->data, NULL);
    case PBR_PXAR_EV_FILE_END: return pbr_pxar_enc_file_end(c->enc, NULL);
    case PBR_PXAR_EV_DIR_END: return ev->depth ? pbr_pxar_enc_dir_leave(c->enc, NULL) : PBR_OK;
    case PBR_PXAR_EV_END: return pbr_pxar_enc_finish(c->enc, NULL);
    default: return PBR_OK;
    }
}

/* False if the decoder or the encoder refuses. *ret holds the archive; the caller releases it. */
static bool transcode(struct pbr_span in, struct pbr_buf *ret)
{
    struct coder c = { 0 };
    struct pbr_pxar_dec *dec = NULL;
    int rc = PBR_OK;
    bool done = false;
    pbr_buf_init(&c.archive, &fuzz_env, OUT_MAX);
    pbr_buf_init(&c.payload, &fuzz_env, OUT_MAX);
    pbr_buf_init(&c.prelude, &fuzz_env, OUT_MAX);
    c.archive_sink = pbr_sink_buf(&c.archive);
    c.payload_sink = pbr_sink_buf(&c.payload);
    MUST(pbr_pxar_dec_new(&fuzz_env, NULL, &dec) == PBR_OK);
    while (rc == PBR_OK && !done) {
        struct pbr_pxar_event ev;
        size_t used;
        rc = pbr_pxar_dec_step(dec, in, &used, &ev, NULL);
        if (rc < 0 || ev.ev == PBR_PXAR_EV_MORE)
            break;
        in = pbr_span_sub(in, used, in.len);
        done = ev.ev == PBR_PXAR_EV_END;
        rc = put_event(&c, &ev);
    }
    pbr_pxar_dec_free(dec);
    pbr_pxar_enc_free(c.enc);
    pbr_buf_release(&c.payload);
    pbr_buf_release(&c.prelude);
    *ret = c.archive;
    return rc == PBR_OK && done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct pbr_span in = pbr_span(data, len);
    for (int items = 0; items < 2; items++) {
        const struct result whole = decode(in, FUZZ_WHOLE, items);
        for (enum fuzz_split how = FUZZ_BYTES; how < FUZZ_SPLITS; how++) {
            const struct result split = decode(in, how, items);
            MUST(split.rc == whole.rc && strcmp(split.rule, whole.rule) == 0 && split.hash == whole.hash);
            MUST(whole.rc < 0 || split.used == whole.used);
        }
    }
    struct pbr_buf once, twice;
    if (transcode(in, &once)) {
        MUST(transcode(pbr_buf_span(&once), &twice));
        MUST(pbr_span_eq(pbr_buf_span(&once), pbr_buf_span(&twice)));
        pbr_buf_release(&twice);
    }
    pbr_buf_release(&once);
    return 0;
}
