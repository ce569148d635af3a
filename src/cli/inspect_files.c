/* SPDX-License-Identifier: MIT */
/* pbsref inspect of everything but archives: payload streams, blobs, indexes, catalogs, manifests, key files. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/inspect.h"
#include "format/catalog.h"
#include "format/index.h"
#include "format/keyfile.h"
#include "format/pxar.h"
#include "sys/fd.h"

static int load(struct pbr_inspect *in, size_t max, struct pbr_buf *ret, struct pbr_diag *diag)
{
    return pbr_load_file(&in->cli->env, AT_FDCWD, in->path, max, ret, diag);
}

/* The values are taken over in any case. */
static int members(struct pbr_view *v, struct pbr_diag *diag, const char *const *names, json_t *const *values, size_t n)
{
    int rc = PBR_OK;
    for (size_t i = 0; i < n; i++) {
        if (rc == PBR_OK)
            rc = pbr_view_member(v, names[i], values[i], diag);
        else
            json_decref(values[i]);
    }
    return rc;
}

/* ---- payload stream ---- */

static int check_marker(const struct pbr_source *src, uint64_t at, uint64_t htype, const char *rule, const char *what,
                        struct pbr_diag *diag)
{
    uint8_t found[PBR_PXAR_HDR], wanted[PBR_PXAR_HDR];
    const int rc = pbr_source_read_at(src, at, found, sizeof(found), diag);
    if (rc < 0)
        return rc;
    pbr_pxar_hdr_emit(wanted, htype, 0);
    if (memcmp(found, wanted, sizeof(found)) != 0)
        return pbr_fail(diag, PBR_E_FORMAT, rule, at, "the payload stream has no %s marker", what);
    return PBR_OK;
}

int pbr_inspect_payload(struct pbr_inspect *in, struct pbr_diag *diag)
{
    struct pbr_source src;
    int rc = pbr_source_open(&in->cli->env, AT_FDCWD, in->path, &src, diag);
    if (rc < 0)
        return rc;
    const uint64_t size = src.size;
    if (size < 2 * PBR_PXAR_HDR)
        rc = pbr_fail(diag, PBR_E_TRUNCATED, "PXAR-135", size, "a payload stream of %" PRIu64 " bytes", size);
    if (rc == PBR_OK)
        rc = check_marker(&src, 0, PBR_PXAR_PAYLOAD_START, "PXAR-134", "start", diag);
    if (rc == PBR_OK)
        rc = check_marker(&src, size - PBR_PXAR_HDR, PBR_PXAR_PAYLOAD_TAIL, "PXAR-135", "tail", diag);
    pbr_source_close(&src);
    return rc < 0 ? rc : pbr_view_member(&in->view, "size", pbr_view_u64(size), diag);
}

/* ---- blob ---- */

static const char *blob_kind_name(enum pbr_blob_kind kind)
{
    switch (kind) {
    case PBR_BLOB_PLAIN: return "uncompressed";
    case PBR_BLOB_ZSTD: return "compressed";
    case PBR_BLOB_ENC: return "encrypted";
    case PBR_BLOB_ENC_ZSTD: return "encrypted-compressed";
    }
    return "unknown";
}

static int parse_digest(const char *text, uint8_t out[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    if (!pbr_parse_hex(pbr_span_str(text), out, PBR_DIGEST_LEN))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "a digest has 64 hexadecimal digits");
    return PBR_OK;
}

/* A new file, or nothing if no --output is given. */
static int write_output(struct pbr_inspect *in, struct pbr_span plain, struct pbr_diag *diag)
{
    const char *path = pbr_args_text(in->args, "output");
    if (!path)
        return PBR_OK;
    int fd = pbr_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot create %s", path);
    const int rc = pbr_write_all(fd, plain, path, diag);
    pbr_close(&fd);
    if (rc < 0)
        (void)unlink(path);
    return rc;
}

