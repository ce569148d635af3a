/* SPDX-License-Identifier: MIT */
/* Archive encoder; see pxar_enc.h. Order of items as in spec/pxar-format.md sections 4 and 12:
 *
 *   start      payload: PAYLOAD_START_MARKER; archive: FORMAT_VERSION [PRELUDE]; root head      [PXAR-200]
 *   head       [FILENAME] ENTRY XATTR* ACL_USER* ACL_GROUP* [ACL_GROUP_OBJ] [ACL_DEFAULT]
 *              ACL_DEFAULT_USER* ACL_DEFAULT_GROUP* [FCAPS] [QUOTA_PROJID]                      [PXAR-031]
 *   file v1    head PAYLOAD, content                                                            [PXAR-202]
 *   file v2    head PAYLOAD_REF; payload: PAYLOAD, content                                      [PXAR-203]
 *   dir end    GOODBYE                                                                          [PXAR-150]
 *   finish     root GOODBYE; payload: PAYLOAD_TAIL_MARKER                                       [PXAR-208]
 *   drafts     attach: file v2 without start [SPL-030]; FILENAME APPENDIX_REF; APPENDIX; GOODBYE with APPENDIX_TAIL
 *              [APX-025 .. APX-033]
 *
 * The items of one call are built in `head` and go out in one write. */
#include "format/pxar_enc.h"

#include <string.h>

#include "base/limits.h"
#include "format/goodbye.h"

enum {
    HEAD_MAX = 128 << 20,     /* items of one entry: above what the decoder accepts */
    RECS_MAX = 1 << 30,       /* goodbye records of the open directories: 44 million children */
    COPY_BUF = 256 << 10,     /* content buffer for sinks without reserve */
    GOODBYE_BLOCK = 1024,     /* records per write */
};

struct open_dir {
    uint64_t name_pos;   /* of its FILENAME; root: 0 */
    uint64_t entry_pos;  /* what its tail points to; root: 0 (PXAR-153) */
    uint64_t hash;
    size_t recs_before;  /* bytes of `recs` that belong to the directories above */
};

enum state { ST_OPEN, ST_FILE, ST_APPENDIX, ST_DONE, ST_FAILED };

struct pbr_pxar_enc {
    const struct pbr_env *env;
    struct pbr_sink *archive, *payload; /* payload NULL: version 1 */
    enum state state;
    uint64_t pos, payload_pos;
    bool has_ref;
    uint64_t last_ref;     /* highest payload offset recorded so far */
    struct pbr_buf head;   /* items being built */
    struct pbr_buf dirs;   /* struct open_dir */
    struct pbr_buf recs;   /* struct pbr_pxar_rec; offset: FILENAME position, until the table is built */
    uint64_t file_left;    /* content bytes still to come */
    bool has_file;
    bool has_appendix;
    uint64_t appendix_start, appendix_total;
    uint8_t *copy_buf;
};

uint64_t pbr_pxar_enc_pos(const struct pbr_pxar_enc *enc)
{
    return enc->pos;
}

uint64_t pbr_pxar_enc_payload_pos(const struct pbr_pxar_enc *enc)
{
    return enc->payload_pos;
}

void pbr_pxar_enc_free(struct pbr_pxar_enc *enc)
{
    if (!enc)
        return;
    pbr_buf_release(&enc->head);
    pbr_buf_release(&enc->dirs);
    pbr_buf_release(&enc->recs);
    pbr_free(enc->env, enc->copy_buf);
    pbr_free(enc->env, enc);
}

/* ---- state ---- */

/* Every failing call ends here: the archive is broken from now on. */
static int done(struct pbr_pxar_enc *enc, int rc)
{
    if (rc < 0)
        enc->state = ST_FAILED;
    return rc;
}

static int need_state(const struct pbr_pxar_enc *enc, enum state state, struct pbr_diag *diag)
{
    if (enc->state == state)
        return PBR_OK;
    if (enc->state == ST_FILE)
        return pbr_fail(diag, PBR_E_STATE, "PXAR-206", enc->pos, "incomplete file: %" PRIu64 " bytes missing",
                        enc->file_left);
    return pbr_fail(diag, PBR_E_STATE, NULL, enc->pos, "encoder %s",
                    enc->state == ST_FAILED     ? "used after a failure"
                    : enc->state == ST_DONE     ? "used after its end"
                    : enc->state == ST_APPENDIX ? "is behind the appendix"
                                                : "has no open file");
}

static struct open_dir *top_dir(struct pbr_pxar_enc *enc)
{
    return (void *)(enc->dirs.ptr + (enc->dirs.len - sizeof(struct open_dir)));
}

