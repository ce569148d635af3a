/* SPDX-License-Identifier: MIT */
/* The pxar archive format, version 1 (one stream) and 2 (metadata archive and payload stream): item constants,
 * the metadata of an entry, and small pure helpers. The push decoder is in pxar_dec.h, the encoder in pxar_enc.h,
 * goodbye tables in goodbye.h.
 *
 *   offset size
 *        0    8  item type (htype), one of enum pbr_pxar_type      [PXAR-003, PXAR-014]
 *        8    8  full size, this header included, >= 16            [PXAR-004]
 *       16       content                                           [PXAR-020]
 *
 * Thread: plain values, not shared. */
#ifndef PBR_FORMAT_PXAR_H
#define PBR_FORMAT_PXAR_H

#include "base/bytes.h"
#include "base/env.h"

#define PBR_PXAR_FORMAT_VERSION UINT64_C(0x730f6c75df16a40d)
#define PBR_PXAR_PRELUDE UINT64_C(0xe309d79d9f7b771b)
#define PBR_PXAR_ENTRY UINT64_C(0xd5956474e588acef)
#define PBR_PXAR_ENTRY_V1 UINT64_C(0x11da850a1c1cceff)
#define PBR_PXAR_FILENAME UINT64_C(0x16701121063917b3)
#define PBR_PXAR_SYMLINK UINT64_C(0x27f971e7dbf5dc5f)
#define PBR_PXAR_DEVICE UINT64_C(0x9fc9e906586d5ce9)
#define PBR_PXAR_XATTR UINT64_C(0x0dab0229b57dcd03)
#define PBR_PXAR_ACL_USER UINT64_C(0x2ce8540a457d55b8)
#define PBR_PXAR_ACL_GROUP UINT64_C(0x136e3eceb04c03ab)
#define PBR_PXAR_ACL_GROUP_OBJ UINT64_C(0x10868031e9582876)
#define PBR_PXAR_ACL_DEFAULT UINT64_C(0xbbbb13415a6896f5)
#define PBR_PXAR_ACL_DEFAULT_USER UINT64_C(0xc89357b40532cd1f)
#define PBR_PXAR_ACL_DEFAULT_GROUP UINT64_C(0xf90a8a5816038ffe)
#define PBR_PXAR_FCAPS UINT64_C(0x2da9dd9db5f7fb67)
#define PBR_PXAR_QUOTA_PROJID UINT64_C(0xe07540e82f7d1cbb)
#define PBR_PXAR_HARDLINK UINT64_C(0x51269c8422bd7275)
#define PBR_PXAR_PAYLOAD UINT64_C(0x28147a1b0b7c1a25)
#define PBR_PXAR_PAYLOAD_REF UINT64_C(0x419d3d6bc4ba977e)
#define PBR_PXAR_GOODBYE UINT64_C(0x2fec4fa642d5731d)
#define PBR_PXAR_GOODBYE_TAIL UINT64_C(0xef5eed5b753e1555)
#define PBR_PXAR_PAYLOAD_START UINT64_C(0x834c68c2194a4ed2)
#define PBR_PXAR_PAYLOAD_TAIL UINT64_C(0x6c72b78b984c81b5)

/* Items of a draft that was never released [APX-010 .. APX-013]. */
#define PBR_PXAR_APPENDIX UINT64_C(0x9ff6c9507864b38d)
#define PBR_PXAR_APPENDIX_REF UINT64_C(0x849b4a17e0234f8e)
#define PBR_PXAR_APPENDIX_TAIL UINT64_C(0x5b1b9abb7ae454f1)
#define PBR_PXAR_DRAFT_VERSION UINT64_C(0x3af1a225c9d83fd3)

enum {
    PBR_PXAR_HDR = 16,          /* item header */
    PBR_PXAR_ENTRY_LEN = 40,    /* content of ENTRY (PXAR-050) */
    PBR_PXAR_GOODBYE_REC = 24,  /* one goodbye record (PXAR-150) */
};

/* Permission value "entry not present" inside ACL_DEFAULT (PXAR-100). */
#define PBR_PXAR_NO_MASK UINT64_MAX

