/* SPDX-License-Identifier: MIT */
/* covers: PXAR-031 PXAR-150 PXAR-151 PXAR-170 PXAR-209 PXAR-208 */
/* Random trees: what is encoded is decoded, and decoded and encoded again gives the same bytes; random bytes and random
 * changes never make the decoder do anything but return. */
#include "pxar_data.h"

#include "archive/verify.h"

enum { NAMES = 40 };

struct maker {
    const struct pbr_env *env;
    uint64_t random;
    struct pbr_buf archive, payload;
    struct pbr_sink archive_sink, payload_sink;
    struct pbr_pxar_enc *enc;
    bool split;
    unsigned made;
};

static uint64_t pick(struct maker *m, uint64_t n)
{
    return test_next_random(&m->random) % n;
}

static struct pbr_pxar_meta random_meta(struct maker *m, uint64_t type, struct pbr_pxar_xattr *xattrs,
                                        struct pbr_pxar_acl_id *ids)
{
    static const char bytes[] = "some bytes for attributes, as many as are wanted here";
    struct pbr_pxar_meta meta = { .mode = type | pick(m, 010000), .flags = pick(m, 1000), .uid = (uint32_t)pick(m, 1u << 31),
                                  .gid = (uint32_t)pick(m, 70000), .mtime_s = (int64_t)pick(m, 1u << 31) - (1 << 30),
                                  .mtime_ns = (uint32_t)pick(m, 1000000000) };
    meta.xattr_nr = pick(m, 3) ? 0 : pick(m, 4);
    meta.xattrs = xattrs;
    for (size_t i = 0; i < meta.xattr_nr; i++)
        xattrs[i] = (struct pbr_pxar_xattr){ pbr_span(bytes + i, 1 + pick(m, 20)), pbr_span(bytes, pick(m, 50)) };
    for (size_t i = 0; i < 4; i++)
        ids[i] = (struct pbr_pxar_acl_id){ i, pick(m, 8) };
    if (pick(m, 4) == 0) {
        meta.acl_users = meta.acl_groups = ids;
        meta.acl_user_nr = pick(m, 5);
        meta.acl_group_nr = pick(m, 5);
        meta.has_acl_group_obj = true;
        meta.acl_group_obj = pick(m, 8);
    }
    if (type == PBR_MODE_DIR && pick(m, 4) == 0) {
        meta.has_acl_default = true;
        meta.acl_default.mask = PBR_PXAR_NO_MASK;
        meta.acl_default_users = meta.acl_default_groups = ids;
        meta.acl_default_user_nr = pick(m, 5);
        meta.acl_default_group_nr = pick(m, 5);
    }
    meta.has_fcaps = pick(m, 8) == 0;
    if (meta.has_fcaps)
        meta.fcaps = pbr_span(bytes, 20);
    meta.has_projid = pick(m, 8) == 0;
    if (meta.has_projid)
        meta.projid = 1 + pick(m, 100);
    return meta;
}