static size_t dir_nr(const struct pbr_pxar_enc *enc)
{
    return enc->dirs.len / sizeof(struct open_dir);
}

/* ---- output ---- */

static int no_room(int rc, struct pbr_diag *diag)
{
    return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "entry: %s",
                       rc == PBR_E_LIMIT ? "more metadata than the limit allows" : "out of memory");
}

static int put_archive(struct pbr_pxar_enc *enc, struct pbr_span in, struct pbr_diag *diag)
{
    const int rc = pbr_sink_write(enc->archive, in, diag);
    if (rc == PBR_OK)
        enc->pos += in.len;
    return rc;
}

static int put_payload(struct pbr_pxar_enc *enc, struct pbr_span in, struct pbr_diag *diag)
{
    const int rc = pbr_sink_write(enc->payload, in, diag);
    if (rc == PBR_OK)
        enc->payload_pos += in.len;
    return rc;
}

static int put_payload_header(struct pbr_pxar_enc *enc, uint64_t htype, uint64_t len, struct pbr_diag *diag)
{
    uint8_t hdr[PBR_PXAR_HDR];
    pbr_pxar_hdr_emit(hdr, htype, len);
    return put_payload(enc, pbr_span(hdr, sizeof(hdr)), diag);
}

static int flush_head(struct pbr_pxar_enc *enc, struct pbr_diag *diag)
{
    const int rc = put_archive(enc, pbr_buf_span(&enc->head), diag);
    pbr_buf_clear(&enc->head);
    return rc;
}

/* ---- items into `head` ---- */

/* An item of the parts a, b and, if nul, one NUL; checked against its limit (PXAR-020). */
static int add_item(struct pbr_pxar_enc *enc, uint64_t htype, struct pbr_span a, struct pbr_span b, bool nul,
                    struct pbr_diag *diag)
{
    const uint64_t len = (uint64_t)a.len + b.len + nul;
    if (len > pbr_pxar_content_max(htype))
        return pbr_fail(diag, PBR_E_LIMIT, "PXAR-020", enc->pos,
                        "invalid content size (%" PRIu64 " > %" PRIu64 ") of %s", len, pbr_pxar_content_max(htype),
                        pbr_pxar_type_name(htype));
    uint8_t *p;
    const int rc = pbr_buf_reserve(&enc->head, PBR_PXAR_HDR + (size_t)len, &p);
    if (rc < 0)
        return no_room(rc, diag);
    pbr_pxar_hdr_emit(p, htype, len);
    p += PBR_PXAR_HDR;
    if (a.len)
        memcpy(p, a.ptr, a.len);
    if (b.len)
        memcpy(p + a.len, b.ptr, b.len);
    if (nul)
        p[len - 1] = 0;
    enc->head.len += PBR_PXAR_HDR + (size_t)len;
    return PBR_OK;
}

/* An item of up to four u64. */
static int add_numbers(struct pbr_pxar_enc *enc, uint64_t htype, const uint64_t *numbers, size_t nr,
                       struct pbr_diag *diag)
{
    uint8_t bytes[4 * 8];
    for (size_t i = 0; i < nr; i++)
        pbr_put_u64le(bytes + 8 * i, numbers[i]);
    return add_item(enc, htype, pbr_span(bytes, 8 * nr), pbr_span(NULL, 0), false, diag);
}

static int add_acl_ids(struct pbr_pxar_enc *enc, uint64_t htype, const struct pbr_pxar_acl_id *ids, size_t nr,
                       struct pbr_diag *diag)
{
    for (size_t i = 0; i < nr; i++) {
        const int rc = add_numbers(enc, htype, (const uint64_t[]){ ids[i].id, ids[i].perm }, 2, diag);
        if (rc < 0)
            return rc;
    }
    return PBR_OK;
}

static int add_acls(struct pbr_pxar_enc *enc, const struct pbr_pxar_meta *m, struct pbr_diag *diag)
{
    int rc = add_acl_ids(enc, PBR_PXAR_ACL_USER, m->acl_users, m->acl_user_nr, diag);
    if (rc == PBR_OK)
        rc = add_acl_ids(enc, PBR_PXAR_ACL_GROUP, m->acl_groups, m->acl_group_nr, diag);
    if (rc == PBR_OK && m->has_acl_group_obj)
        rc = add_numbers(enc, PBR_PXAR_ACL_GROUP_OBJ, &m->acl_group_obj, 1, diag);
    if (rc == PBR_OK && m->has_acl_default)
        rc = add_numbers(enc, PBR_PXAR_ACL_DEFAULT,
                         (const uint64_t[]){ m->acl_default.user_obj, m->acl_default.group_obj,
                                             m->acl_default.other, m->acl_default.mask },
                         4, diag);
    if (rc == PBR_OK)
        rc = add_acl_ids(enc, PBR_PXAR_ACL_DEFAULT_USER, m->acl_default_users, m->acl_default_user_nr, diag);
    if (rc == PBR_OK)
        rc = add_acl_ids(enc, PBR_PXAR_ACL_DEFAULT_GROUP, m->acl_default_groups, m->acl_default_group_nr, diag);
    return rc;
}