/* Decodes `raw` with everything the options demand; *ret borrows from raw or out. */
static int open_blob(struct pbr_inspect *in, struct pbr_span raw, struct pbr_buf *out, struct pbr_span *ret, struct pbr_diag *diag)
{
    uint8_t digest[PBR_DIGEST_LEN];
    struct pbr_opener *opener;
    const char *text = pbr_args_text(in->args, "digest");
    const struct pbr_open_opts opts = { .crypt = in->crypt, .digest = text ? digest : NULL, .has_len = pbr_args_has(in->args, "size"),
                                        .len = pbr_args_number(in->args, "size", 0), .max = PBR_BLOB_PLAIN_MAX };
    int rc = text ? parse_digest(text, digest, diag) : PBR_OK;
    if (rc < 0)
        return rc;
    if (pbr_opener_new(&in->cli->env, &opener) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to decode a blob");
    rc = pbr_open_blob(opener, raw, &opts, out, ret, diag);
    pbr_opener_free(opener);
    return rc;
}

int pbr_inspect_blob(struct pbr_inspect *in, struct pbr_diag *diag)
{
    struct pbr_buf raw, out;
    struct pbr_blob blob;
    struct pbr_span plain;
    uint8_t digest[PBR_DIGEST_LEN];
    int rc = load(in, PBR_BLOB_PLAIN_MAX + PBR_BLOB_HDR_MAX, &raw, diag);
    if (rc < 0)
        return rc;
    pbr_buf_init(&out, &in->cli->env, PBR_BLOB_PLAIN_MAX);
    rc = pbr_blob_parse(pbr_buf_span(&raw), &blob, diag);
    if (rc == PBR_OK)
        rc = open_blob(in, pbr_buf_span(&raw), &out, &plain, diag);
    if (rc == PBR_OK)
        rc = pbr_chunk_digest(pbr_blob_is_encrypted(blob.kind) ? in->crypt : NULL, plain, digest);
    if (rc == PBR_OK)
        rc = write_output(in, plain, diag);
    if (rc == PBR_OK)
        rc = members(&in->view, diag, (const char *const[]){ "kind", "size", "digest" },
                     (json_t *const[]){ json_string(blob_kind_name(blob.kind)), pbr_view_u64(plain.len),
                                        pbr_view_hex(pbr_span(digest, sizeof(digest))) }, 3);
    pbr_buf_release(&out);
    pbr_buf_release(&raw);
    return rc;
}

/* ---- indexes ---- */

static int show_lookups(struct pbr_inspect *in, const struct pbr_index *ix, struct pbr_diag *diag)
{
    const char *const *offsets;
    const size_t n = pbr_args_list(in->args, "offset", &offsets);
    int rc = PBR_OK;
    if (!n)
        return PBR_OK;
    pbr_view_list(&in->view, "lookups");
    for (size_t k = 0; k < n && rc == PBR_OK; k++) {
        uint64_t off, i;
        if (!pbr_parse_u64(pbr_span_str(offsets[k]), 0, UINT64_MAX, &off))
            rc = pbr_fail_at(diag, PBR_E_ARG, NULL, "'%s' is no offset", offsets[k]);
        else if (!pbr_index_lookup(ix, off, &i))
            rc = pbr_view_item(&in->view, json_null(), diag);
        else
            rc = pbr_view_item(&in->view, json_pack("{s:o, s:o}", "chunk", pbr_view_u64(i), "start",
                                                    pbr_view_u64(pbr_index_start(ix, i))), diag);
    }
    pbr_view_list_end(&in->view);
    return rc;
}

static int show_index(struct pbr_inspect *in, const struct pbr_index *ix, struct pbr_diag *diag)
{
    const bool fixed = ix->kind == PBR_INDEX_FIXED;
    int rc = members(&in->view, diag, (const char *const[]){ "kind", "uuid", "ctime", "csum", "size" },
                     (json_t *const[]){ json_string(fixed ? "fixed" : "dynamic"), pbr_view_hex(pbr_span(ix->uuid, sizeof(ix->uuid))),
                                        pbr_view_i64(ix->ctime_s), pbr_view_hex(pbr_span(ix->stored_csum, PBR_DIGEST_LEN)),
                                        pbr_view_u64(ix->size) }, 5);
    if (rc == PBR_OK && fixed)
        rc = pbr_view_member(&in->view, "chunk-size", pbr_view_u64(ix->chunk_size), diag);
    pbr_view_list(&in->view, "chunks");
    for (uint64_t i = 0; i < ix->entry_nr && rc == PBR_OK; i++)
        rc = pbr_view_item(&in->view, json_pack("{s:o, s:o}", "end", pbr_view_u64(pbr_index_end(ix, i)), "digest",
                                                pbr_view_hex(pbr_span(pbr_index_digest(ix, i), PBR_DIGEST_LEN))), diag);
    pbr_view_list_end(&in->view);
    return rc < 0 ? rc : show_lookups(in, ix, diag);
}

static int inspect_index(struct pbr_inspect *in, enum pbr_index_kind kind, struct pbr_diag *diag)
{
    struct pbr_buf file;
    struct pbr_index ix;
    int rc = load(in, PBR_INDEX_SIZE_MAX, &file, diag);
    if (rc < 0)
        return rc;
    rc = pbr_index_parse(pbr_buf_span(&file), true, &ix, diag);
    if (rc == PBR_OK && ix.kind != kind)
        rc = pbr_fail(diag, PBR_E_FORMAT, "IDX-015", 0, "this is an index of the other kind");
    if (rc == PBR_OK)
        rc = show_index(in, &ix, diag);
    pbr_buf_release(&file);
    return rc;
}

int pbr_inspect_dynamic(struct pbr_inspect *in, struct pbr_diag *diag)
{
    return inspect_index(in, PBR_INDEX_DYNAMIC, diag);
}

int pbr_inspect_fixed(struct pbr_inspect *in, struct pbr_diag *diag)
{
    return inspect_index(in, PBR_INDEX_FIXED, diag);
}

/* ---- catalog ---- */

static const char *catalog_kind(enum pbr_pcat_type type)
{
    switch (type) {
    case PBR_PCAT_DIR: return "dir";
    case PBR_PCAT_FILE: return "file";
    case PBR_PCAT_SYMLINK: return "symlink";
    case PBR_PCAT_HARDLINK: return "hardlink";
    case PBR_PCAT_BLOCK: return "blockdev";
    case PBR_PCAT_CHAR: return "chardev";
    case PBR_PCAT_FIFO: return "fifo";
    case PBR_PCAT_SOCKET: return "socket";
    case PBR_PCAT_REF: return "appendix-ref";
    case PBR_PCAT_ARCHIVE: return "archive";
    }
    return "unknown";
}

static json_t *catalog_entry(const struct pbr_env *env, const struct pbr_pcat_entry *e, struct pbr_span path)
{
    json_t *one = json_pack("{s:o, s:s}", "path", pbr_view_name(env, path), "kind", catalog_kind(e->type));
    if (!one || (e->type != PBR_PCAT_FILE && e->type != PBR_PCAT_REF))
        return one;
    if (json_object_set_new(one, "size", pbr_view_u64(e->size)) == 0 && json_object_set_new(one, "mtime", pbr_view_i64(e->mtime_s)) == 0)
        return one;
    json_decref(one);
    return NULL;
}

static int show_catalog(struct pbr_inspect *in, const struct pbr_pcat *cat, struct pbr_diag *diag)
{
    struct pbr_pcat_walk *walk;
    struct pbr_pcat_entry e;
    int rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, diag);
    if (rc < 0)
        return rc;
    pbr_view_list(&in->view, "entries");
    for (;;) {
        rc = pbr_pcat_walk_next(walk, &e, diag);
        if (rc <= 0)
            break;
        rc = pbr_view_item(&in->view, catalog_entry(&in->cli->env, &e, pbr_pcat_walk_path(walk)), diag);
        if (rc < 0)
            break;
    }
    pbr_view_list_end(&in->view);
    pbr_pcat_walk_free(walk);
    return rc;
}

