/* SPDX-License-Identifier: MIT */
/* What tests of pxar archives share: golden archives, readers over memory, and a transcoder that decodes an archive and
 * encodes it again. */
#ifndef PBR_TEST_PXAR_DATA_H
#define PBR_TEST_PXAR_DATA_H

#include <glob.h>
#include <unistd.h>

#include "test.h"

#include "archive/read.h"
#include "format/pxar_enc.h"

#define GOLDEN "testdata/golden/pxar/"

/* An archive in memory: `.pxar`, or `.mpxar` with its `.ppxar`. */
struct pxar_pair {
    struct pbr_span archive, payload;
    bool split;
};

struct pxar_streams {
    struct pbr_stream_mem archive_mem, payload_mem;
    struct pbr_stream archive, payload;
};

static inline struct pbr_reader *open_reader(const struct pbr_env *env, struct pxar_streams *s,
                                             const struct pxar_pair *p, size_t step,
                                             const struct pbr_reader_opts *opts)
{
    struct pbr_reader *r = NULL;
    struct pbr_diag diag = { 0 };
    s->archive_mem = (struct pbr_stream_mem){ .in = p->archive, .step = step };
    s->payload_mem = (struct pbr_stream_mem){ .in = p->payload, .step = step };
    s->archive = pbr_stream_mem(&s->archive_mem);
    s->payload = pbr_stream_mem(&s->payload_mem);
    check_int(pbr_reader_open_opts(env, &s->archive, p->split ? &s->payload : NULL, opts, &r, &diag), PBR_OK);
    return r;
}

static inline bool is_mpxar(const char *path)
{
    const size_t len = strlen(path);
    return len > 6 && strcmp(path + len - 6, ".mpxar") == 0;
}

static inline void payload_path(const char *path, char out[512])
{
    snprintf(out, 512, "%.*s.ppxar", (int)(strlen(path) - 6), path);
}

/* Loads `path`, which ends in .pxar or .mpxar, with the payload stream beside it. */
static inline struct pxar_pair load_pair(const char *path)
{
    struct pxar_pair p = { .archive = test_load(path), .split = is_mpxar(path) };
    if (p.split) {
        char payload[512];
        payload_path(path, payload);
        p.payload = test_load(payload);
    }
    return p;
}

static inline void unload_pair(struct pxar_pair *p)
{
    test_unload(p->archive);
    test_unload(p->payload);
}

/* Calls `check` for every golden archive, both forms, whose payload is kept; fails if there are too few. */
static inline void for_golden(void (*check_entry)(const char *path, const struct pxar_pair *p))
{
    glob_t found;
    check_int(glob(GOLDEN "*.pxar", 0, NULL, &found), 0);
    check_int(glob(GOLDEN "*.mpxar", GLOB_APPEND, NULL, &found), 0);
    size_t nr = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char payload[512];
        payload_path(found.gl_pathv[i], payload);
        if (is_mpxar(found.gl_pathv[i]) && access(payload, R_OK) != 0)
            continue; /* two are too large to be kept */
        nr++;
        struct pxar_pair p = load_pair(found.gl_pathv[i]);
        check_entry(found.gl_pathv[i], &p);
        unload_pair(&p);
    }
    globfree(&found);
    check(nr >= 80);
}

/* ---- transcoding ---- */

static inline int copy_content(struct pbr_reader *r, struct pbr_pxar_enc *enc, struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_span view;
        int rc = pbr_reader_content(r, &view, diag);
        if (rc < 0)
            return rc;
        if (view.len == 0)
            return pbr_pxar_enc_file_end(enc, diag);
        rc = pbr_pxar_enc_file_write(enc, view, diag);
        if (rc < 0)
            return rc;
    }
}

static inline int transcode_entry(struct pbr_reader *r, struct pbr_pxar_enc *enc, const struct pbr_pxar_entry *e,
                                  struct pbr_diag *diag)
{
    switch (e->kind) {
    case PBR_KIND_DIR: return pbr_pxar_enc_dir_enter(enc, e->name, &e->meta, diag);
    case PBR_KIND_FILE: {
        uint64_t pos = 0;
        const int rc = pbr_pxar_enc_file(enc, e->name, &e->meta, e->size, &pos, diag);
        if (rc < 0)
            return rc;
        check_u64(pos, e->name_pos);
        return copy_content(r, enc, diag);
    }
    case PBR_KIND_SYMLINK: return pbr_pxar_enc_symlink(enc, e->name, &e->meta, e->target, diag);
    case PBR_KIND_DEVICE: return pbr_pxar_enc_device(enc, e->name, &e->meta, e->major, e->minor, diag);
    case PBR_KIND_FIFO:
    case PBR_KIND_SOCKET: return pbr_pxar_enc_special(enc, e->name, &e->meta, diag);
    case PBR_KIND_HARDLINK:
        return pbr_pxar_enc_hardlink(enc, e->name, e->target, e->name_pos - e->link_off, diag);
    case PBR_KIND_APPENDIX_REF: break; /* no golden archive has one */
    }
    return PBR_E_ARG;
}

/* Reads everything from `r` and writes it to the sinks; payload NULL: version 1. */
static inline int transcode(const struct pbr_env *env, struct pbr_reader *r, struct pbr_sink *archive,
                            struct pbr_sink *payload, struct pbr_diag *diag)
{
    struct pbr_pxar_enc *enc = NULL;
    struct pbr_buf prelude;
    bool has_prelude = false;
    int rc = PBR_OK;
    pbr_buf_init(&prelude, env, 1 << 20);
    while (rc == PBR_OK) {
        struct pbr_pxar_event ev;
        rc = pbr_reader_next(r, &ev, diag);
        if (rc < 0)
            break;
        if (ev.ev == PBR_PXAR_EV_PRELUDE) {
            has_prelude = true;
            rc = pbr_buf_append(&prelude, ev.data);
            if (rc < 0)
                pbr_fail_at(diag, rc, NULL, "out of memory");
        } else if (ev.ev == PBR_PXAR_EV_ENTRY && !enc) {
            const struct pbr_span text = pbr_buf_span(&prelude);
            rc = pbr_pxar_enc_new(env, archive, payload, has_prelude ? &text : NULL, &ev.entry.meta, &enc, diag);
        } else if (ev.ev == PBR_PXAR_EV_ENTRY) {
            rc = transcode_entry(r, enc, &ev.entry, diag);
        } else if (ev.ev == PBR_PXAR_EV_DIR_END && ev.depth > 0) {
            rc = pbr_pxar_enc_dir_leave(enc, diag);
        } else if (ev.ev == PBR_PXAR_EV_END) {
            rc = pbr_pxar_enc_finish(enc, diag);
            break;
        }
    }
    pbr_pxar_enc_free(enc);
    pbr_buf_release(&prelude);
    return rc;
}

#endif