static int add_entry(struct pbr_pxar_enc *enc, const struct pbr_pxar_meta *m, struct pbr_diag *diag)
{
    uint8_t bytes[PBR_PXAR_ENTRY_LEN] = { 0 }; /* the padding is written as zero (PXAR-055) */
    pbr_put_u64le(bytes, m->mode);
    pbr_put_u64le(bytes + 8, m->flags);
    pbr_put_u32le(bytes + 16, m->uid);
    pbr_put_u32le(bytes + 20, m->gid);
    pbr_put_u64le(bytes + 24, (uint64_t)m->mtime_s);
    pbr_put_u32le(bytes + 32, m->mtime_ns);
    return add_item(enc, PBR_PXAR_ENTRY, pbr_span(bytes, sizeof(bytes)), pbr_span(NULL, 0), false, diag);
}

static int add_meta(struct pbr_pxar_enc *enc, const struct pbr_pxar_meta *m, struct pbr_diag *diag)
{
    int rc = add_entry(enc, m, diag);
    for (size_t i = 0; rc == PBR_OK && i < m->xattr_nr; i++) {
        uint8_t *p; /* name, NUL, value: the NUL in the middle is put in place of a copy of the name */
        const struct pbr_pxar_xattr *x = &m->xattrs[i];
        const size_t at = enc->head.len + PBR_PXAR_HDR + x->name.len;
        rc = add_item(enc, PBR_PXAR_XATTR, x->name, x->value, true, diag);
        if (rc < 0)
            break;
        p = enc->head.ptr + at;
        memmove(p + 1, p, x->value.len);
        *p = 0;
    }
    if (rc == PBR_OK)
        rc = add_acls(enc, m, diag);
    if (rc == PBR_OK && m->has_fcaps)
        rc = add_item(enc, PBR_PXAR_FCAPS, m->fcaps, pbr_span(NULL, 0), false, diag);
    if (rc == PBR_OK && m->has_projid)
        rc = add_numbers(enc, PBR_PXAR_QUOTA_PROJID, &m->projid, 1, diag);
    return rc;
}

/* FILENAME, after checking state and name; starts a new node. */
static int add_name(struct pbr_pxar_enc *enc, struct pbr_span name, struct pbr_diag *diag)
{
    const int rc = need_state(enc, ST_OPEN, diag);
    if (rc < 0)
        return rc;
    const char *wrong = pbr_pxar_name_check(name);
    if (wrong)
        return pbr_fail(diag, PBR_E_ARG, "PXAR-071", enc->pos, "%s", wrong);
    return add_item(enc, PBR_PXAR_FILENAME, name, pbr_span(NULL, 0), true, diag);
}

static int add_head(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                    struct pbr_diag *diag)
{
    const int rc = add_name(enc, name, diag);
    return rc < 0 ? rc : add_meta(enc, meta, diag);
}

/* Remembers a finished child of the current directory; `size` as its goodbye record shall say. */
static int add_rec(struct pbr_pxar_enc *enc, uint64_t hash, uint64_t name_pos, uint64_t size, struct pbr_diag *diag)
{
    const struct pbr_pxar_rec rec = { hash, name_pos, size };
    const int rc = pbr_buf_append(&enc->recs, pbr_span(&rec, sizeof(rec)));
    return rc < 0 ? no_room(rc, diag) : PBR_OK;
}

/* Writes the built node out and records it; `extra` = bytes beyond its items that its record counts. */
static int end_node(struct pbr_pxar_enc *enc, struct pbr_span name, uint64_t extra, uint64_t *ret_pos,
                    struct pbr_diag *diag)
{
    const uint64_t name_pos = enc->pos;
    const uint64_t size = enc->head.len + extra;
    int rc = flush_head(enc, diag);
    if (rc < 0)
        return rc;
    rc = add_rec(enc, pbr_pxar_name_hash(name), name_pos, size, diag);
    if (rc < 0)
        return rc;
    if (ret_pos)
        *ret_pos = name_pos;
    return PBR_OK;
}