int pbr_inspect_catalog(struct pbr_inspect *in, struct pbr_diag *diag)
{
    struct pbr_source src;
    struct pbr_pcat *cat = NULL;
    int rc = pbr_source_open(&in->cli->env, AT_FDCWD, in->path, &src, diag);
    if (rc < 0)
        return rc;
    rc = pbr_pcat_open(&in->cli->env, &src, &cat, diag);
    if (rc == PBR_OK)
        rc = show_catalog(in, cat, diag);
    pbr_pcat_free(cat);
    pbr_source_close(&src);
    return rc;
}

/* ---- manifest ---- */

static int check_manifest(struct pbr_inspect *in, const struct pbr_manifest *m, struct pbr_diag *diag)
{
    if (!in->crypt)
        return PBR_OK;
    const int rc = m->has_signature ? pbr_manifest_verify(m, in->crypt->id_key, in->crypt->fingerprint, diag) : PBR_OK;
    return rc < 0 ? rc : pbr_manifest_check_fingerprint(m, in->crypt->fingerprint, diag);
}

static int show_manifest(struct pbr_inspect *in, const struct pbr_manifest *m, struct pbr_diag *diag)
{
    uint8_t fingerprint[32];
    int rc = members(&in->view, diag, (const char *const[]){ "backup-type", "backup-id", "backup-time", "signed" },
                     (json_t *const[]){ json_string(m->snapshot.group.type), json_string(m->snapshot.group.id),
                                        pbr_view_i64(m->snapshot.time_s), json_string(m->has_signature ? "yes" : "no") }, 4);
    const int has_key = rc == PBR_OK ? pbr_manifest_fingerprint(m, fingerprint, diag) : rc;
    if (has_key < 0)
        return has_key;
    if (has_key)
        rc = pbr_view_member(&in->view, "key-fingerprint", pbr_view_hex(pbr_span(fingerprint, sizeof(fingerprint))), diag);
    pbr_view_list(&in->view, "files");
    for (size_t i = 0; i < m->file_nr && rc == PBR_OK; i++) {
        const struct pbr_manifest_file *f = &m->files[i];
        rc = pbr_view_item(&in->view, json_pack("{s:s, s:o, s:o, s:s}", "filename", f->name, "size", pbr_view_u64(f->size), "csum",
                                                pbr_view_hex(pbr_span(f->csum, PBR_DIGEST_LEN)), "crypt-mode",
                                                pbr_crypt_mode_name(f->crypt_mode)), diag);
    }
    pbr_view_list_end(&in->view);
    return rc;
}