static void make_file(struct maker *m, struct pbr_span name, const struct pbr_pxar_meta *meta, uint64_t *ret_pos)
{
    uint8_t content[300];
    const size_t size = pick(m, 3) ? (size_t)pick(m, sizeof(content)) : 0;
    for (size_t i = 0; i < size; i++)
        content[i] = (uint8_t)pick(m, 256);
    check_int(pbr_pxar_enc_file(m->enc, name, meta, size, ret_pos, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_write(m->enc, pbr_span(content, size), NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(m->enc, NULL), PBR_OK);
}

static void make_dir(struct maker *m, const char *path, unsigned depth)
{
    uint64_t link_pos = 0;
    char link_path[512] = "";
    const unsigned nr = (unsigned)pick(m, NAMES);
    for (unsigned i = 0; i < nr && m->made < 300; i++, m->made++) {
        static const uint64_t types[] = { PBR_MODE_REG,  PBR_MODE_DIR,  PBR_MODE_SYMLINK, PBR_MODE_BLOCK,
                                          PBR_MODE_FIFO, PBR_MODE_SOCKET, PBR_MODE_REG };
        const size_t what = (size_t)pick(m, 8);
        struct pbr_pxar_xattr xattrs[4];
        struct pbr_pxar_acl_id ids[4];
        char text[16], full[512];
        snprintf(text, sizeof(text), "n%04u", i);
        snprintf(full, sizeof(full), "%s%s", path, text);
        const struct pbr_span name = pbr_span_str(text);
        const struct pbr_pxar_meta meta = random_meta(m, what < 7 ? types[what] : 0, xattrs, ids);
        if (what == 7 && link_path[0]) {
            check_int(pbr_pxar_enc_hardlink(m->enc, name, pbr_span_str(link_path), link_pos, NULL), PBR_OK);
        } else if (what == 1 && depth < 6) {
            char below[512];
            snprintf(below, sizeof(below), "%.480s/", full);
            check_int(pbr_pxar_enc_dir_enter(m->enc, name, &meta, NULL), PBR_OK);
            make_dir(m, below, depth + 1);
            check_int(pbr_pxar_enc_dir_leave(m->enc, NULL), PBR_OK);
        } else if (what == 2) {
            check_int(pbr_pxar_enc_symlink(m->enc, name, &meta, pbr_span_str(full), NULL), PBR_OK);
        } else if (what == 3) {
            check_int(pbr_pxar_enc_device(m->enc, name, &meta, pick(m, 5000), pick(m, 5000), NULL), PBR_OK);
        } else if (what == 4 || what == 5) {
            check_int(pbr_pxar_enc_special(m->enc, name, &meta, NULL), PBR_OK);
        } else if (what == 0 || what == 6) {
            make_file(m, name, &meta, &link_pos);
            snprintf(link_path, sizeof(link_path), "%s", full);
        }
    }
}

static struct pxar_pair make_archive(struct maker *m, const struct pbr_env *env, uint64_t seed)
{
    struct pbr_pxar_xattr xattrs[4];
    struct pbr_pxar_acl_id ids[4];
    *m = (struct maker){ .env = env, .random = seed };
    m->split = pick(m, 2);
    pbr_buf_init(&m->archive, env, 1 << 26);
    pbr_buf_init(&m->payload, env, 1 << 26);
    m->archive_sink = pbr_sink_buf(&m->archive);
    m->payload_sink = pbr_sink_buf(&m->payload);
    const struct pbr_span prelude = pbr_span_str("{}");
    const struct pbr_pxar_meta root = random_meta(m, PBR_MODE_DIR, xattrs, ids);
    check_int(pbr_pxar_enc_new(env, &m->archive_sink, m->split ? &m->payload_sink : NULL,
                               m->split && pick(m, 2) ? &prelude : NULL, &root, &m->enc, NULL),
              PBR_OK);
    make_dir(m, "", 0);
    check_int(pbr_pxar_enc_finish(m->enc, NULL), PBR_OK);
    pbr_pxar_enc_free(m->enc);
    return (struct pxar_pair){ pbr_buf_span(&m->archive), pbr_buf_span(&m->payload), m->split };
}

static void release(struct maker *m)
{
    pbr_buf_release(&m->archive);
    pbr_buf_release(&m->payload);
}

static int verify(const struct pbr_env *env, const struct pxar_pair *p, struct pbr_verify_result *res)
{
    struct pbr_stream_mem archive_mem = { .in = p->archive }, payload_mem = { .in = p->payload };
    struct pbr_stream archive = pbr_stream_mem(&archive_mem), payload = pbr_stream_mem(&payload_mem);
    const struct pbr_verify_opts opts = { .contents = true };
    return pbr_verify(env, &archive, p->split ? &payload : NULL, &opts, res, NULL);
}

static void test_random_trees_survive_the_round_trip(void **state)
{
    (void)state;
    const uint64_t seed = test_seed(2024);
    for (uint64_t i = 0; i < 200; i++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct maker m;
        struct pbr_buf archive, payload;
        struct pxar_streams s;
        struct pbr_verify_result res;
        const struct pxar_pair p = make_archive(&m, &env, seed + i);
        pbr_buf_init(&archive, &env, 1 << 26);
        pbr_buf_init(&payload, &env, 1 << 26);
        struct pbr_sink archive_sink = pbr_sink_buf(&archive), payload_sink = pbr_sink_buf(&payload);
        struct pbr_reader *r = open_reader(&env, &s, &p, 1 + (size_t)(seed + i) % 300, NULL);
        check_int(transcode(&env, r, &archive_sink, p.split ? &payload_sink : NULL, NULL), PBR_OK);
        pbr_reader_free(r);
        check_span(pbr_buf_span(&archive), p.archive);
        check_span(pbr_buf_span(&payload), p.payload);
        check_int(verify(&env, &p, &res), PBR_OK);
        check_u64(res.errors, 0);
        pbr_buf_release(&archive);
        pbr_buf_release(&payload);
        release(&m);
        check_int(w.live_allocs, 0);
    }
}

static void test_random_changes_never_do_harm(void **state)
{
    (void)state;
    const uint64_t seed = test_seed(99);
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct maker m;
    unsigned clean = 0;
    for (uint64_t i = 0; i < 20; i++) {
        const struct pxar_pair p = make_archive(&m, &env, seed + i);
        for (int change = 0; change < 100; change++) {
            struct pbr_verify_result res;
            struct pbr_buf *b = p.split && pick(&m, 8) == 0 ? &m.payload : &m.archive;
            const size_t at = (size_t)pick(&m, b->len);
            const uint8_t old = b->ptr[at];
            b->ptr[at] = (uint8_t)pick(&m, 256);
            check_int(verify(&env, &p, &res), PBR_OK);
            clean += res.errors == 0;
            b->ptr[at] = old;
        }
        release(&m);
    }
    check_int(w.live_allocs, 0);
    check(clean < 1900); /* contents and values may change unnoticed, structure may not */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_trees_survive_the_round_trip),
        cmocka_unit_test(test_random_changes_never_do_harm),
    };
    return cmocka_run_group_tests_name("archive_trees", tests, NULL, NULL);
}