/* ---- start ---- */

static int push_dir(struct pbr_pxar_enc *enc, uint64_t name_pos, uint64_t entry_pos, uint64_t hash,
                    struct pbr_diag *diag)
{
    if (dir_nr(enc) >= PBR_PATH_DEPTH_MAX)
        return pbr_fail(diag, PBR_E_LIMIT, NULL, enc->pos, "more than %d directories below each other",
                        PBR_PATH_DEPTH_MAX);
    const struct open_dir dir = { name_pos, entry_pos, hash, enc->recs.len };
    const int rc = pbr_buf_append(&enc->dirs, pbr_span(&dir, sizeof(dir)));
    return rc < 0 ? no_room(rc, diag) : PBR_OK;
}

static int check_dir_mode(const struct pbr_pxar_meta *meta, struct pbr_diag *diag)
{
    if ((meta->mode & PBR_MODE_TYPE) != PBR_MODE_DIR)
        return pbr_fail_at(diag, PBR_E_ARG, "PXAR-201", "directory metadata must contain the directory mode flag");
    return PBR_OK;
}

static int start(struct pbr_pxar_enc *enc, const struct pbr_span *prelude, const struct pbr_pxar_meta *root,
                 struct pbr_diag *diag)
{
    int rc = check_dir_mode(root, diag);
    if (rc == PBR_OK && prelude && !enc->payload)
        rc = pbr_fail_at(diag, PBR_E_ARG, "PXAR-200", "a prelude needs a split archive");
    if (rc == PBR_OK && prelude && prelude->len > PBR_PRELUDE_MAX)
        rc = pbr_fail_at(diag, PBR_E_LIMIT, NULL, "prelude of %zu bytes", prelude->len);
    if (rc == PBR_OK && enc->payload)
        rc = put_payload_header(enc, PBR_PXAR_PAYLOAD_START, 0, diag);
    if (rc == PBR_OK && enc->payload)
        rc = add_numbers(enc, PBR_PXAR_FORMAT_VERSION, (const uint64_t[]){ 2 }, 1, diag);
    if (rc == PBR_OK && prelude)
        rc = add_item(enc, PBR_PXAR_PRELUDE, *prelude, pbr_span(NULL, 0), false, diag);
    if (rc == PBR_OK)
        rc = add_meta(enc, root, diag);
    if (rc == PBR_OK)
        rc = flush_head(enc, diag);
    if (rc == PBR_OK)
        rc = push_dir(enc, 0, 0, 0, diag);
    return rc;
}

int pbr_pxar_enc_new(const struct pbr_env *env, struct pbr_sink *archive, struct pbr_sink *payload,
                     const struct pbr_span *prelude, const struct pbr_pxar_meta *root, struct pbr_pxar_enc **ret,
                     struct pbr_diag *diag)
{
    struct pbr_pxar_enc *enc = pbr_alloc(env, 1, sizeof(*enc));
    if (!enc)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    enc->env = env;
    enc->archive = archive;
    enc->payload = payload;
    pbr_buf_init(&enc->head, env, HEAD_MAX);
    pbr_buf_init(&enc->dirs, env, PBR_PATH_DEPTH_MAX * sizeof(struct open_dir));
    pbr_buf_init(&enc->recs, env, RECS_MAX);
    const int rc = start(enc, prelude, root, diag);
    if (rc < 0) {
        pbr_pxar_enc_free(enc);
        return rc;
    }
    *ret = enc;
    return PBR_OK;
}

int pbr_pxar_enc_attach(struct pbr_pxar_enc *enc, struct pbr_sink *payload, struct pbr_diag *diag)
{
    int rc = need_state(enc, ST_OPEN, diag);
    if (rc == PBR_OK && (enc->payload || enc->has_file))
        rc = pbr_fail(diag, PBR_E_STATE, "SPL-032", enc->pos, "a payload output can be attached once, before the first file");
    if (rc == PBR_OK)
        enc->payload = payload;
    return done(enc, rc);
}

/* ---- regular files ---- */

/* Reserves the payload position `off` for a record: positions only grow, none is used twice (PXAR-139). */
static int use_ref(struct pbr_pxar_enc *enc, uint64_t off, struct pbr_diag *diag)
{
    if (off < enc->payload_pos)
        return pbr_fail(diag, PBR_E_STATE, "PXAR-204", enc->pos,
                        "offset smaller than current position: %" PRIu64 " < %" PRIu64, off, enc->payload_pos);
    if (enc->has_ref && off <= enc->last_ref)
        return pbr_fail(diag, PBR_E_STATE, "PXAR-139", enc->pos,
                        "payload offset %" PRIu64 " is not greater than the last one, %" PRIu64, off, enc->last_ref);
    enc->has_ref = true;
    enc->last_ref = off;
    return PBR_OK;
}