/* Text, or the blob around it. */
int pbr_inspect_manifest(struct pbr_inspect *in, struct pbr_diag *diag)
{
    struct pbr_buf file, out;
    struct pbr_manifest m;
    int rc = load(in, PBR_BLOB_PLAIN_MAX, &file, diag);
    if (rc < 0)
        return rc;
    pbr_buf_init(&out, &in->cli->env, PBR_BLOB_PLAIN_MAX);
    struct pbr_span text = pbr_buf_span(&file);
    if (text.len && text.ptr[0] != '{' && text.ptr[0] != ' ' && text.ptr[0] != '\n')
        rc = open_blob(in, pbr_buf_span(&file), &out, &text, diag);
    if (rc == PBR_OK)
        rc = pbr_manifest_parse(&m, &in->cli->env, text, diag);
    if (rc == PBR_OK) {
        rc = check_manifest(in, &m, diag);
        if (rc == PBR_OK)
            rc = show_manifest(in, &m, diag);
        pbr_manifest_release(&m);
    }
    pbr_buf_release(&out);
    pbr_buf_release(&file);
    return rc;
}

/* ---- key file ---- */

static int show_key(struct pbr_inspect *in, const struct pbr_keyfile *k, const uint8_t fingerprint[32], struct pbr_diag *diag)
{
    const int rc = members(&in->view, diag, (const char *const[]){ "kdf", "created", "modified", "fingerprint" },
                           (json_t *const[]){ json_string(pbr_kdf_name(k->kdf)), pbr_view_i64(k->created.time_s),
                                              pbr_view_i64(k->modified.time_s), pbr_view_hex(pbr_span(fingerprint, 32)) }, 4);
    return rc < 0 || !k->hint ? rc : pbr_view_member(&in->view, "hint", json_string(k->hint), diag);
}

int pbr_inspect_key(struct pbr_inspect *in, struct pbr_diag *diag)
{
    struct pbr_keyfile file;
    uint8_t key[PBR_KEY_LEN], id_key[32], fingerprint[32];
    int rc = pbr_keyfile_load(in->cli, in->path, &file, diag);
    if (rc < 0)
        return rc;
    rc = pbr_keyfile_open(in->cli, &file, key, diag);
    if (rc == PBR_OK)
        rc = pbr_key_derive(key, id_key, fingerprint);
    if (rc == PBR_OK)
        rc = show_key(in, &file, fingerprint, diag);
    pbr_wipe(key, sizeof(key));
    pbr_wipe(id_key, sizeof(id_key));
    pbr_keyfile_release(&file);
    return rc;
}
