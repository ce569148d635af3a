/* SPDX-License-Identifier: MIT */
/* The worked examples of spec/draft-split-stream.md section 3 and spec/draft-appendix.md section 16, made by the encoder. */
#ifndef PBR_DRAFT_DATA_H
#define PBR_DRAFT_DATA_H

#include "format/pxar_enc.h"
#include "prim/prim.h"
#include "test.h"

static const struct pbr_pxar_meta EXAMPLE_DIR = { .mode = 040755, .mtime_s = 1700000000 };
static const struct pbr_pxar_meta EXAMPLE_FILE = { .mode = 0100644, .mtime_s = 1700000000 };

/* Where an archive is made. */
struct draft_out {
    struct pbr_buf archive, payload;
    struct pbr_sink archive_sink, payload_sink;
    struct pbr_pxar_enc *enc;
};

static inline void draft_begin(struct draft_out *o, const struct pbr_env *env)
{
    pbr_buf_init(&o->archive, env, 1 << 20);
    pbr_buf_init(&o->payload, env, 1 << 20);
    o->archive_sink = pbr_sink_buf(&o->archive);
    o->payload_sink = pbr_sink_buf(&o->payload);
    assert_int_equal(pbr_pxar_enc_new(env, &o->archive_sink, NULL, NULL, &EXAMPLE_DIR, &o->enc, NULL), PBR_OK);
}

static inline void draft_end(struct draft_out *o)
{
    pbr_pxar_enc_free(o->enc);
    o->enc = NULL;
}

static inline void draft_release(struct draft_out *o)
{
    draft_end(o);
    pbr_buf_release(&o->archive);
    pbr_buf_release(&o->payload);
}

static inline void draft_file(struct draft_out *o, const char *name, struct pbr_span content)
{
    assert_int_equal(pbr_pxar_enc_file(o->enc, pbr_span_str(name), &EXAMPLE_FILE, content.len, NULL, NULL), PBR_OK);
    assert_int_equal(pbr_pxar_enc_file_write(o->enc, content, NULL), PBR_OK);
    assert_int_equal(pbr_pxar_enc_file_end(o->enc, NULL), PBR_OK);
}

static inline struct pbr_span draft_a_bin(void)
{
    static uint8_t bytes[3000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i % 251);
    return pbr_span(bytes, sizeof(bytes));
}

/* SPL: root with file f. */
static inline void draft_split_example(struct draft_out *o, const struct pbr_env *env)
{
    draft_begin(o, env);
    assert_int_equal(pbr_pxar_enc_attach(o->enc, &o->payload_sink, NULL), PBR_OK);
    draft_file(o, "f", pbr_span_str("hi\n"));
    assert_int_equal(pbr_pxar_enc_finish(o->enc, NULL), PBR_OK);
    draft_end(o);
}

/* APX snapshot 1: a plain archive. */
static inline void draft_snapshot1(struct draft_out *o, const struct pbr_env *env)
{
    draft_begin(o, env);
    draft_file(o, "a.bin", draft_a_bin());
    draft_file(o, "b.txt", pbr_span_str("hello"));
    assert_int_equal(pbr_pxar_enc_finish(o->enc, NULL), PBR_OK);
    draft_end(o);
}

/* APX snapshot 2: a.bin as a reference, snapshot 1 as its appendix. */
static inline void draft_snapshot2(struct draft_out *o, const struct pbr_env *env)
{
    struct draft_out one;
    uint64_t start;
    draft_snapshot1(&one, env);
    draft_begin(o, env);
    assert_int_equal(pbr_pxar_enc_appendix_ref(o->enc, pbr_span_str("a.bin"), 56, 3000, NULL, NULL), PBR_OK);
    draft_file(o, "b.txt", pbr_span_str("HELLO!"));
    assert_int_equal(pbr_pxar_enc_appendix(o->enc, one.archive.len, &start, NULL), PBR_OK);
    assert_int_equal(start, o->archive.len);
    assert_int_equal(pbr_buf_append(&o->archive, pbr_buf_span(&one.archive)), PBR_OK);
    assert_int_equal(pbr_pxar_enc_advance(o->enc, one.archive.len, NULL), PBR_OK);
    assert_int_equal(pbr_pxar_enc_finish(o->enc, NULL), PBR_OK);
    draft_end(o);
    draft_release(&one);
}

static inline void check_sha256(struct pbr_span in, const char *want)
{
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1];
    assert_int_equal(pbr_sha256(in, pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    assert_string_equal(hex, want);
}

#endif