static int file_head_v2(struct pbr_pxar_enc *enc, uint64_t size, struct pbr_diag *diag)
{
    const uint64_t off = enc->payload_pos;
    int rc = use_ref(enc, off, diag);
    if (rc == PBR_OK)
        rc = put_payload_header(enc, PBR_PXAR_PAYLOAD, size, diag);
    if (rc == PBR_OK)
        rc = add_numbers(enc, PBR_PXAR_PAYLOAD_REF, (const uint64_t[]){ off, size }, 2, diag);
    return rc;
}

static int file_head_v1(struct pbr_pxar_enc *enc, uint64_t size, struct pbr_diag *diag)
{
    uint8_t *p;
    const int rc = pbr_buf_reserve(&enc->head, PBR_PXAR_HDR, &p);
    if (rc < 0)
        return no_room(rc, diag);
    pbr_pxar_hdr_emit(p, PBR_PXAR_PAYLOAD, size);
    enc->head.len += PBR_PXAR_HDR;
    return PBR_OK;
}

int pbr_pxar_enc_file(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                      uint64_t size, uint64_t *ret_pos, struct pbr_diag *diag)
{
    if (size > INT64_MAX) /* no file is larger; keeps positions from wrapping */
        return done(enc, pbr_fail(diag, PBR_E_LIMIT, NULL, enc->pos, "file of %" PRIu64 " bytes", size));
    enc->has_file = true;
    int rc = add_head(enc, name, meta, diag);
    if (rc == PBR_OK)
        rc = enc->payload ? file_head_v2(enc, size, diag) : file_head_v1(enc, size, diag);
    if (rc == PBR_OK)
        rc = end_node(enc, name, size, ret_pos, diag); /* with the size in both versions: PXAR-156, PXAR-157 */
    if (rc < 0)
        return done(enc, rc);
    enc->file_left = size;
    enc->state = ST_FILE;
    return PBR_OK;
}

/* n more content bytes are about to be, or were, written. */
static int check_room(const struct pbr_pxar_enc *enc, uint64_t n, struct pbr_diag *diag)
{
    if (n > enc->file_left)
        return pbr_fail(diag, PBR_E_STATE, "PXAR-206", enc->pos, "attempted to write more than previously allocated");
    return PBR_OK;
}

int pbr_pxar_enc_file_write(struct pbr_pxar_enc *enc, struct pbr_span in, struct pbr_diag *diag)
{
    int rc = need_state(enc, ST_FILE, diag);
    if (rc == PBR_OK)
        rc = check_room(enc, in.len, diag);
    if (rc == PBR_OK)
        rc = enc->payload ? put_payload(enc, in, diag) : put_archive(enc, in, diag);
    if (rc == PBR_OK)
        enc->file_left -= in.len;
    return done(enc, rc);
}