/* File type bits of `mode`, fixed by the format (PXAR-051). */
enum {
    PBR_MODE_TYPE = 0170000,
    PBR_MODE_SOCKET = 0140000,
    PBR_MODE_SYMLINK = 0120000,
    PBR_MODE_REG = 0100000,
    PBR_MODE_BLOCK = 0060000,
    PBR_MODE_DIR = 0040000,
    PBR_MODE_CHAR = 0020000,
    PBR_MODE_FIFO = 0010000,
    PBR_MODE_PERM = 07777,
};

struct pbr_pxar_xattr {
    struct pbr_span name;  /* without NUL */
    struct pbr_span value;
};

struct pbr_pxar_acl_id {
    uint64_t id;   /* uid or gid */
    uint64_t perm; /* read 4, write 2, execute 1 */
};

/* ENTRY and attribute items of one entry. All arrays and spans are borrowed from whoever filled it in; they stay
 * valid as that place says. Attribute order is archive order (PXAR-031). */
struct pbr_pxar_meta {
    uint64_t mode;
    uint64_t flags;
    uint32_t uid, gid;
    int64_t mtime_s;    /* floor seconds (PXAR-052) */
    uint32_t mtime_ns;
    const struct pbr_pxar_xattr *xattrs;
    size_t xattr_nr;
    const struct pbr_pxar_acl_id *acl_users, *acl_groups, *acl_default_users, *acl_default_groups;
    size_t acl_user_nr, acl_group_nr, acl_default_user_nr, acl_default_group_nr;
    bool has_acl_group_obj, has_acl_default, has_fcaps, has_projid;
    uint64_t acl_group_obj;
    struct {
        uint64_t user_obj, group_obj, other, mask;
    } acl_default;
    struct pbr_span fcaps; /* raw value of security.capability */
    uint64_t projid;
};

enum pbr_pxar_kind {
    PBR_KIND_DIR,
    PBR_KIND_FILE,      /* with inline payload (v1) or payload reference (v2) */
    PBR_KIND_SYMLINK,
    PBR_KIND_DEVICE,    /* block or character: told by mode (PXAR-080) */
    PBR_KIND_FIFO,
    PBR_KIND_SOCKET,
    PBR_KIND_HARDLINK,
    PBR_KIND_APPENDIX_REF, /* regular file whose entry stands in the appendix (APX-050): no metadata here */
};

/* Hash of a file name as stored in goodbye tables (PXAR-013). */
uint64_t pbr_pxar_name_hash(struct pbr_span name);

/* Rules for a name (PXAR-071, PXAR-081): not empty, no '/', no NUL, not "." or "..", at most 4096 bytes.
 * Returns NULL if fine, else a static text saying what is wrong. */
const char *pbr_pxar_name_check(struct pbr_span name);

/* Largest content of an item type (PXAR-020); UINT64_MAX = no limit or unknown type. */
uint64_t pbr_pxar_content_max(uint64_t htype);

/* "FILENAME", "PAYLOAD_REF", ... ; "UNKNOWN" for others. Static. */
const char *pbr_pxar_type_name(uint64_t htype);
const char *pbr_pxar_kind_name(enum pbr_pxar_kind kind);

void pbr_pxar_hdr_emit(uint8_t out[PBR_PXAR_HDR], uint64_t htype, uint64_t content_len);

/* dev_t to (major, minor) and back (PXAR-079). */
void pbr_pxar_dev_split(uint64_t dev, uint64_t *ret_major, uint64_t *ret_minor);
uint64_t pbr_pxar_dev_join(uint64_t major, uint64_t minor);

/* Bytes of FILENAME, ENTRY and all attribute items of an entry (APX-044); UINT64_MAX if beyond 64 bits. */
uint64_t pbr_pxar_head_len(struct pbr_span name, const struct pbr_pxar_meta *meta);

/* Equality of metadata as change detection needs it (PXAR-115, PXAR-116: xattrs compare by name only). */
bool pbr_pxar_meta_equal(const struct pbr_pxar_meta *a, const struct pbr_pxar_meta *b);

/* Deep copy; everything in *ret lies in one allocation, freed by pbr_free(env, *ret). */
PBR_MUST_USE int pbr_pxar_meta_dup(const struct pbr_env *env, const struct pbr_pxar_meta *meta,
                                   struct pbr_pxar_meta **ret);

#endif
