/* SPDX-License-Identifier: MIT */
/* See archive.h. */
#include "support/archive.h"

bool fuzz_pair_get(struct pbr_span in, struct fuzz_pair *ret)
{
    if (in.len < FUZZ_PAIR_HEAD)
        return false;
    const struct pbr_span rest = pbr_span_sub(in, FUZZ_PAIR_HEAD, SIZE_MAX);
    const size_t asked = pbr_get_u32le(in.ptr);
    const size_t len = asked < rest.len ? asked : rest.len;
    *ret = (struct fuzz_pair){ .archive = pbr_span_sub(rest, 0, len),
                               .payload = pbr_span_sub(rest, len, SIZE_MAX),
                               .split = in.ptr[4] & FUZZ_PAIR_SPLIT,
                               .options = in.ptr[5] };
    return true;
}

int fuzz_reader_open(struct fuzz_reader *r, const struct fuzz_pair *pair, size_t step,
                     const struct pbr_reader_opts *opts, struct pbr_diag *diag)
{
    *r = (struct fuzz_reader){ .archive_mem = { .in = pair->archive, .step = step },
                               .payload_mem = { .in = pair->payload, .step = step } };
    r->archive = pbr_stream_mem(&r->archive_mem);
    r->payload = pbr_stream_mem(&r->payload_mem);
    return pbr_reader_open_opts(&fuzz_env, &r->archive, pair->split ? &r->payload : NULL, opts, &r->reader, diag);
}

void fuzz_reader_close(struct fuzz_reader *r)
{
    pbr_reader_free(r->reader);
    pbr_stream_close(&r->archive);
    pbr_stream_close(&r->payload);
}

int fuzz_pair_verify(const struct fuzz_pair *pair, const struct pbr_verify_opts *opts, struct pbr_verify_result *ret,
                     struct pbr_diag *diag)
{
    struct pbr_stream_mem archive_mem = { .in = pair->archive }, payload_mem = { .in = pair->payload };
    struct pbr_stream archive = pbr_stream_mem(&archive_mem), payload = pbr_stream_mem(&payload_mem);
    const int rc = pbr_verify(&fuzz_env, &archive, pair->split ? &payload : NULL, opts, ret, diag);
    MUST(!diag || rc == (int)diag->code);
    return rc;
}

static void hash_ids(uint64_t *h, const struct pbr_pxar_acl_id *ids, size_t nr)
{
    fuzz_hash_u64(h, nr);
    for (size_t i = 0; i < nr; i++) {
        fuzz_hash_u64(h, ids[i].id);
        fuzz_hash_u64(h, ids[i].perm);
    }
}

void fuzz_hash_meta(uint64_t *h, const struct pbr_pxar_meta *m)
{
    const uint64_t plain[] = { m->mode, m->flags, m->uid, m->gid, (uint64_t)m->mtime_s, m->mtime_ns,
                               m->has_acl_group_obj, m->has_acl_default, m->has_fcaps, m->has_projid };
    fuzz_hash(h, plain, sizeof(plain));
    for (size_t i = 0; i < m->xattr_nr; i++) {
        fuzz_hash_span(h, m->xattrs[i].name);
        fuzz_hash_span(h, m->xattrs[i].value);
    }
    hash_ids(h, m->acl_users, m->acl_user_nr);
    hash_ids(h, m->acl_groups, m->acl_group_nr);
    hash_ids(h, m->acl_default_users, m->acl_default_user_nr);
    hash_ids(h, m->acl_default_groups, m->acl_default_group_nr);
    fuzz_hash_u64(h, m->has_acl_group_obj ? m->acl_group_obj : 0);
    if (m->has_acl_default) {
        fuzz_hash_u64(h, m->acl_default.user_obj);
        fuzz_hash_u64(h, m->acl_default.group_obj);
        fuzz_hash_u64(h, m->acl_default.other);
        fuzz_hash_u64(h, m->acl_default.mask);
    }
    fuzz_hash_span(h, m->fcaps);
    fuzz_hash_u64(h, m->has_projid ? m->projid : 0);
}

void fuzz_hash_entry(uint64_t *h, const struct pbr_pxar_entry *e)
{
    fuzz_hash_u64(h, e->kind);
    fuzz_hash_span(h, e->name);
    fuzz_hash_meta(h, &e->meta);
    fuzz_hash_u64(h, e->kind == PBR_KIND_FILE || e->kind == PBR_KIND_APPENDIX_REF ? e->size : 0);
    fuzz_hash_u64(h, e->kind == PBR_KIND_APPENDIX_REF ? e->appendix_off : 0);
    fuzz_hash_span(h, e->target);
    fuzz_hash_u64(h, e->kind == PBR_KIND_DEVICE ? e->major : 0);
    fuzz_hash_u64(h, e->kind == PBR_KIND_DEVICE ? e->minor : 0);
}