int pbr_pxar_enc_file_reserve(struct pbr_pxar_enc *enc, size_t want, uint8_t **ret, size_t *ret_len,
                              struct pbr_diag *diag)
{
    const int rc = need_state(enc, ST_FILE, diag);
    if (rc < 0)
        return done(enc, rc);
    struct pbr_sink *sink = enc->payload ? enc->payload : enc->archive;
    if (sink->reserve)
        return done(enc, sink->reserve(sink->ctx, want, ret, ret_len, diag));
    if (!enc->copy_buf)
        enc->copy_buf = pbr_realloc(enc->env, NULL, COPY_BUF);
    if (!enc->copy_buf)
        return done(enc, pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory"));
    *ret = enc->copy_buf;
    *ret_len = want < COPY_BUF ? want : COPY_BUF;
    return PBR_OK;
}

int pbr_pxar_enc_file_commit(struct pbr_pxar_enc *enc, size_t n, struct pbr_diag *diag)
{
    struct pbr_sink *sink = enc->payload ? enc->payload : enc->archive;
    if (!sink->reserve)
        return pbr_pxar_enc_file_write(enc, pbr_span(enc->copy_buf, n), diag);
    int rc = need_state(enc, ST_FILE, diag);
    if (rc == PBR_OK)
        rc = check_room(enc, n, diag);
    if (rc == PBR_OK)
        rc = sink->commit(sink->ctx, n, diag);
    if (rc < 0)
        return done(enc, rc);
    enc->file_left -= n;
    if (enc->payload)
        enc->payload_pos += n;
    else
        enc->pos += n;
    return PBR_OK;
}

int pbr_pxar_enc_file_end(struct pbr_pxar_enc *enc, struct pbr_diag *diag)
{
    int rc = need_state(enc, ST_FILE, diag);
    if (rc == PBR_OK && enc->file_left > 0)
        rc = pbr_fail(diag, PBR_E_STATE, "PXAR-206", enc->pos, "incomplete file: %" PRIu64 " bytes missing",
                      enc->file_left);
    if (rc == PBR_OK)
        enc->state = ST_OPEN;
    return done(enc, rc);
}

int pbr_pxar_enc_file_ref(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                          uint64_t payload_off, uint64_t size, uint64_t *ret_pos, struct pbr_diag *diag)
{
    enc->has_file = true;
    int rc = add_head(enc, name, meta, diag);
    if (rc == PBR_OK && !enc->payload)
        rc = pbr_fail(diag, PBR_E_STATE, "PXAR-204", enc->pos, "a payload reference needs a split archive");
    if (rc == PBR_OK)
        rc = use_ref(enc, payload_off, diag);
    if (rc == PBR_OK)
        rc = add_numbers(enc, PBR_PXAR_PAYLOAD_REF, (const uint64_t[]){ payload_off, size }, 2, diag);
    if (rc == PBR_OK)
        rc = end_node(enc, name, 0, ret_pos, diag); /* without the size: PXAR-158 */
    return done(enc, rc);
}

/* ---- the other kinds ---- */

int pbr_pxar_enc_symlink(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                         struct pbr_span target, struct pbr_diag *diag)
{
    int rc = add_head(enc, name, meta, diag);
    if (rc == PBR_OK && target.len && memchr(target.ptr, 0, target.len))
        rc = pbr_fail(diag, PBR_E_ARG, "PXAR-072", enc->pos, "link target contains a NUL byte");
    if (rc == PBR_OK)
        rc = add_item(enc, PBR_PXAR_SYMLINK, target, pbr_span(NULL, 0), true, diag);
    if (rc == PBR_OK)
        rc = end_node(enc, name, 0, NULL, diag);
    return done(enc, rc);
}

int pbr_pxar_enc_device(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                        uint64_t major, uint64_t minor, struct pbr_diag *diag)
{
    const uint64_t type = meta->mode & PBR_MODE_TYPE;
    int rc = add_head(enc, name, meta, diag);
    if (rc == PBR_OK && type != PBR_MODE_BLOCK && type != PBR_MODE_CHAR)
        rc = pbr_fail(diag, PBR_E_ARG, "PXAR-080", enc->pos, "mode %" PRIo64 " is no device's", meta->mode);
    if (rc == PBR_OK)
        rc = add_numbers(enc, PBR_PXAR_DEVICE, (const uint64_t[]){ major, minor }, 2, diag);
    if (rc == PBR_OK)
        rc = end_node(enc, name, 0, NULL, diag);
    return done(enc, rc);
}

int pbr_pxar_enc_special(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                         struct pbr_diag *diag)
{
    const uint64_t type = meta->mode & PBR_MODE_TYPE;
    int rc = add_head(enc, name, meta, diag);
    if (rc == PBR_OK && type != PBR_MODE_FIFO && type != PBR_MODE_SOCKET)
        rc = pbr_fail(diag, PBR_E_ARG, "PXAR-201", enc->pos, "mode %" PRIo64 " is neither fifo nor socket",
                      meta->mode);
    if (rc == PBR_OK)
        rc = end_node(enc, name, 0, NULL, diag);
    return done(enc, rc);
}

int pbr_pxar_enc_hardlink(struct pbr_pxar_enc *enc, struct pbr_span name, struct pbr_span target_path,
                          uint64_t target_pos, struct pbr_diag *diag)
{
    int rc = add_name(enc, name, diag);
    if (rc == PBR_OK && target_pos >= enc->pos)
        rc = pbr_fail(diag, PBR_E_ARG, "PXAR-076", enc->pos,
                      "invalid hardlink offset, can only point to prior files");
    if (rc == PBR_OK && (target_path.len == 0 || memchr(target_path.ptr, 0, target_path.len)))
        rc = pbr_fail(diag, PBR_E_ARG, "PXAR-073", enc->pos, "hard link target is empty or contains a NUL byte");
    uint8_t distance[8];
    pbr_put_u64le(distance, enc->pos - target_pos);
    if (rc == PBR_OK)
        rc = add_item(enc, PBR_PXAR_HARDLINK, pbr_span(distance, sizeof(distance)), target_path, true, diag);
    if (rc == PBR_OK)
        rc = end_node(enc, name, 0, NULL, diag);
    return done(enc, rc);
}

/* ---- directories ---- */

int pbr_pxar_enc_dir_enter(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                           struct pbr_diag *diag)
{
    const uint64_t name_pos = enc->pos;
    int rc = check_dir_mode(meta, diag);
    if (rc == PBR_OK)
        rc = add_name(enc, name, diag);
    const uint64_t entry_pos = name_pos + enc->head.len;
    if (rc == PBR_OK)
        rc = add_meta(enc, meta, diag);
    if (rc == PBR_OK)
        rc = flush_head(enc, diag);
    if (rc == PBR_OK)
        rc = push_dir(enc, name_pos, entry_pos, pbr_pxar_name_hash(name), diag);
    return done(enc, rc);
}

static int put_records(struct pbr_pxar_enc *enc, const struct pbr_pxar_rec *recs, size_t n, struct pbr_diag *diag)
{
    for (size_t i = 0; i < n;) {
        const size_t block = n - i < GOODBYE_BLOCK ? n - i : GOODBYE_BLOCK;
        uint8_t *p;
        int rc = pbr_buf_reserve(&enc->head, block * PBR_PXAR_GOODBYE_REC, &p);
        if (rc < 0)
            return no_room(rc, diag);
        for (size_t k = 0; k < block; k++)
            pbr_goodbye_rec_emit(&recs[i + k], p + k * PBR_PXAR_GOODBYE_REC);
        enc->head.len += block * PBR_PXAR_GOODBYE_REC;
        i += block;
        rc = flush_head(enc, diag);
        if (rc < 0)
            return rc;
    }
    return PBR_OK;
}

/* GOODBYE of the innermost directory (PXAR-150 .. PXAR-153). */
static int put_goodbye(struct pbr_pxar_enc *enc, const struct open_dir *dir, struct pbr_diag *diag)
{
    const uint64_t goodbye_pos = enc->pos;
    struct pbr_pxar_rec *recs = enc->recs.ptr ? (void *)(enc->recs.ptr + dir->recs_before) : NULL;
    const size_t n = (enc->recs.len - dir->recs_before) / sizeof(*recs);
    const bool has_tail = enc->has_appendix; /* the root's: nothing else is left by then */
    const uint64_t content = ((uint64_t)n + 1 + has_tail) * PBR_PXAR_GOODBYE_REC;

    for (size_t i = 0; i < n; i++)
        recs[i].offset = goodbye_pos - recs[i].offset;
    int rc = pbr_goodbye_arrange(enc->env, recs, n);
    if (rc < 0)
        return no_room(rc, diag);

    uint8_t *p;
    rc = pbr_buf_reserve(&enc->head, PBR_PXAR_HDR, &p);
    if (rc < 0)
        return no_room(rc, diag);
    pbr_pxar_hdr_emit(p, PBR_PXAR_GOODBYE, content);
    enc->head.len += PBR_PXAR_HDR;
    rc = put_records(enc, recs, n, diag);
    if (rc < 0)
        return rc;
    const struct pbr_pxar_rec tail = { PBR_PXAR_GOODBYE_TAIL, goodbye_pos - dir->entry_pos, content + PBR_PXAR_HDR };
    const struct pbr_pxar_rec appendix_tail = { PBR_PXAR_APPENDIX_TAIL, goodbye_pos - enc->appendix_start,
                                                enc->appendix_total };
    rc = put_records(enc, &tail, 1, diag);
    if (rc == PBR_OK && has_tail)
        rc = put_records(enc, &appendix_tail, 1, diag); /* [APX-032] */
    enc->recs.len = dir->recs_before;
    return rc;
}

int pbr_pxar_enc_dir_leave(struct pbr_pxar_enc *enc, struct pbr_diag *diag)
{
    int rc = need_state(enc, ST_OPEN, diag);
    if (rc == PBR_OK && dir_nr(enc) < 2)
        rc = pbr_fail(diag, PBR_E_STATE, NULL, enc->pos, "the root is left by finish");
    if (rc < 0)
        return done(enc, rc);
    const struct open_dir dir = *top_dir(enc);
    rc = put_goodbye(enc, &dir, diag);
    if (rc < 0)
        return done(enc, rc);
    enc->dirs.len -= sizeof(dir);
    return done(enc, add_rec(enc, dir.hash, dir.name_pos, enc->pos - dir.name_pos, diag)); /* PXAR-155 */
}

int pbr_pxar_enc_finish(struct pbr_pxar_enc *enc, struct pbr_diag *diag)
{
    int rc = need_state(enc, enc->has_appendix ? ST_APPENDIX : ST_OPEN, diag);
    if (rc == PBR_OK && dir_nr(enc) != 1)
        rc = pbr_fail(diag, PBR_E_STATE, NULL, enc->pos, "%zu directories are still open", dir_nr(enc) - 1);
    if (rc == PBR_OK && enc->has_appendix && enc->pos - enc->appendix_start != enc->appendix_total)
        rc = pbr_fail(diag, PBR_E_STATE, "APX-042", enc->pos, "appendix of %" PRIu64 " bytes, announced were %" PRIu64,
                      enc->pos - enc->appendix_start, enc->appendix_total);
    if (rc == PBR_OK)
        rc = put_goodbye(enc, top_dir(enc), diag);
    if (rc == PBR_OK && enc->payload)
        rc = put_payload_header(enc, PBR_PXAR_PAYLOAD_TAIL, 0, diag);
    if (rc == PBR_OK)
        enc->state = ST_DONE;
    return done(enc, rc);
}

int pbr_pxar_enc_payload_advance(struct pbr_pxar_enc *enc, uint64_t n, struct pbr_diag *diag)
{
    int rc = need_state(enc, ST_OPEN, diag);
    if (rc == PBR_OK && !enc->payload)
        rc = pbr_fail(diag, PBR_E_STATE, "PXAR-205", enc->pos, "only split archives have a payload position");
    uint64_t next = 0;
    if (rc == PBR_OK && (!pbr_add(enc->payload_pos, n, &next) || next > INT64_MAX))
        rc = pbr_fail(diag, PBR_E_LIMIT, "PXAR-205", enc->pos, "payload position leaves the range of file sizes");
    if (rc == PBR_OK)
        enc->payload_pos = next;
    return done(enc, rc);
}

/* ---- appendix ---- */

int pbr_pxar_enc_appendix_ref(struct pbr_pxar_enc *enc, struct pbr_span name, uint64_t appendix_off, uint64_t size,
                              uint64_t *ret_pos, struct pbr_diag *diag)
{
    enc->has_file = true;
    int rc = add_name(enc, name, diag);
    if (rc == PBR_OK && enc->payload)
        rc = pbr_fail(diag, PBR_E_STATE, "APX-040", enc->pos, "an appendix reference in a split archive");
    if (rc == PBR_OK)
        rc = add_numbers(enc, PBR_PXAR_APPENDIX_REF, (const uint64_t[]){ appendix_off, size }, 2, diag);
    if (rc == PBR_OK)
        rc = end_node(enc, name, 0, ret_pos, diag); /* the regular part only [APX-031] */
    return done(enc, rc);
}

int pbr_pxar_enc_appendix(struct pbr_pxar_enc *enc, uint64_t total, uint64_t *ret_start, struct pbr_diag *diag)
{
    uint64_t end;
    int rc = need_state(enc, ST_OPEN, diag);
    if (rc == PBR_OK && (enc->payload || dir_nr(enc) != 1))
        rc = pbr_fail(diag, PBR_E_STATE, "APX-041", enc->pos, "an appendix stands in the root, behind all entries");
    if (rc == PBR_OK && (total == 0 || total > INT64_MAX || !pbr_add(enc->pos, total, &end) || end > INT64_MAX))
        rc = pbr_fail(diag, PBR_E_LIMIT, "APX-016", enc->pos, "appendix of %" PRIu64 " bytes", total);
    if (rc == PBR_OK)
        rc = add_numbers(enc, PBR_PXAR_APPENDIX, &total, 1, diag);
    if (rc == PBR_OK)
        rc = flush_head(enc, diag);
    if (rc < 0)
        return done(enc, rc);
    enc->has_appendix = true;
    enc->appendix_start = enc->pos;
    enc->appendix_total = total;
    enc->state = ST_APPENDIX;
    *ret_start = enc->pos;
    return PBR_OK;
}

int pbr_pxar_enc_advance(struct pbr_pxar_enc *enc, uint64_t n, struct pbr_diag *diag)
{
    int rc = need_state(enc, ST_APPENDIX, diag);
    if (rc == PBR_OK && n > enc->appendix_total - (enc->pos - enc->appendix_start))
        rc = pbr_fail(diag, PBR_E_STATE, "APX-042", enc->pos, "%" PRIu64 " bytes more than the appendix has", n);
    if (rc == PBR_OK)
        enc->pos += n;
    return done(enc, rc);
}
